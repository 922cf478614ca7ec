/** Reads which devices of a source are in trouble, from the values that device-trouble.lua tells. */

import type { TroubledDevice } from "../../status/queue.ts";

/** Values per device. */
const WIDTH = 11;

/** Those rejected last first; at most 50. */
export function readTroubled(values: readonly unknown[]): TroubledDevice[] {
  const found: TroubledDevice[] = [];
  for (let at = 0; at + WIDTH <= values.length; at += WIDTH) {
    const [device = "", ...parts] = values.slice(at, at + WIDTH).map(String);
    const [since, lastAt, rejected, messages, good, goodInARow, goodAt, reason = "", least, greatest] = parts;
    found.push({
      device,
      since: Number(since),
      lastAt: Number(lastAt),
      rejected: Number(rejected),
      messages: Number(messages),
      good: Number(good),
      goodInARow: Number(goodInARow),
      goodAt: Number(goodAt) || null,
      reason,
      offsetMs: least && greatest ? { least: Number(least), greatest: Number(greatest) } : null,
    });
  }
  return found;
}
