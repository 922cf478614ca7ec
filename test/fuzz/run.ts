/** `npm run fuzz`: mutates fixtures until time is up or something is found. */

import { randomBytes } from "node:crypto";
import { Command } from "commander";
import { runCase } from "./cases.ts";
import { fuzz } from "./fuzz.ts";

const options = new Command("fuzz")
  .option("--minutes <n>", "how long", Number, 5)
  .option("--seed <seed>", "another seed makes other cases", randomBytes(4).toString("hex"))
  .option("--case <n>", "only this one, to look at it", Number)
  .parse()
  .opts<{ minutes: number; seed: string; case?: number }>();

if (options.case !== undefined) {
  const result = runCase(options.seed, options.case);
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
} else {
  const { seed, minutes } = options;
  const found = await fuzz({ seed, from: 0, cases: null, untilMs: Date.now() + minutes * 60_000 });
  const share = (100 * found.decoded) / found.cases;
  for (const failure of found.failures) process.stdout.write(`${failure}\n\n`);
  process.stdout.write(
    `seed ${seed}: ${found.cases} cases, ${share.toFixed(1)} % passed the envelope, ${found.readings} readings, ` +
      `${found.rejections} rejections, ${found.failures.length} failures\n`,
  );
  if (found.failures.length > 0) process.exitCode = 1;
}
