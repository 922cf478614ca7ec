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

/** A hash as Redis lists it, names and values by turns; Lua's empty table is JSON's empty object. */
export type Flat = readonly string[] | object;

export interface SourceCount {
  name: string;
  counters: Flat;
  held: number;
  /** Devices that no mapping row names. */
  unmapped: number;
  waiting: number;
  inFlight: number;
  /** See pulse.lua. Without `minute`, only what changes within a minute. */
  pulse: Flat;
  /** Closed minutes, the latest first; empty where the caller has them already. */
  minutes: readonly string[] | object;
}

export interface DestinationCount {
  name: string;
  lanes: LaneCount[] | object;
  facts: Flat;
  gate: Flat;
  units: number;
}

/** Lua's empty table is JSON's empty object even where a list is meant; `listOf` and `mapOf` put that right. */
export interface ScopeCount {
  now: number;
  sources: SourceCount[] | object;
  destinations: DestinationCount[] | object;
  gate: Flat;
  orphans: object;
  sizes: Flat;
  /** Entries, and the ids of the oldest and the newest, empty where there is none. */
  lengths: Record<StreamName, { n: number; first: string; last: string }>;
}

export type StreamName = "ledger" | "dead" | "quarantine";

/**
 * Throws when Redis does not answer. `minutes`: of which open minute the caller has a source's closed minutes already.
 */
export async function countScope(
  redis: Redis,
  scope: string,
  { sources, destinations }: { sources: readonly string[]; destinations: readonly string[] },
  minutes: Readonly<Record<string, number>> = {},
): Promise<ScopeCount> {
  const args = namedArgs({ sources, destinations, minutes });
  const [text] = await runScript(redis, COUNT, [scope], [args]);
  const parsed: ScopeCount = JSON.parse(String(text));
  return parsed;
}

export function listOf<T>(value: T[] | object): T[] {
  return Array.isArray(value) ? value : [];
}

/** A hash by its names. */
export function hashOf(flat: Flat): Record<string, string> {
  const hash: Record<string, string> = {};
  const values: readonly unknown[] = Array.isArray(flat) ? flat : [];
  for (let i = 0; i + 1 < values.length; i += 2) hash[String(values[i])] = String(values[i + 1]);
  return hash;
}

export function numberOf(text: string | undefined): number {
  return Number(text ?? 0);
}
