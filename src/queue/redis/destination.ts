/** A destination as the queue sees it: where its keys are, and how it is to be served. */

import type { SpeedUnit } from "../../reading.ts";
import type { Target } from "../../servicetitan/client.ts";

/** By name. What is in it changes with the configuration: nothing that follows from it is kept across an `await`. */
export type Destinations = ReadonlyMap<string, QueueDestination>;

/** The key prefixes of their throttle scopes, each once. */
export function scopesOf(destinations: Destinations): string[] {
  return [...new Set([...destinations.values()].map(({ keyPrefix }) => keyPrefix))];
}

export interface QueueDestination {
  name: string;
  /** Key prefix of its throttle scope (see keys.ts). */
  keyPrefix: string;
  target: Target;
  ratePerSecond: number;
  /** Length of the throttle's window: one second plus the guard. */
  windowMs: number;
  /** Up to this late a throttle slot counts as used in time; the rest of the guard is left to the network. */
  slotSlackMs: number;
  maxBatchPings: number;
  maxBatchBytes: number;
  maxBatchAgeMs: number;
  lanes: number;
  /** Infinity: no limit. */
  maxAgeMs: number;
  backfill: "drop" | "deliver";
  isNew: "first" | "always" | "never";
  speedUnit: SpeedUnit;
  bufferBytes: number;
}
