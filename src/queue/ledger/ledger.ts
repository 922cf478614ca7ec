/** The ledger: one compressed entry per settled batch, found again by unit and hour; bounded by bytes and age. */

import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { Redis } from "ioredis";
import { type Details, MAX_AHEAD_MS } from "../../reading.ts";
import { type PackedDetails, packDetails, unpackDetails } from "../redis/details.ts";
import { DISPOSITION, type Disposition } from "../redis/disposition.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import type { BufferRecord } from "../redis/record.ts";
import { entryTime } from "../redis/stream.ts";

/** What one POST came to. */
export interface LedgerBatch {
  batchId: string;
  destination: string;
  outcome: string;
  status: number | null;
  tookMs: number;
  traceId: string | null;
}

/** One ping of a ledger entry. */
export interface LedgerPing {
  unit: string;
  device: string;
  source: string;
  technician: string | null;
  /** UTC milliseconds since 1970. */
  fixTime: number;
  receivedAt: number;
  latitude: number;
  longitude: number;
  speedMps: number | null;
  headingDeg: number | null;
  details?: Details;
  fate: "delivered" | "dead_lettered" | "expired";
}

export interface LedgerEntry extends LedgerBatch {
  /** UTC milliseconds since 1970: when the batch was settled. */
  at: number;
  pings: LedgerPing[];
}

/**
 * An entry is stored by columns, because neighbours in a column resemble each other and deflate well: integers as
 * differences to the one before, texts as indexes into a list. This takes about a third of the size of rows.
 */
interface Columns {
  v: 1;
  b: LedgerBatch;
  texts: string[];
  unit: number[];
  /** Only where it is not the unit. */
  device: number[];
  source: number[];
  technician: number[];
  fixTime: number[];
  delay: number[];
  lat: number[];
  lon: number[];
  speed: (number | null)[];
  heading: (number | null)[];
  /** Only where there are any; absent when no ping of the entry has some. */
  details?: (PackedDetails | 0)[];
  fate: string;
}

const FATES: ReadonlyMap<string, LedgerPing["fate"]> = new Map([
  [DISPOSITION.delivered, "delivered"],
  [DISPOSITION.deadLettered, "dead_lettered"],
  [DISPOSITION.expired, "expired"],
]);

/** Level 1: the columns are already small, and every ping passes here, once per batch. */
const DEFLATE = { level: 1 };

/** Encodes what has come to an end; null when nothing has. Coordinates are kept to 1e-7 degrees, speed to 0.01 m/s. */
export function encodeEntry(
  batch: LedgerBatch,
  records: readonly BufferRecord[],
  dispositions: readonly Disposition[],
): Buffer | null {
  const texts: string[] = [];
  const known = new Map<string, number>();
  const indexOf = (text: string | null): number => {
    if (text === null) return -1;
    let index = known.get(text);
    if (index === undefined) {
      index = texts.push(text) - 1;
      known.set(text, index);
    }
    return index;
  };
  const columns: Columns = {
    v: 1,
    b: batch,
    texts,
    unit: [],
    device: [],
    source: [],
    technician: [],
    fixTime: [],
    delay: [],
    lat: [],
    lon: [],
    speed: [],
    heading: [],
    fate: "",
  };
  let fixTime = 0;
  let lat = 0;
  let lon = 0;
  records.forEach(({ unit, source, reading }, i) => {
    const disposition = dispositions[i];
    if (disposition === undefined || !FATES.has(disposition)) return;
    const latE7 = Math.round(reading.latitude * 1e7);
    const lonE7 = Math.round(reading.longitude * 1e7);
    columns.unit.push(indexOf(unit.unitId));
    columns.device.push(reading.deviceId === unit.unitId ? -1 : indexOf(reading.deviceId));
    columns.source.push(indexOf(source));
    columns.technician.push(indexOf(unit.technician));
    columns.fixTime.push(reading.fixTime - fixTime);
    columns.delay.push(reading.receivedAt - reading.fixTime);
    columns.lat.push(latE7 - lat);
    columns.lon.push(lonE7 - lon);
    columns.speed.push(reading.speedMps === null ? null : Math.round(reading.speedMps * 100));
    columns.heading.push(
      reading.headingDeg === null ? null : (Math.round(reading.headingDeg * 10) % 3600) / 10,
    );
    if (reading.details) columns.details ??= Array<0>(columns.fate.length).fill(0);
    columns.details?.push(reading.details ? packDetails(reading.details) : 0);
    columns.fate += disposition;
    fixTime = reading.fixTime;
    lat = latE7;
    lon = lonE7;
  });
  if (columns.fate === "") return null;
  return deflateRawSync(JSON.stringify(columns), DEFLATE);
}

