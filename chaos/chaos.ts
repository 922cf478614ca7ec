/** `npm run chaos`: breaks everything around the gateway and the gateway itself, and reports whether anything was lost. */

import { Command, InvalidArgumentError } from "commander";
import { FAULTS } from "./faults/all.ts";
import { judge } from "./judge.ts";
import { jsonLines, table } from "./report.ts";
import { run } from "./run.ts";

const program = new Command("chaos")
  .option("--minutes <n>", "how long faults go on", positive, 2)
  .option("--seed <text>", "the same seed breaks the same things in the same order", String(Date.now()))
  .option("--only <names>", "these faults only, separated by commas")
  .option("--short", "what lasts long lasts 3 s instead of 10 to 15")
  .option("--appendfsync <policy>", "of Redis: everysec or always", "everysec")
  .option("--json", "one line of JSON per fault, and the whole run in the last line")
  .action(async (options: Options) => {
    const faults = chosen(options.only);
    // Standard output belongs to the verdict.
    const report = (text: string) => process.stderr.write(`${text}\n`);
    report(`chaos: seed ${options.seed}, ${options.minutes} minutes, ${faults.length} faults`);
    const history = await run({
      seed: options.seed,
      forMs: options.minutes * 60_000,
      faults,
      lengths: options.short ? "short" : "full",
      appendfsync: options.appendfsync === "always" ? "always" : "everysec",
      report,
    });
    const verdict = judge(history);
    process.stdout.write(options.json ? jsonLines(options.seed, verdict) : table(verdict));
    process.exitCode = verdict.violations.length === 0 ? 0 : 1;
  });

interface Options {
  minutes: number;
  seed: string;
  only?: string;
  short?: true;
  appendfsync: string;
  json?: true;
}

await program.parseAsync();

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("must be a number above 0");
  return value;
}

function chosen(names: string | undefined) {
  if (names === undefined) return FAULTS;
  return names.split(",").map((name) => {
    const found = FAULTS.find((fault) => fault.name === name);
    if (found) return found;
    throw new Error(`No fault is called ${name}; there are ${FAULTS.map((fault) => fault.name).join(", ")}.`);
  });
}
