/** Every Redis key the gateway uses. All keys of one throttle scope share its hash tag, so one script may touch them. */

import { createHash } from "node:crypto";

/** App + tenant: what ServiceTitan counts requests against. The app key is hashed because keys show up in tools. */
export function scopeOf(appKey: string, tenant: string): string {
  return `${createHash("sha256").update(appKey).digest("hex").slice(0, 8)}-${tenant}`;
}

/** The part every key of a scope begins with; scripts build the rest from it (see lua.ts, which mirrors this list). */
export function scopePrefix(prefix: string, scope: string): string {
  return `${prefix}:{${scope}}`;
}

/** Keys under a scope's prefix `p`. A *line* is what waits in one lane of one destination from one source. */
export const keys = {
  /** Hash: every counter of the accounting identity, per source. */
  counters: (p: string, source: string) => `${p}:n:${source}`,
  /** Hash: device → fingerprints of its recent fixes. */
  fingerprints: (p: string, source: string) => `${p}:fp:${source}`,
  /** Hash: device → newest reading that waits for a mapping row. */
  held: (p: string, source: string) => `${p}:held:${source}`,
  /** Hash: device without a mapping row → its last fix time. */
  unmapped: (p: string, source: string) => `${p}:unmapped:${source}`,
  /** Set of `destination|lane`: where something has ever waited. */
  lanes: (p: string) => `${p}:lanes`,
  /** List: records in the order they arrived. */
  waiting: (p: string, line: string) => `${p}:q:${line}`,
  /** List: a batch's records. The truth about what is in flight; the BullMQ job only wakes a worker. */
  batch: (p: string, id: string) => `${p}:b:${id}`,
  /** Hash: what a batch carries beside its records (flags, fencing token, its past). */
  batchFacts: (p: string, id: string) => `${p}:bm:${id}`,
  /** Hash: unit → fix time of the newest ping ServiceTitan accepted. */
  accepted: (p: string, destination: string) => `${p}:accepted:${destination}`,
  /** Hash: a destination's numbers (bytes waiting, learned byte cap, last outcome). */
  destination: (p: string, destination: string) => `${p}:dest:${destination}`,
  /** Stream, one compressed entry per settled batch. */
  ledger: (p: string) => `${p}:ledger`,
  /** String: ledger entry ids of one unit in one hour, six bytes each. */
  ledgerIndex: (p: string, destination: string, hour: number, unit: string) =>
    `${p}:li:${destination}:${hour}:${unit}`,
  /** Streams. */
  deadLetters: (p: string) => `${p}:dead`,
  quarantine: (p: string) => `${p}:quarantine`,
  /** Hash: bytes held in the streams above. */
  sizes: (p: string) => `${p}:sizes`,
} as const;
