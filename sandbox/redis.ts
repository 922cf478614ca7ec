/** Starts a private Redis on a port and directory of its own, so that demo, tests and bench touch no other Redis. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { findProgram, freePort, type OwnedProcess, startOwned } from "./owned-process.ts";

export interface PrivateRedisOptions {
  /** Default `everysec`, as in production. */
  appendfsync?: "no" | "everysec" | "always";
  /** As Redis writes it, for example `64mb`. Default: no limit. */
  maxmemory?: string;
  /** Default: a free one. */
  port?: number;
  /** Default: a temporary directory that goes with the server. A given one stays. */
  dir?: string;
}

export interface PrivateRedis {
  url: string;
  port: number;
  dir: string;
  /** Changes with every restart. */
  readonly pid: number;
  /** Null while the server runs; afterwards how it ended. */
  ended(): string | null;
  stop(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Ends the server if it runs, and starts it again on the same port and data. */
  restart(): Promise<void>;
}

/** Loading the AOF of a large run takes seconds, more on a busy machine. */
const ANSWER_WITHIN_MS = 30_000;
const PROBE_EVERY_MS = 20;
/** Another program may occupy the free port before Redis does; more than a few times in a row has another cause. */
const MAX_PORT_TRIES = 5;

export function findRedisServer(): string | null {
  return findProgram(["redis-server", "valkey-server"]);
}

export async function startPrivateRedis(options: PrivateRedisOptions = {}): Promise<PrivateRedis> {
  const program = findRedisServer();
  if (program === null) {
    throw new Error(
      "Neither redis-server nor valkey-server is installed (Debian: apt-get install redis-server).",
    );
  }
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), "waypost-redis-"));
  const isOurs = options.dir === undefined;

  async function launch(port: number): Promise<OwnedProcess> {
    const server = await startOwned(program ?? "", serverArguments(options, port, dir), {
      removeDirs: isOurs ? [dir] : [],
    });
    try {
      await untilAnswering(server, port);
    } catch (error) {
      await server.stop();
      throw new Error(`${program} did not start on port ${port}: ${lastLogLines(dir)}`, { cause: error });
    }
    return server;
  }

  async function launchOnFreePort(): Promise<{ port: number; server: OwnedProcess }> {
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      try {
        return { port, server: await launch(port) };
      } catch (error) {
        if (attempt === MAX_PORT_TRIES) throw error;
      }
    }
  }

  const first =
    options.port === undefined
      ? await launchOnFreePort()
      : { port: options.port, server: await launch(options.port) };
  const { port } = first;
  let { server } = first;

  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    dir,
    get pid() {
      return server.pid;
    },
    ended: () => server.ended(),
    async stop() {
      // These data are never read again, so they need not be flushed.
      if (isOurs) server.kill("SIGKILL");
      await server.stop();
      if (isOurs) rmSync(dir, { recursive: true, force: true });
    },
    kill: (signal) => server.kill(signal),
    async restart() {
      await server.stop();
      server = await launch(port);
    },
  };
}

function serverArguments(options: PrivateRedisOptions, port: number, dir: string): string[] {
  const settings: Record<string, string> = {
    port: String(port),
    bind: "127.0.0.1",
    dir,
    logfile: join(dir, "redis.log"),
    daemonize: "no",
    save: "",
    appendonly: "yes",
    appendfsync: options.appendfsync ?? "everysec",
    "maxmemory-policy": "noeviction",
    ...(options.maxmemory === undefined ? {} : { maxmemory: options.maxmemory }),
  };
  return Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value]);
}

async function untilAnswering(server: OwnedProcess, port: number): Promise<void> {
  const deadline = Date.now() + ANSWER_WITHIN_MS;
  while (!(await answers(server.pid, port))) {
    const ended = server.ended();
    if (ended !== null) throw new Error(`it ended (${ended})`);
    if (Date.now() > deadline) throw new Error(`no answer to PING within ${ANSWER_WITHIN_MS} ms`);
    await pause(PROBE_EVERY_MS);
  }
}

/** True once the server has loaded its data; the process id distinguishes it from another server on the same port. */
function answers(pid: number, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    const conclude = (verdict: boolean) => {
      socket.destroy();
      resolve(verdict);
    };
    socket.setTimeout(1000, () => conclude(false));
    socket.on("error", () => conclude(false));
    socket.on("close", () => conclude(false));
    socket.on("data", (chunk) => {
      text += chunk;
      if (text.startsWith("-")) conclude(false);
      if (text.startsWith("+PONG") && text.includes("\r\nprocess_id:")) {
        conclude(text.includes(`\r\nprocess_id:${pid}\r\n`));
      }
    });
    socket.write("PING\r\nINFO server\r\n");
  });
}

function lastLogLines(dir: string): string {
  try {
    return readFileSync(join(dir, "redis.log"), "utf8").trim().split("\n").slice(-3).join(" | ");
  } catch {
    return "it left no log";
  }
}
