/** Runs command blocks of the documentation as a reader would: in a copy of the clone, some of them in terminals of their own. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../../sandbox/owned-process.ts";
import { until } from "../support/wait.ts";
import { ROOT } from "./pages.ts";

const execute = promisify(execFile);

/** The ports that the pages name. */
const PORTS = [6379, 8080, 8090, 9090] as const;
/** Loading TypeScript on a busy machine takes seconds. */
const READY_WITHIN_MS = 60_000;

export interface Shell {
  /** Runs a block to its end; gives what it printed. */
  run(text: string): Promise<string>;
  /** Starts a block that goes on running; resolves when it listens on the port. */
  start(text: string, listensOn: (typeof PORTS)[number]): Promise<void>;
  close(): Promise<void>;
}

export async function openShell(): Promise<Shell> {
  const dir = mkdtempSync(join(tmpdir(), "waypost-docs-"));
  // As in the clone, but what a page writes is not left in it.
  for (const entry of readdirSync(ROOT).filter(
    (name) => ![".git", ".env", "waypost.yaml", "secrets", "mapping.csv"].includes(name),
  ))
    symlinkSync(join(ROOT, entry), join(dir, entry));
  const free = await Promise.all(PORTS.map(() => freePort()));
  const ports = new Map<number, number>(PORTS.map((port, at) => [port, free[at] ?? 0]));
  const running: ChildProcess[] = [];
  /** What the terminals printed: it explains a failure. */
  const printed: string[] = [];
  // The settings of the person who runs the tests must not help.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^WAYPOST_|^SERVICETITAN_/.test(name)),
  );

  /** Others on this machine may have the ports that the page names. */
  function withPorts(text: string): string {
    return text.replaceAll(new RegExp(`\\b(${PORTS.join("|")})\\b`, "g"), (port) =>
      String(ports.get(Number(port))),
    );
  }

  async function run(text: string): Promise<string> {
    const command = ["-euo", "pipefail", "-c", withPorts(text)];
    const { stdout } = await execute("bash", command, { cwd: dir, env }).catch((error: unknown) => {
      throw new Error(`This block failed:\n${text}\n${printed.join("")}`, { cause: error });
    });
    return stdout;
  }

  async function start(text: string, listensOn: (typeof PORTS)[number]): Promise<void> {
    const child = spawn("bash", ["-euo", "pipefail", "-c", withPorts(text)], {
      cwd: dir,
      env,
      // A group of its own, so that what npm starts ends with it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.push(child);
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => printed.push(chunk.toString()));
    const ended = () => child.exitCode !== null;
    const port = ports.get(listensOn) ?? 0;
    const state = await until(async () => (ended() ? "ended" : (await listens(port)) ? "listens" : null), {
      withinMs: READY_WITHIN_MS,
      what: `a port to be listened on by:\n${text}`,
    });
    if (state === "ended") throw new Error(`This block ended:\n${text}\n${printed.join("")}`);
  }

  return {
    run,
    start,
    async close() {
      // The last one first: a gateway ends in order while its Redis is there.
      for (const child of running.reverse()) await end(child);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  process.kill(-child.pid, "SIGTERM");
  await ended;
}
