/** The pulse of a source in one scope: its counters by the minute, and how it has been sending. The Lua side is pulse.lua. */

import { hashOf, listOf, type SourceCount } from "./count.ts";

export type Counts = Readonly<Record<string, number>>;

export interface Pulse {
  /** The counters since ever. */
  totals: Counts;
  /** Minutes since 1970 of the open minute, and the counters when it began; null before the first message. */
  open: { minute: number; base: Counts } | null;
  /** The latest first. */
  closed: readonly { minute: number; counts: Counts }[];
  facts: Readonly<Record<string, string>>;
}

const NEVER: Pulse = { totals: {}, open: null, closed: [], facts: {} };

/** What is known after one more count; closed minutes do not change, so the script sends them once. */
export function nextPulse(before: Pulse = NEVER, counted: SourceCount): Pulse {
  const facts = hashOf(counted.pulse);
  const totals = numbersOf(hashOf(counted.counters));
  if (facts.minute === undefined) return { ...before, totals, facts: { ...before.facts, ...facts } };
  const { minute, base = "", ...rest } = facts;
  return {
    totals,
    open: { minute: Number(minute), base: countsIn(base) },
    closed: listOf<string>(counted.minutes).map((text) => {
      const colon = text.indexOf(":");
      return { minute: Number(text.slice(0, colon)), counts: countsIn(text.slice(colon + 1)) };
    }),
    facts: rest,
  };
}

/** What a source counted in the last whole minutes and the open one, over all of its scopes. */
export function countsOfLast(
  minutes: number,
  pulses: readonly Pulse[],
  nowMs: number,
): Record<string, number> {
  const after = Math.floor(nowMs / 60_000) - minutes;
  const sum: Record<string, number> = {};
  const add = (counts: Counts, less: Counts = {}) => {
    for (const [field, n] of Object.entries(counts)) {
      const moved = n - (less[field] ?? 0);
      if (moved !== 0) sum[field] = (sum[field] ?? 0) + moved;
    }
  };
  for (const { open, closed, totals } of pulses) {
    if (open === null) continue;
    if (open.minute > after) add(totals, open.base);
    for (const { minute, counts } of closed) {
      if (minute <= after) break;
      add(counts);
    }
  }
  // A redrive takes back what was counted earlier.
  for (const [field, n] of Object.entries(sum)) if (n <= 0) delete sum[field];
  return sum;
}

function countsIn(text: string): Counts {
  if (text === "") return {};
  return numbersOf(hashOf(text.split(",")));
}

function numbersOf(hash: Record<string, string>): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const [name, text] of Object.entries(hash)) numbers[name] = Number(text);
  return numbers;
}
