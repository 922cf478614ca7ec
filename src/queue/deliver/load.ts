/** A batch's records, read back and put in the order they are sent in, and the body made from them. */

import type { Redis } from "ioredis";
import { externalIdOf, toPing } from "../../servicetitan/ping.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { type BufferRecord, decodeRecord } from "../redis/record.ts";

export interface Load {
  records: BufferRecord[];
  newFlags: string;
  /** Positions in `records`, by fix time: a unit's pings travel oldest first. */
  order: number[];
}

/** What Redis holds of a batch. */
export async function readBatch(
  redis: Redis,
  { keyPrefix }: QueueDestination,
  id: string,
): Promise<{ records: string[]; newFlags: string }> {
  const [records, newFlags] = await Promise.all([
    redis.lrange(keyOf(keyPrefix, SCOPE_KEYS.batch, id), 0, -1),
    redis.hget(keyOf(keyPrefix, SCOPE_KEYS.batchFacts, id), "new"),
  ]);
  return { records, newFlags: newFlags ?? "" };
}

/** Null: the batch has been settled. */
export function loadOf({ records: texts, newFlags }: { records: string[]; newFlags: string }): Load | null {
  if (texts.length === 0) return null;
  const records = texts.map(decodeRecord);
  const order = records.map((_, i) => i).sort((a, b) => fixTimeAt(records, a) - fixTimeAt(records, b));
  return { records, newFlags, order };
}

export function fixTimeAt(records: readonly BufferRecord[], position: number): number {
  return records[position]?.reading.fixTime ?? 0;
}

export function idsOf(records: readonly BufferRecord[], positions: readonly number[]): string[] {
  return positions.flatMap((position) => {
    const record = records[position];
    return record ? [externalIdOf(record.source, record.reading.deviceId, record.reading.fixTime)] : [];
  });
}

export function bodyOf(
  { isNew, speedUnit }: QueueDestination,
  { records, newFlags }: Load,
  positions: readonly number[],
): string {
  const seen = new Set<string>();
  let body = "";
  for (const position of positions) {
    const record = records[position];
    if (!record) continue;
    const { reading, source, unit } = record;
    // Of a new unit's pings in one batch only the first is the first.
    const first = newFlags[position] === "1" && !seen.has(unit.unitId);
    if (first) seen.add(unit.unitId);
    const settings = { speedUnit, isNew: isNew === "always" || (isNew === "first" && first) };
    body += `${body === "" ? "[" : ","}${toPing(reading, source, unit, settings)}`;
  }
  return `${body}]`;
}
