#!/usr/bin/env node
/** The commands. Each reads its options, calls one function, and explains itself when it cannot go on. */

import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import { adapters } from "./adapters/index.ts";
import { CannotStart } from "./cannot-start.ts";
import { type Config, describeConfig, givenRedisUrl, loadConfig } from "./config.ts";
import { decodeCommand } from "./decode.ts";
import { runDemo } from "./demo.ts";
import { firstFault } from "./last-resort.ts";
import { createLogger } from "./log.ts";
import { publishTo } from "./publisher.ts";
import { SPEED_UNITS } from "./reading.ts";
import { redriveCommand } from "./redrive-command.ts";
import { replayCommand } from "./replay-command.ts";
import { startGateway } from "./server.ts";
import { VERSION } from "./version.ts";

/** Closing keeps to its time by itself, but for its last steps. */
const CLOSING_GRACE_MS = 1000;

const program = new Command("waypost")
  .description("Takes vendors' GPS messages in and delivers them to ServiceTitan.")
  .version(VERSION);

program
  .command("start")
  .description("run the gateway until SIGTERM or SIGINT")
  .option("-c, --config <file>", "configuration (YAML); without it WAYPOST_* variables are read")
  .action(async ({ config: file }: { config?: string }) => {
    const config = configOrExit(file);
    const logger = createLogger({ level: config.log.level });
    const crashed = firstFault(logger).then(() => "crashed" as const);
    const gateway = await Promise.race([startGateway(config, logger), crashed]);
    if (gateway === "crashed") process.exit(1);
    const end = await Promise.race([signalled(), crashed]);
    // After a fault it may be the closing itself that does not end.
    const timeUp = sleep(config.shutdownMs + CLOSING_GRACE_MS, undefined, { ref: false });
    await Promise.race([gateway.close(), timeUp]);
    // A request to ServiceTitan that hangs would keep the process alive beyond the time it was given.
    process.exit(end === "crashed" ? 1 : 0);
  });

program
  .command("check")
  .description("check the configuration and name every problem in it")
  .option("-c, --config <file>", "configuration (YAML); without it WAYPOST_* variables are read")
  .option("--show", "print the configuration as it is understood, without secrets")
  .action(({ config: file, show }: { config?: string; show?: boolean }) => {
    const config = configOrExit(file);
    if (show) process.stdout.write(describeConfig(config));
    const { sources, destinations } = config;
    say(`The configuration is right: ${count(sources, "source")}, ${count(destinations, "destination")}.`);
  });

program
  .command("decode")
  .description("read one message from standard input through a vendor's adapter and print what it says")
  .argument("<vendor>")
  .option("--topic <topic>", "MQTT topic it came by")
  .option("--headers <file>", "JSON file of its HTTP headers")
  .option("--query <query>", "its query string")
  .option("--content-type <type>")
  .addOption(new Option("--speed-unit <unit>", "where the vendor documents none").choices([...SPEED_UNITS]))
  .option("--received-at <time>", "ISO time; default now")
  .option("--retained", "it was a retained MQTT message")
  .option(
    "--sequence <file>",
    "JSON array of {topic, payload, receivedAt, retain?} instead of standard input",
  )
  .option("--options <json>", "the source's options", json)
  .option("--quarantined", "standard input is a message from /quarantine/<id> of the ops endpoint")
  .action(async (vendor: string, { headers, sequence, ...options }: DecodeOptions) => {
    const body = sequence ? new Uint8Array() : await buffer(process.stdin);
    const request = { vendor, ...options, headersFile: headers, sequenceFile: sequence };
    process.stdout.write(`${JSON.stringify(await decodeCommand(request, body))}\n`);
  });

program.addCommand(redriveCommand({ configOrExit, say }));
program.addCommand(replayCommand({ configOrExit, say, publishTo }));

program
  .command("demo")
  .description("run everything on this machine: sandbox, simulated fleet, gateway")
  .option("--for <time>", "stop by itself, for example 20s or 2m", duration)
  .option("--json", "print one line of JSON at the end and nothing else")
  .option("--vehicles <n>", "size of the fleet", wholeNumber, 240)
  .option("--seed <seed>", "another fleet", "waypost")
  .action(async (options: { for?: number; json?: boolean; vehicles: number; seed: string }) => {
    const result = await runDemo({
      forMs: options.for ?? null,
      vehicles: options.vehicles,
      seed: options.seed,
      redisUrl: givenRedisUrl(),
      say: options.json ? () => {} : say,
      interrupted: signalled(),
      // A fault that is being tried is told in a line of the demo's own, and on the page.
      startGateway: (config) => startGateway(config, createLogger({ level: "fatal" })),
      publishTo,
    });
    if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else
      say(
        Object.entries(result)
          .map(([term, n]) => `  ${term.padEnd(14)}${n}`)
          .join("\n"),
      );
  });

interface DecodeOptions {
  topic?: string;
  headers?: string;
  query?: string;
  contentType?: string;
  speedUnit?: string;
  receivedAt?: string;
  retained?: boolean;
  quarantined?: boolean;
  sequence?: string;
  options?: unknown;
}

function configOrExit(file: string | undefined): Config {
  const loaded = loadConfig({ file, adapters });
  if ("config" in loaded) return loaded.config;
  for (const { path, message, line } of loaded.problems) {
    process.stderr.write(`${line === undefined ? "" : `line ${line}: `}${path} ${message}\n`);
  }
  process.stderr.write(`${count(loaded.problems, "problem")}; nothing was started.\n`);
  process.exit(1);
}

async function signalled(): Promise<void> {
  await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function count(of: object, word: string): string {
  const n = Object.keys(of).length;
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}

function duration(text: string): number {
  const [, amount, unit] = /^(\d+)(s|m|h)$/.exec(text) ?? [];
  if (amount === undefined) throw new InvalidArgumentError("use a number and s, m or h, for example 20s");
  return Number(amount) * (unit === "h" ? 3_600_000 : unit === "m" ? 60_000 : 1000);
}

function wholeNumber(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("must be a whole number above 0");
  return n;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidArgumentError(`is not JSON: ${error instanceof Error ? error.message : ""}`);
  }
}

try {
  await program.parseAsync();
} catch (error) {
  const problems = error instanceof CannotStart ? error.problems : [messageOf(error)];
  process.stderr.write(`${problems.join("\n")}\n`);
  process.exitCode = 1;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
