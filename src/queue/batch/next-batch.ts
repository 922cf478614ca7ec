/** Asks Redis for a lane's next batch. */

import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";

const NEXT_BATCH = loadScript("next-batch");

/** A batch as it was formed: its id and its records, in the order they stand in Redis. */
export interface Batch {
  id: string;
  destination: string;
  lane: number;
  /** One character per record: `1` where ServiceTitan has not accepted a ping of that unit yet. */
  newFlags: string;
  records: string[];
}

export type NextBatch =
  | { kind: "batch"; batch: Batch }
  | { kind: "busy" | "empty" | "again" }
  /** Ask again after `waitMs`. */
  | { kind: "closed" | "wait"; waitMs: number };

/** A backlog whose oldest ping came longer ago than this means we are behind: the newest go first. */
const BEHIND_MS = 5000;
/** A batch is formed when its throttle slot is at most this far away; earlier it would only age outside the backlog. */
const SLOT_LIKELY_MS = 100;

/** Throws when Redis does not answer. */
export async function nextBatch(
  redis: Redis,
  destination: QueueDestination,
  lane: number,
  batchId: string,
): Promise<NextBatch> {
  const { name, keyPrefix } = destination;
  const args = {
    destination: name,
    lane,
    batchId,
    maxBatchPings: destination.maxBatchPings,
    maxBatchBytes: destination.maxBatchBytes,
    maxBatchAgeMs: destination.maxBatchAgeMs,
    maxAgeMs: destination.maxAgeMs,
    behindMs: BEHIND_MS,
    backfill: destination.backfill,
    ratePerSecond: destination.ratePerSecond,
    windowMs: destination.windowMs,
    slotLikelyMs: SLOT_LIKELY_MS,
  };
  const [kind, ...rest] = (await runScript(redis, NEXT_BATCH, [keyPrefix], [namedArgs(args)])).map(String);
  switch (kind) {
    case "batch": {
      const [id = "", newFlags = "", ...records] = rest;
      return { kind, batch: { id, destination: name, lane, newFlags, records } };
    }
    case "busy":
    case "empty":
    case "again":
      return { kind };
    case "closed":
    case "wait":
      return { kind, waitMs: Math.max(1, Number(rest[0])) };
    default:
      throw new Error(`Unexpected answer of next-batch.lua: ${kind}`);
  }
}
