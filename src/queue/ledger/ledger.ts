/** The ledger: one compressed entry per settled batch, found again by unit and hour; bounded by bytes and age. */

import type { Redis } from "ioredis";
import { MAX_AHEAD_MS } from "../../reading.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { entryTime } from "../redis/stream.ts";
import { decodeEntry, type LedgerBatch, type LedgerEntry, type LedgerPing } from "./entry.ts";

/** A ping found again, with what became of the batch it travelled in. */
export interface FoundPing extends LedgerPing {
  /** UTC milliseconds since 1970. */
  settledAt: number;
  batch: LedgerBatch;
}

export interface LedgerQuery {
  scope: string;
  destination: string;
  unit: string;
  /** Fix times, UTC milliseconds since 1970, both ends included. */
  from: number;
  to: number;
  /** How long after its fix a ping may have been settled, milliseconds. */
  maxDelayMs: number;
  /** Of more pings only those settled last. */
  limit?: number;
}

const HOUR_MS = 3_600_000;
/** Entries read for one answer; a question that needs more is too wide for one page. */
const MAX_ENTRIES = 20_000;

/** What became of a unit's pings in a time range, by fix time; attempts that brought them to no end are not among them. */
export async function findPings(redis: Redis, query: LedgerQuery): Promise<FoundPing[]> {
  const { scope, unit, from, to, limit = Number.POSITIVE_INFINITY } = query;
  const found: FoundPing[] = [];
  let read = 0;
  for await (const id of entriesOf(redis, query)) {
    if (found.length >= limit || read === MAX_ENTRIES) break;
    read++;
    found.push(
      ...(await pingsOf(redis, scope, id, (ping) => {
        const { fixTime, fate } = ping;
        return ping.unit === unit && fate !== "returned" && fixTime >= from && fixTime <= to;
      })),
    );
  }
  return found.sort((a, b) => a.fixTime - b.fixTime);
}

/** Pings of one entry; empty where it is gone. */
async function pingsOf(
  redis: Redis,
  scope: string,
  id: string,
  isWanted: (ping: LedgerPing) => boolean,
): Promise<FoundPing[]> {
  const [entry] = await redis.xrangeBuffer(keyOf(scope, SCOPE_KEYS.ledger), id, id);
  const packed = entry?.[1][1] ?? (await redis.hgetBuffer(keyOf(scope, SCOPE_KEYS.ledgerRest), id));
  if (!packed) return [];
  const { at: settledAt, pings, ...batch } = decodeEntry(entryTime(id), packed);
  return pings.filter(isWanted).map((ping) => ({ ...ping, settledAt, batch }));
}

export interface DeviceQuery {
  scope: string;
  destination: string;
  unit: string;
  source: string;
  device: string;
  /** By the time a batch was settled, UTC milliseconds since 1970. */
  from: number;
  to: number;
  /** It is read no further back once so many are found. */
  limit: number;
}

/** Entries read for one device; 20 events take a few, a device that is sent and returned all the time more. */
const MAX_DEVICE_ENTRIES = 100;
/** Hours of the index asked for at once. */
const HOURS_AT_ONCE = 24;

/** What happened last to a device's pings at a destination, attempts included, those settled last first. */
export async function lastPings(redis: Redis, query: DeviceQuery): Promise<FoundPing[]> {
  const { scope, destination, unit, source, device, from, to, limit } = query;
  const found: FoundPing[] = [];
  let read = 0;
  const firstHour = Math.floor(from / HOUR_MS);
  for (let last = Math.floor(to / HOUR_MS); last >= firstHour; last -= HOURS_AT_ONCE) {
    const hours = Array.from({ length: HOURS_AT_ONCE }, (_, i) => last - i).filter(
      (hour) => hour >= firstHour,
    );
    const indexes = await Promise.all(
      hours.map((hour) => redis.hgetBuffer(keyOf(scope, SCOPE_KEYS.ledgerIndex, destination, hour), unit)),
    );
    for (const id of hours.flatMap((hour, i) => [...entryIds(hour, indexes[i] ?? null)])) {
      if (found.length >= limit || read === MAX_DEVICE_ENTRIES) return found;
      read++;
      found.push(
        ...(await pingsOf(redis, scope, id, (ping) => ping.device === device && ping.source === source)),
      );
    }
  }
  return found;
}

/** Ids of the entries with pings of a unit, those settled last first. */
async function* entriesOf(redis: Redis, { scope, destination, unit, from, to, maxDelayMs }: LedgerQuery) {
  const until = Math.min(to + maxDelayMs, Date.now() + HOUR_MS);
  // The index goes by when a batch was settled; a device's clock that is ahead puts that before the fix.
  const first = Math.floor((from - MAX_AHEAD_MS) / HOUR_MS);
  for (let hour = Math.floor(until / HOUR_MS); hour >= first; hour--) {
    const index = await redis.hgetBuffer(keyOf(scope, SCOPE_KEYS.ledgerIndex, destination, hour), unit);
    yield* entryIds(hour, index);
  }
}

/** The last written first. */
function* entryIds(hour: number, index: Buffer | null) {
  for (let at = (index?.length ?? 0) - 6; index && at >= 0; at -= 6) {
    yield `${hour * HOUR_MS + index.readUInt32BE(at)}-${index.readUInt16BE(at + 4)}`;
  }
}

/** When the oldest entry was written, UTC milliseconds since 1970; null where there is none. */
export async function oldestEntryAt(redis: Redis, scope: string): Promise<number | null> {
  const [oldest] = await redis.xrangeBuffer(keyOf(scope, SCOPE_KEYS.ledger), "-", "+", "COUNT", 1);
  return oldest ? entryTime(oldest[0]) : null;
}

/** The newest entries, for the ops page. */
export async function recentEntries(redis: Redis, scope: string, limit: number): Promise<LedgerEntry[]> {
  const entries = await redis.xrevrangeBuffer(keyOf(scope, SCOPE_KEYS.ledger), "+", "-", "COUNT", limit);
  return entries.flatMap(([id, fields]) => {
    const packed = fields[1];
    return packed ? [decodeEntry(entryTime(id), packed)] : [];
  });
}
