#!/usr/bin/env node
/** The commands. Each reads its options, calls one function, and explains itself when it cannot go on. */

import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { runDemo } from "../sandbox/demo.ts";
import { adapters } from "./adapters/index.ts";
import { publishTo } from "./commands/capture/publisher.ts";
import { decodeCommand } from "./commands/decode.ts";
import { redriveCommand } from "./commands/redrive.ts";
import { replayCommand } from "./commands/replay.ts";
import type { Config } from "./config/config.ts";
import { describeConfig, givenRedisUrl, loadConfig } from "./config/load.ts";
import type { ConfigProblem } from "./config/problems.ts";
import { createLogger } from "./log.ts";
import { complain, complainLines, say, sayJson, sayLines } from "./print.ts";
import { SPEED_UNITS } from "./reading.ts";
import { startGateway } from "./server.ts";
import { CannotStart, checkBeforeStart, firstFault } from "./startup.ts";
import { VERSION } from "./version.ts";

/** Closing keeps to its time by itself, but for its last steps. */
const CLOSING_GRACE_MS = 1000;

const ALLOW_WEAK = new Option(
  "--allow-weak",
  "warn of weak secrets and of passwords sent in the clear instead of refusing them",
);

const program = new Command("waypost")
  .description("Takes vendors' GPS messages in and delivers them to ServiceTitan.")
  .version(VERSION);

program
  .command("start")
  .description("run the gateway until SIGTERM or SIGINT")
  .option("-c, --config <file>", "configuration (YAML); without it WAYPOST_* variables are read")
  .addOption(ALLOW_WEAK)
  .action(async ({ config: file, allowWeak }: { config?: string; allowWeak?: boolean }) => {
    const { config, warnings } = loadedOrExit(file, allowWeak);
    const logger = createLogger({ level: config.log.level });
    for (const { path, message } of warnings) logger.warn({ setting: path }, `${path} ${message}`);
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
  .addOption(ALLOW_WEAK)
  .option("--show", "print the configuration as it is understood, without secrets")
  .action(async ({ config: file, allowWeak, show }: CheckOptions) => {
    const { config, warnings } = loadedOrExit(file, allowWeak);
    for (const warning of warnings) complain(`warning: ${inWords(warning)}`);
    if (show) sayLines(describeConfig(config).trimEnd());
    const { sources, destinations } = config;
    const { mappingRows } = await checkBeforeStart(config);
    const rows = mappingRows === null ? "" : `, ${count(mappingRows, "mapping row")}`;
    say(
      `The configuration is right: ${count(sources, "source")}, ${count(destinations, "destination")}${rows}.`,
    );
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
    sayJson(await decodeCommand(request, body));
  });

program.addCommand(redriveCommand({ configOrExit }));
program.addCommand(replayCommand({ configOrExit, publishTo }));

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
      say: options.json ? () => {} : sayLines,
      interrupted: signalled(),
      // A fault that is being tried is told in a line of the demo's own, and on the page.
      startGateway: (config) => startGateway(config, createLogger({ level: "fatal" })),
      publishTo,
    });
    if (options.json) sayJson(result);
    else for (const [term, n] of Object.entries(result)) say(`  ${term.padEnd(14)}${n}`);
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

interface CheckOptions {
  config?: string;
  allowWeak?: boolean;
  show?: boolean;
}

/** For commands that start nothing: whoever runs a gateway with weak secrets must be able to use it. */
function configOrExit(file: string | undefined): Config {
  return loadedOrExit(file, true).config;
}

function loadedOrExit(file: string | undefined, allowWeak = false) {
  const loaded = loadConfig({ file, adapters, allowWeak });
  if ("config" in loaded) return loaded;
  for (const problem of loaded.problems) complain(inWords(problem));
  complain(`${count(loaded.problems, "problem")}; nothing was started.`);
  process.exit(1);
}

function inWords({ path, message, line }: ConfigProblem): string {
  return `${line === undefined ? "" : `line ${line}: `}${path} ${message}`;
}

async function signalled(): Promise<void> {
  await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
}

function count(of: object | number, word: string): string {
  const n = typeof of === "number" ? of : Object.keys(of).length;
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

// Its own messages quote what was typed.
for (const command of [program, ...program.commands]) {
  command.configureOutput({
    writeOut: (text) => sayLines(text.replace(/\n$/, "")),
    writeErr: (text) => complainLines(text.replace(/\n$/, "")),
  });
}

try {
  await program.parseAsync();
} catch (error) {
  for (const problem of problemsOf(error)) complain(problem);
  process.exitCode = 1;
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof CannotStart) return error.problems;
  if (error instanceof z.ZodError) return z.prettifyError(error).split("\n");
  return [error instanceof Error ? error.message : String(error)];
}
