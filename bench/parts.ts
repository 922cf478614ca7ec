/** Runs the benchmark's own programs as separate processes and asks them things; none outlives the one that started it. */

import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** What a part can be asked: plain functions over plain data. */
type Handlers = Record<string, (...args: never[]) => unknown>;

interface Question {
  id: number;
  name: string;
  args: unknown[];
}

type Answer =
  | { kind: "ready" }
  | { kind: "reply"; id: number; value: unknown }
  | { kind: "failed"; id: number; why: string };

export interface Part<H extends Handlers> {
  pid: number;
  ask<K extends keyof H & string>(name: K, ...args: Parameters<H[K]>): Promise<Awaited<ReturnType<H[K]>>>;
  stop(): Promise<void>;
}

/** Measured is what is run in production, compiled JavaScript; tests start the same parts from their sources. */
const COMPILED = import.meta.url.endsWith(".js");
/** What Node needs to run a part. */
export const NODE_ARGS: readonly string[] = COMPILED ? [] : ["--import", "tsx"];

/** The path of one of our programs, named as in the sources and relative to this folder. */
export function programPath(source: string): string {
  return fileURLToPath(new URL(COMPILED ? source.replace(/\.ts$/, ".js") : source, import.meta.url));
}

const HERE = dirname(fileURLToPath(import.meta.url));
/** Loading TypeScript on a busy machine takes seconds. */
const READY_WITHIN_MS = 30_000;

/** Starts `bench/<file>` and resolves once it serves. */
export async function startPart<H extends Handlers>(
  file: string,
  args: readonly string[] = [],
): Promise<Part<H>> {
  const child = fork(programPath(file), args, {
    cwd: HERE,
    execArgv: [...NODE_ARGS],
    // Standard output belongs to the report.
    stdio: ["ignore", process.stderr, process.stderr, "ipc"],
    // Ctrl-C reaches only us; a part ends when its channel to us closes.
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
      for (const question of waiting.values()) question.reject(ended);
      waiting.clear();
    });
    child.on("message", (answer: Answer) => {
      if (answer.kind === "ready") {
        clearTimeout(timer);
        resolve();
        return;
      }
      const question = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (answer.kind === "reply") question?.resolve(answer.value);
      else question?.reject(new Error(`${file}: ${answer.why}`));
    });
  });
  await ready;

  return {
    pid: child.pid ?? 0,
    ask(name, ...args) {
      lastId += 1;
      const question: Question = { id: lastId, name, args };
      return new Promise((resolve, reject) => {
        // The one place where the type is taken on trust: both ends are compiled from the same handlers.
        waiting.set(question.id, { resolve: resolve as (value: unknown) => void, reject });
        child.send(question);
      });
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** The other end: answers the process that started this one, and ends with it. */
export function serveParent(handlers: Handlers): void {
  process.once("disconnect", () => process.exit(0));
  process.on("message", async ({ id, name, args }: Question) => {
    try {
      const value = await handlers[name]?.(...(args as never[]));
      tellParent({ kind: "reply", id, value });
    } catch (error) {
      const why = error instanceof Error ? String(error.stack) : String(error);
      tellParent({ kind: "failed", id, why });
    }
  });
  tellParent({ kind: "ready" });
}

function tellParent(answer: Answer): void {
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