export function decodeEntry(at: number, packed: Buffer): LedgerEntry {
  const columns: Columns = JSON.parse(inflateRawSync(packed).toString());
  let fixTime = 0;
  let lat = 0;
  let lon = 0;
  const text = (index: number | undefined) => columns.texts[index ?? -1];
  const pings = [...columns.fate].map((fate, i): LedgerPing => {
    fixTime += columns.fixTime[i] ?? 0;
    lat += columns.lat[i] ?? 0;
    lon += columns.lon[i] ?? 0;
    const unit = text(columns.unit[i]) ?? "";
    const speed = columns.speed[i] ?? null;
    const details = columns.details?.[i];
    return {
      unit,
      device: text(columns.device[i]) ?? unit,
      source: text(columns.source[i]) ?? "",
      technician: text(columns.technician[i]) ?? null,
      fixTime,
      receivedAt: fixTime + (columns.delay[i] ?? 0),
      latitude: lat / 1e7,
      longitude: lon / 1e7,
      speedMps: speed === null ? null : speed / 100,
      headingDeg: columns.heading[i] ?? null,
      ...(details && { details: unpackDetails(details) }),
      fate: FATES.get(fate) ?? "delivered",
    };
  });
  return { ...columns.b, at, pings };
}

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

/** What happened to a unit's pings in a time range, by fix time. */
export async function findPings(redis: Redis, query: LedgerQuery): Promise<FoundPing[]> {
  const { scope, unit, from, to, limit = Number.POSITIVE_INFINITY } = query;
  const found: FoundPing[] = [];
  let read = 0;
  for await (const id of entriesOf(redis, query)) {
    if (found.length >= limit || read === MAX_ENTRIES) break;
    read++;
    const [entry] = await redis.xrangeBuffer(keyOf(scope, SCOPE_KEYS.ledger), id, id);
    const packed = entry?.[1][1];
    if (!packed) continue;
    const { at: settledAt, pings, ...batch } = decodeEntry(entryTime(id), packed);
    for (const ping of pings) {
      if (ping.unit === unit && ping.fixTime >= from && ping.fixTime <= to) {
        found.push({ ...ping, settledAt, batch });
      }
    }
  }
  return found.sort((a, b) => a.fixTime - b.fixTime);
}

/** Ids of the entries with pings of a unit, those settled last first. */
async function* entriesOf(redis: Redis, { scope, destination, unit, from, to, maxDelayMs }: LedgerQuery) {
  const until = Math.min(to + maxDelayMs, Date.now() + HOUR_MS);
  // The index goes by when a batch was settled; a device's clock that is ahead puts that before the fix.
  const first = Math.floor((from - MAX_AHEAD_MS) / HOUR_MS);
  for (let hour = Math.floor(until / HOUR_MS); hour >= first; hour--) {
    const index = await redis.hgetBuffer(keyOf(scope, SCOPE_KEYS.ledgerIndex, destination, hour), unit);
    for (let at = (index?.length ?? 0) - 6; index && at >= 0; at -= 6) {
      yield `${hour * HOUR_MS + index.readUInt32BE(at)}-${index.readUInt16BE(at + 4)}`;
    }
  }
}

/** The newest entries, for the ops page. */
export async function recentEntries(redis: Redis, scope: string, limit: number): Promise<LedgerEntry[]> {
  const entries = await redis.xrevrangeBuffer(keyOf(scope, SCOPE_KEYS.ledger), "+", "-", "COUNT", limit);
  return entries.flatMap(([id, fields]) => {
    const packed = fields[1];
    return packed ? [decodeEntry(entryTime(id), packed)] : [];
  });
}
