/** `npm run bench`: the gateway beside its two references, in turns within one run, medians at the end. */

import { mkdirSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { startPrivateRedis } from "../sandbox/redis.ts";
import { startMosquitto, whyNotMosquitto } from "../test/support/mosquitto.ts";
import { BROKER_SETTINGS } from "./broker-counts.ts";
import { type Child, startChild } from "./child.ts";
import { CONTESTANTS, type ContestantName, startContestant } from "./contestants.ts";
import { decodeRates, decodeTable } from "./decode.ts";
import type { Publisher } from "./publisher.ts";
import { type Result, summarize, type Turns, table } from "./report.ts";
import { type Effort, type Figures, FLOOR_MODE, play, SCENARIOS, type ScenarioName } from "./scenarios.ts";
import type { Sink } from "./sink.ts";
import type { Webhooks } from "./webhooks.ts";

interface Options {
  json?: true;
  scenario?: (ScenarioName | typeof DECODE)[];
  contestant?: ContestantName[];
  rounds: number;
  seconds: number;
  backlog: number;
  profile?: string;
}

/** Needs no contestants: it is the gateway's own code, and the references cannot read these messages. */
const DECODE = "decode";

/** Children that live as long as the whole run. */
interface Equipment {
  sinkUrl: string;
  sink: Child<Sink>;
  webhooks: Child<Webhooks>;
  publisher: Child<Publisher>;
}

/** What is running, newest last; always stopped in reverse. */
const running: { stop(): Promise<void> }[] = [];

async function own<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const started = await starting;
  running.push(started);
  return started;
}

async function stopDownTo(count: number): Promise<void> {
  while (running.length > count) await running.pop()?.stop();
}

async function startEquipment(): Promise<Equipment> {
  const sink = await own(startChild<Sink>("sink.ts"));
  const webhooks = await own(startChild<Webhooks>("webhooks.ts"));
  const publisher = await own(startChild<Publisher>("publisher.ts"));
  const port = await sink.call("address");
  return { sinkUrl: `http://127.0.0.1:${port}`, sink, webhooks, publisher };
}

/** One contestant, once, on a fresh Redis and a fresh broker. */
async function turn(
  scenario: ScenarioName,
  name: ContestantName,
  equipment: Equipment,
  effort: Effort,
  profileDir: string | null,
): Promise<Figures> {
  const before = running.length;
  try {
    const redis = await own(startPrivateRedis({ appendfsync: "everysec" }));
    const broker = scenario === "mqtt-qos1" ? await own(startMosquitto(BROKER_SETTINGS)) : null;
    await equipment.sink.call("reset", "accept");
    const contestant = await own(
      startContestant(name, {
        redisUrl: redis.url,
        sinkUrl: equipment.sinkUrl,
        brokerUrl: broker?.url ?? null,
        floorMode: FLOOR_MODE[scenario],
        profileDir,
      }),
    );
    return await play(scenario, { ...equipment, contestant, redis, broker }, effort);
  } finally {
    await stopDownTo(before);
  }
}

async function runScenario(scenario: ScenarioName, equipment: Equipment, options: Options): Promise<Result> {
  const contestants = options.contestant ?? CONTESTANTS;
  const measureMs = options.seconds * 1000;
  const effort: Effort = {
    measureMs,
    warmUpMs: Math.min(1000, measureMs),
    backlogPings: options.backlog,
  };
  const turns: Turns = {};
  for (let round = 1; round <= options.rounds; round++) {
    for (const name of contestants) {
      const figures = await turn(scenario, name, equipment, effort, options.profile ?? null);
      turns[name] = [...(turns[name] ?? []), figures];
      const rate = Math.round(figures.pingsPerSecond).toLocaleString("en");
      process.stderr.write(`${scenario}, round ${round} of ${options.rounds}, ${name}: ${rate} pings/s\n`);
    }
  }
  return summarize(scenario, turns, options.rounds);
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("must be a number above 0");
  return value;
}

const command = new Command("bench")
  .description("Measures the gateway beside two references: the least that could work, and the obvious way.")
  .option("--json", "one JSON object per scenario instead of the table")
  .addOption(new Option("--scenario <name...>", "only these").choices([...SCENARIOS, DECODE]))
  .addOption(new Option("--contestant <name...>", "only these").choices([...CONTESTANTS]))
  .option("--rounds <n>", "turns of each contestant in each scenario", positive, 3)
  .option("--seconds <n>", "measured length of a turn", positive, 2)
  .option("--backlog <n>", "pings waiting when the drain begins", positive, 100_000)
  .option("--profile <dir>", "the gateway writes a CPU profile of each turn into this directory")
  .parse();
const options = command.opts<Options>();

/** Set by the first signal; resolves when everything is stopped. */
let interrupted: Promise<void> | null = null;
for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => {
    interrupted ??= stopDownTo(0).finally(() => process.exit(exitCode));
  });
}

const chosen = options.scenario ?? [...SCENARIOS, DECODE];
const scenarios = SCENARIOS.filter((scenario) => chosen.includes(scenario));
const whyNotBroker = scenarios.includes("mqtt-qos1") ? whyNotMosquitto() : null;
if (whyNotBroker !== null) command.error(`mqtt-qos1 cannot run: ${whyNotBroker}`);
if (options.profile !== undefined) mkdirSync(options.profile, { recursive: true });

try {
  if (chosen.includes(DECODE)) {
    const rates = decodeRates(options.seconds * 100);
    if (options.json) for (const rate of rates) process.stdout.write(`${JSON.stringify(rate)}\n`);
    else process.stdout.write(`${decodeTable(rates)}\n\n`);
  }
  const equipment = await startEquipment();
  const results: Result[] = [];
  for (const scenario of scenarios) {
    const result = await runScenario(scenario, equipment, options);
    results.push(result);
    if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  }
  if (!options.json && results.length > 0) process.stdout.write(`\n${table(results)}\n`);
} catch (error) {
  // Work that was under way when the signal came fails for that reason alone.
  if (interrupted === null) throw error;
  await interrupted;
} finally {
  await stopDownTo(0);
}
