/** Runs the benchmark's own programs as child processes and calls their functions; no child outlives its parent. */

import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { programArgs } from "../test/support/compiled.ts";

/** The functions of a child: plain functions over plain data. */
type Handlers = Record<string, (...args: never[]) => unknown>;

interface Call {
  id: number;
  name: string;
  args: unknown[];
}

type Answer =
  | { kind: "ready" }
  | { kind: "reply"; id: number; value: unknown }
  | { kind: "failed"; id: number; why: string };

export interface Child<H extends Handlers> {
  pid: number;
  call<K extends keyof H & string>(name: K, ...args: Parameters<H[K]>): Promise<Awaited<ReturnType<H[K]>>>;
  stop(): Promise<void>;
}

/** The benchmark measures compiled JavaScript, as in production. */
const COMPILED = import.meta.url.endsWith(".js");

/** What Node has to be given to run one of the repository's programs, named as in the sources from the repository's root. */
export function nodeArgs(source: string): string[] {
  if (!COMPILED) return programArgs(fileURLToPath(new URL(`../${source}`, import.meta.url)));
  return [fileURLToPath(new URL(`../${source.replace(/\.ts$/, ".js")}`, import.meta.url))];
}

const HERE = dirname(fileURLToPath(import.meta.url));
/** Loading TypeScript on a busy machine takes seconds. */
const READY_WITHIN_MS = 30_000;

/** Starts `bench/<file>` and resolves once it serves. */
export async function startChild<H extends Handlers>(
  file: string,
  args: readonly string[] = [],
): Promise<Child<H>> {
  const execArgv = nodeArgs(`bench/${file}`);
  const child = fork(execArgv.pop() ?? "", args, {
    cwd: HERE,
    execArgv,
    // Standard output belongs to the report.
    stdio: ["ignore", process.stderr, process.stderr, "ipc"],
    // Ctrl-C reaches only the parent; a child ends when its channel to the parent closes.
    detached: true,
  });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const exited = once(child, "exit");
  let lastId = 0;

  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`${file} did not start within ${READY_WITHIN_MS} ms`));
    }, READY_WITHIN_MS);
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      const ended = new Error(`${file} ended (${signal ?? `exit code ${code}`})`);
      reject(ended);
      for (const pending of waiting.values()) pending.reject(ended);
      waiting.clear();
    });
    child.on("message", (answer: Answer) => {
      if (answer.kind === "ready") {
        clearTimeout(timer);
        resolve();
        return;
      }
      const pending = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (answer.kind === "reply") pending?.resolve(answer.value);
      else pending?.reject(new Error(`${file}: ${answer.why}`));
    });
  });
  await ready;

  return {
    pid: child.pid ?? 0,
    call(name, ...args) {
      lastId += 1;
      const pending: Call = { id: lastId, name, args };
      return new Promise((resolve, reject) => {
        // The only cast: the type is right because both ends are compiled from the same handlers.
        waiting.set(pending.id, { resolve: resolve as (value: unknown) => void, reject });
        child.send(pending);
      });
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** The child's end: answers the calls of its parent, and ends with it. */
export function serveParent(handlers: Handlers): void {
  process.once("disconnect", () => process.exit(0));
  process.on("message", async ({ id, name, args }: Call) => {
    try {
      const value = await handlers[name]?.(...(args as never[]));
      sendToParent({ kind: "reply", id, value });
    } catch (error) {
      const why = error instanceof Error ? String(error.stack) : String(error);
      sendToParent({ kind: "failed", id, why });
    }
  });
  sendToParent({ kind: "ready" });
}

function sendToParent(answer: Answer): void {
  if (!process.connected) process.exit(0);
  process.send?.(answer);
}

/** Clock ticks per second in /proc; 100 on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;

/** Processor seconds a process has used so far; null where the system has no /proc. */
export function cpuSeconds(pid: number): number | null {
  try {
    // Fields 14 and 15 of proc(5) `stat`, counted after the program's name, which may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return null;
  }
}
