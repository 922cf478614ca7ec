/** Runs fuzz cases in a process of its own, so that one that never ends can be seen from outside. */

import { runCase } from "./cases.ts";
import type { FuzzMessage, FuzzPlan, FuzzTally } from "./fuzz.ts";

/** Often enough to name the neighbourhood of a case that hangs. */
const REPORT_EVERY_MS = 50;
/** Ten are enough to begin with. */
const MAX_FAILURES = 10;

const { seed, from, cases, untilMs }: FuzzPlan = JSON.parse(process.argv[2] ?? "");
const tally: FuzzTally = { cases: 0, decoded: 0, readings: 0, rejections: 0, failures: [], byVendor: {} };
const tell = (message: FuzzMessage) => process.send?.(message);

let toldAt = 0;
const wanted = cases ?? Infinity;
for (
  let at = from;
  tally.cases < wanted && Date.now() < untilMs && tally.failures.length < MAX_FAILURES;
  at++
) {
  if (performance.now() - toldAt > REPORT_EVERY_MS) {
    tell({ kind: "at", case: at });
    toldAt = performance.now();
    // Lets the message out before the next case, which may be the one.
    await new Promise(setImmediate);
  }
  const { vendor, decoded, readings, rejections, failure } = runCase(seed, at);
  const own = tally.byVendor[vendor] ?? { cases: 0, decoded: 0 };
  tally.byVendor[vendor] = { cases: own.cases + 1, decoded: own.decoded + (decoded ? 1 : 0) };
  tally.cases++;
  if (decoded) tally.decoded++;
  tally.readings += readings;
  tally.rejections += rejections;
  if (failure !== null) tally.failures.push(failure);
}
tell({ kind: "done", tally });
process.disconnect?.();
