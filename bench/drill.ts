/** `npm run drill`: an outage of ServiceTitan in real time, and what dispatchers see when it is over. */

import { Command, InvalidArgumentError, Option } from "commander";
import { OUTAGES, type OutageFigures, type OutageKind, playOutage } from "./outage.ts";

interface Options {
  minutes: number;
  units: number;
  every: number;
  rate: number;
  backfill: "drop" | "deliver";
  outage: OutageKind;
  json?: true;
}

/** After the end of the outage, for every unit. */
const NEWEST_WITHIN_MS = 10_000;
const WARM_UP_MS = 15_000;
/** The default of the configuration. */
const MAX_AGE_MS = 600_000;

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("must be a number above 0");
  return value;
}

const options = new Command("drill")
  .description("Lets ServiceTitan be away for some minutes, in real time, while a fleet goes on reporting.")
  .option("--minutes <n>", "how long it is away", positive, 10)
  .option("--units <n>", "vehicles", positive, 1000)
  .option("--every <seconds>", "between two positions of a vehicle", positive, 5)
  .option("--rate <n>", "requests per second that may be sent", positive, 10)
  .addOption(new Option("--backfill <policy>").choices(["drop", "deliver"]).default("drop"))
  .addOption(new Option("--outage <kind>", "how it is away").choices([...OUTAGES]).default("503"))
  .option("--json", "the figures as one JSON object")
  .parse()
  .opts<Options>();

const figures = await playOutage({
  kind: options.outage,
  units: options.units,
  everyMs: options.every * 1000,
  warmUpMs: WARM_UP_MS,
  outageMs: options.minutes * 60_000,
  ratePerSecond: options.rate,
  backfill: options.backfill,
  maxAgeMs: MAX_AGE_MS,
  progress: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(options.json ? `${JSON.stringify(figures)}\n` : `${inWords(figures)}\n`);

const isWell =
  figures.unitsMissing === 0 &&
  figures.newestAcceptedMs.max <= NEWEST_WITHIN_MS &&
  figures.historyOutOfOrder === 0 &&
  figures.expiredButSent === 0 &&
  figures.maxRequestsPerSecond <= options.rate &&
  figures.lost === 0 &&
  figures.accountingMismatches === 0;
process.exitCode = isWell ? 0 : 1;

function inWords(f: OutageFigures): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const rows: [string, string | number][] = [
    ["away for", `${f.outageS} s`],
    ["positions waiting at its end", f.backlog],
    [
      "newest position of a unit accepted after",
      `${seconds(f.newestAcceptedMs.p50)} (median), ${seconds(f.newestAcceptedMs.p95)} (95 %), ${seconds(f.newestAcceptedMs.max)} (last of all)`,
    ],
    ["units whose newest position never came", f.unitsMissing],
    ["nothing old waits any more after", seconds(f.caughtUpMs)],
    ["older positions sent afterwards", f.history],
    ["of these out of their unit's order", f.historyOutOfOrder],
    ["superseded", f.superseded],
    ["expired", f.expired],
    ["expired but sent", f.expiredButSent],
    ["oldest position accepted, age", seconds(f.oldestAcceptedAgeMs)],
    ["requests during the outage", f.requestsDuringOutage],
    ["most requests in any second", f.maxRequestsPerSecond],
    ["longest stall of the sandbox", `${f.receiverStallMs} ms`],
    ["Redis memory before, most", `${megabytes(f.redisBytes.before)}, ${megabytes(f.redisBytes.most)}`],
    ["lost", f.lost],
    ["mismatches of the accounting", f.accountingMismatches],
  ];
  return rows.map(([what, value]) => `${what.padEnd(42)} ${value}`).join("\n");
}
