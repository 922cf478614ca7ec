/** Starts a real Mosquitto on a private port for a test. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, freePort, type OwnedProcess, startOwned } from "../../sandbox/owned-process.ts";
import { until } from "./wait.ts";

export interface Mosquitto {
  url: string;
  port: number;
  /** Changes with every restart. */
  readonly pid: number;
  stop(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Ends the broker if it runs, and starts it again on the same port and directory. */
  restart(): Promise<void>;
}

/** Why tests that need a broker cannot run here, or null when they can. */
export function whyNotMosquitto(): string | null {
  return findProgram(["mosquitto"]) === null
    ? "mosquitto is not installed (apt-get install mosquitto)"
    : null;
}

/** Extra lines are appended; a setting named there replaces the default here. `%dir` stands for the private directory. */
export async function startMosquitto(config: string[] = []): Promise<Mosquitto> {
  const program = findProgram(["mosquitto"]);
  if (program === null) throw new Error(whyNotMosquitto() ?? "unreachable");
  const dir = mkdtempSync(join(tmpdir(), "waypost-mosquitto-"));
  const port = await freePort();
  const file = join(dir, "mosquitto.conf");
  const log = join(dir, "mosquitto.log");
  const extra = config.map((line) => line.replaceAll("%dir", dir));
  writeFileSync(file, `${[...defaults({ port, log }, extra), ...extra].join("\n")}\n`);

  async function launch(): Promise<OwnedProcess> {
    writeFileSync(log, "");
    const broker = await startOwned(program ?? "", ["-c", file], { removeDirs: [dir] });
    await until(
      () => {
        const text = readFileSync(log, "utf8");
        if (broker.ended() !== null) throw new Error(`mosquitto ended (${broker.ended()}): ${text}`);
        return /mosquitto version \S+ running/.test(text);
      },
      { withinMs: 20_000, what: "mosquitto to run" },
    );
    return broker;
  }

  let broker = await launch();
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    get pid() {
      return broker.pid;
    },
    async stop() {
      await broker.stop();
      rmSync(dir, { recursive: true, force: true });
    },
    kill: (signal) => broker.kill(signal),
    async restart() {
      await broker.stop();
      broker = await launch();
    },
  };
}

function defaults({ port, log }: { port: number; log: string }, extra: readonly string[]): string[] {
  const named = new Set(extra.map((line) => line.trim().split(/\s+/)[0]));
  const lines = [
    // As root Mosquitto would change to a user that may not write into this directory.
    ...(process.getuid?.() === 0 ? ["user root"] : []),
    "log_type error",
    "log_type warning",
    "log_type notice",
    "log_type information",
    `log_dest file ${log}`,
    "persistence false",
    "max_queued_messages 0",
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
  ];
  return lines.filter((line) => line.startsWith("listener") || !named.has(line.split(" ")[0]));
}
