/** Starts another program on a private port and makes sure that it never outlives this process, even after SIGKILL. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

export interface OwnedProcess {
  readonly pid: number;
  /** Null while the program runs; afterwards how it ended. */
  ended(): string | null;
  kill(signal: NodeJS.Signals): void;
  /** Ends the program with SIGTERM, then with SIGKILL. Resolves when it has ended. */
  stop(): Promise<void>;
}

/** A program that has not ended this long after SIGTERM gets SIGKILL, milliseconds. */
const STOP_WITHIN_MS = 5000;

/**
 * Waits for end of file on its standard input, which comes when its parent dies, by SIGKILL too, and then ends
 * the program and removes the directories it was given.
 */
const REAPER = 'trap "" INT TERM HUP; read -r _; kill -9 "$1"; shift; [ $# -eq 0 ] || rm -rf -- "$@"';

/** Full path of the first of these programs that is installed. */
export function findProgram(names: readonly string[]): string | null {
  // Debian keeps daemons in sbin, which is not on every user's PATH.
  const script =
    'PATH="$PATH:/usr/local/sbin:/usr/sbin"; for name; do command -v "$name" && exit 0; done; exit 1';
  const { status, stdout } = spawnSync("sh", ["-c", script, "sh", ...names], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : null;
}

/** `removeDirs` go when this process dies; after `stop` the caller removes them. */
export async function startOwned(
  program: string,
  args: readonly string[],
  { removeDirs = [] }: { removeDirs?: readonly string[] } = {},
): Promise<OwnedProcess> {
  // A session of its own: Ctrl-C reaches only this process, which decides in which order programs end.
  const child = spawn(program, args, { detached: true, stdio: "ignore" });
  await once(child, "spawn");
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} started without a process id`);
  let ending: string | null = null;
  const gone = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      ending = signal ?? `exit code ${code}`;
      resolve();
    });
  });
  const reaper = startReaper(pid, removeDirs);
  // The reaper must not kill another program that gets this process id next.
  void gone.then(() => reaper.kill("SIGKILL"));
  // Neither the program nor the reaper keeps the event loop alive.
  child.unref();

  async function stop(): Promise<void> {
    if (ending !== null) return;
    child.kill("SIGTERM");
    // A stopped program acts on no other signal.
    child.kill("SIGCONT");
    child.ref();
    const deadline = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
    await gone;
    clearTimeout(deadline);
  }

  return { pid, ended: () => ending, kill: (signal) => void child.kill(signal), stop };
}

function startReaper(pid: number, removeDirs: readonly string[]): ChildProcess {
  const reaper = spawn("sh", ["-c", REAPER, "sh", String(pid), ...removeDirs], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  reaper.unref();
  const input = reaper.stdin;
  // When the reaper ends first, its end of the pipe closes; nothing is ever written there.
  input?.on("error", () => {});
  if (input && "unref" in input && typeof input.unref === "function") input.unref();
  return reaper;
}

/** A port that is free now. Another program may occupy it before it is used; then the caller tries again. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("the system gave no TCP port");
  return address.port;
}

/** The wished port if it is free, else another free one. */
export async function portOrFree(wished: number): Promise<number> {
  const server = createServer();
  try {
    server.listen(wished, "127.0.0.1");
    await once(server, "listening");
    server.close();
    await once(server, "close");
    return wished;
  } catch {
    return freePort();
  }
}
