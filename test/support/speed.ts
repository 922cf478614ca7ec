/** How much slower this machine is, at this moment, than the one the tests were written on. */

import { createHash } from "node:crypto";

/** Milliseconds that one round of `work` needs on the machine the tests were written on, when idle. */
const REFERENCE_MS = 27;
const ROUNDS = 9;
/** Until the compiler has done its work. */
const WARM_UP_ROUNDS = 2;
/** A machine slower than this would have the suite run for hours. */
const MAX_SLOWNESS = 8;

/** Passed on to the processes of the run: how many times slower than the reference, 1 or more. */
const VARIABLE = "WAYPOST_TEST_SLOWNESS";

/** A deadline that the product itself does not promise on a slow machine, as long as it is on this one; milliseconds. */
export function scaled(ms: number): number {
  return Math.ceil(ms * Number(process.env[VARIABLE] ?? 1));
}

/** Measures for a fraction of a second, once for a whole run: before the tests compete for the processors. */
export function measureSpeed(): void {
  if (process.env[VARIABLE] === undefined) process.env[VARIABLE] = String(slownessNow());
}

/** How many times slower than the reference this machine is at this moment, with all that runs on it; 1 or more. */
export function slownessNow(): number {
  for (let i = 0; i < WARM_UP_ROUNDS; i++) work();
  const took = Array.from({ length: ROUNDS }, () => {
    const began = performance.now();
    work();
    return performance.now() - began;
  }).sort((a, b) => a - b);
  const median = took[Math.floor(ROUNDS / 2)] ?? REFERENCE_MS;
  return Math.min(MAX_SLOWNESS, Math.max(1, median / REFERENCE_MS));
}

/** A mixture of what the gateway spends its time on: JSON, maps, and hashes. */
function work(): void {
  const reading = {
    deviceId: "van-1",
    latitude: 32.78,
    longitude: -96.8,
    time: "2026-11-29T12:00:00Z",
    speed: 10,
  };
  const seen = new Map<string, unknown>();
  for (let i = 0; i < 9000; i++) {
    const text = JSON.stringify({ ...reading, deviceId: `van-${i % 500}`, speed: i });
    seen.set(createHash("sha256").update(text).digest("hex"), JSON.parse(text));
  }
}
