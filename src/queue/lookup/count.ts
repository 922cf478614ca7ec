/** Counts everything of one scope in one atomic step: counters, what waits, is held, is in flight, and the gates. */

import type { Redis } from "ioredis";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";

const COUNT = loadScript("count");

export interface LaneCount {
  lane: number;
  waiting: number;
  inFlight: number;
  /** Times are UTC milliseconds since 1970. `oldest`: when the oldest ping that waits arrived. */
  oldest?: number;
  batchId?: string;
  formedAt?: number;
  /** When the request was sent that has no answer yet. */
  sentAt?: number;
}

export interface SourceCount {
  name: string;
  counters: object;
  held: number;
  waiting: number;
  inFlight: number;
}

export interface DestinationCount {
  name: string;
  lanes: LaneCount[] | object;
  facts: object;
  gate: object;
  units: number;
}

/** Lua's empty table is JSON's empty object even where a list is meant; `listOf` and `mapOf` put that right. */
export interface ScopeCount {
  now: number;
  sources: SourceCount[] | object;
  destinations: DestinationCount[] | object;
  gate: object;
  orphans: object;
  sizes: object;
  lengths: Record<"ledger" | "dead" | "quarantine", { n: number; first: string }>;
}

/** Throws when Redis does not answer. */
export async function countScope(
  redis: Redis,
  scope: string,
  sources: Iterable<string>,
  destinations: readonly string[],
): Promise<ScopeCount> {
  const args = namedArgs({ sources: [...sources], destinations });
  const [text] = await runScript(redis, COUNT, [scope], [args]);
  const parsed: ScopeCount = JSON.parse(String(text));
  return parsed;
}

export function listOf<T>(value: T[] | object): T[] {
  return Array.isArray(value) ? value : [];
}

export function mapOf(value: object): Record<string, string> {
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, String(each)]));
}

export function numberOf(text: string | undefined): number {
  return Number(text ?? 0);
}
