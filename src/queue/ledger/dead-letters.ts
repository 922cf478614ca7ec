/** Reads dead letters: pings that ServiceTitan refused for good. */

import type { Redis } from "ioredis";
import { externalIdOf } from "../../servicetitan/ping.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { decodeRecord } from "../redis/record.ts";
import { entryTime, fieldOf } from "../redis/stream.ts";

export interface DeadLetter {
  id: string;
  /** UTC milliseconds since 1970: when it was dead-lettered. */
  at: number;
  destination: string;
  source: string;
  unit: string;
  externalId: string;
  fixTime: number;
  reason: string;
  message: string;
}

export function decodeDeadLetter(id: string | Buffer, fields: readonly (string | Buffer)[]): DeadLetter {
  const field = (name: string) => String(fieldOf(fields, name) ?? "");
  const { source, unit, reading } = decodeRecord(field("record"));
  return {
    id: id.toString(),
    at: entryTime(id),
    destination: field("destination"),
    source,
    unit: unit.unitId,
    externalId: externalIdOf(source, reading.deviceId, reading.fixTime),
    fixTime: reading.fixTime,
    reason: field("reason"),
    message: field("message"),
  };
}

/** The newest first. */
export async function recentDeadLetters(redis: Redis, scope: string, limit: number): Promise<DeadLetter[]> {
  const entries = await redis.xrevrange(keyOf(scope, SCOPE_KEYS.deadLetters), "+", "-", "COUNT", limit);
  return entries.map(([id, fields]) => decodeDeadLetter(id, fields));
}
