/** Encodes an entry of the ledger: what became of one batch and its pings, in few bytes. */

import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { Details } from "../../reading.ts";
import { type PackedDetails, packDetails, unpackDetails } from "../redis/details.ts";
import { DISPOSITION, type Disposition } from "../redis/disposition.ts";
import type { BufferRecord } from "../redis/record.ts";

/** What one POST came to. */
export interface LedgerBatch {
  batchId: string;
  destination: string;
  outcome: string;
  status: number | null;
  tookMs: number;
  traceId: string | null;
  /** UTC milliseconds since 1970, by Redis's clock; absent in entries of before they were recorded. */
  formedAt?: number | null;
  /** Null: nothing was posted. */
  sentAt?: number | null;
  /** ServiceTitan's own words for the outcome, redacted and bounded; null where there were none. */
  words?: string | null;
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
  /** `returned`: the batch was posted, and this ping came to no end by it. */
  fate: "delivered" | "dead_lettered" | "expired" | "returned";
  /** Of a dead-lettered one: why, and what was said of it. */
  letter?: { reason: string; message: string };
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
  /** Reason and message as texts; only where there are any. */
  letter?: ([reason: number, message: number] | 0)[];
  fate: string;
}

interface Packed extends Columns {
  v: 1;
  b: LedgerBatch;
  texts: string[];
  /** What was posted and came to no end. Apart, because an older gateway would read it as delivered. */
  returned?: Columns;
}

const FATES: ReadonlyMap<string, LedgerPing["fate"]> = new Map([
  [DISPOSITION.delivered, "delivered"],
  [DISPOSITION.deadLettered, "dead_lettered"],
  [DISPOSITION.expired, "expired"],
]);

/** Level 1: the columns are already small, and every ping passes here, once per batch. */
const DEFLATE = { level: 1 };

/** What is told of one ping beside its record. */
export interface DeadLetterNote {
  /** Its place among the records. */
  at: number;
  reason: string;
  message: string;
}

/**
 * Encodes what has come to an end, and where something was posted also what has not; null when there is neither.
 * Coordinates are kept to 1e-7 degrees, speed to 0.01 m/s.
 */
export function encodeEntry(
  batch: LedgerBatch,
  records: readonly BufferRecord[],
  dispositions: readonly Disposition[],
  {
    posted = [],
    deadLetters = [],
  }: { posted?: readonly number[]; deadLetters?: readonly DeadLetterNote[] } = {},
): Buffer | null {
  const ended = records.map((_, i) => i).filter((i) => FATES.has(dispositions[i] ?? ""));
  const returned = posted.filter((i) => records[i] !== undefined && !FATES.has(dispositions[i] ?? ""));
  if (ended.length + returned.length === 0) return null;
  const texts = createTexts();
  const letters = new Map(deadLetters.map((letter) => [letter.at, letter]));
  const columnsOf = (places: readonly number[]) => {
    const columns = packColumns(places, records, dispositions, texts);
    if (places.some((i) => letters.has(i))) {
      columns.letter = places.map((i) => {
        const letter = letters.get(i);
        return letter ? [texts.indexOf(letter.reason), texts.indexOf(letter.message)] : 0;
      });
    }
    return columns;
  };
  const packed: Packed = {
    v: 1,
    b: batch,
    texts: texts.all,
    ...columnsOf(ended),
    ...(returned.length > 0 && { returned: columnsOf(returned) }),
  };
  return deflateRawSync(JSON.stringify(packed), DEFLATE);
}

function createTexts() {
  const all: string[] = [];
  const known = new Map<string, number>();
  function indexOf(text: string | null): number {
    if (text === null) return -1;
    let index = known.get(text);
    if (index === undefined) {
      index = all.push(text) - 1;
      known.set(text, index);
    }
    return index;
  }
  return { all, indexOf };
}

function packColumns(
  places: readonly number[],
  records: readonly BufferRecord[],
  dispositions: readonly Disposition[],
  { indexOf }: ReturnType<typeof createTexts>,
): Columns {
  const columns: Columns = {
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
  for (const i of places) {
    const record = records[i];
    if (record === undefined) continue;
    const { unit, source, reading } = record;
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
    columns.fate += dispositions[i] ?? "";
    fixTime = reading.fixTime;
    lat = latE7;
    lon = lonE7;
  }
  return columns;
}

/** Reads an entry back; `at` is the time in its id. Those that came to an end come first. */
export function decodeEntry(at: number, packed: Buffer): LedgerEntry {
  const { b, texts, returned, ...ended }: Packed = JSON.parse(inflateRawSync(packed).toString());
  const pings = unpackColumns(ended, texts, (fate) => FATES.get(fate) ?? "delivered");
  if (returned) pings.push(...unpackColumns(returned, texts, () => "returned"));
  return { ...b, at, pings };
}

/** The entry without the pings of one unit; null where nothing is left. */
export function encodeWithout({ at: _at, pings, ...batch }: LedgerEntry, unit: string): Buffer | null {
  const left = pings.filter((ping) => ping.unit !== unit);
  const dispositions = left.map(({ fate }) => DISPOSITION_OF[fate]);
  const posted = left.flatMap(({ fate }, i) => (fate === "returned" ? [i] : []));
  const deadLetters = left.flatMap(({ letter }, at) => (letter ? [{ at, ...letter }] : []));
  return encodeEntry(batch, left.map(recordOf), dispositions, { posted, deadLetters });
}

const DISPOSITION_OF: Record<LedgerPing["fate"], Disposition> = {
  delivered: DISPOSITION.delivered,
  dead_lettered: DISPOSITION.deadLettered,
  expired: DISPOSITION.expired,
  returned: DISPOSITION.returned,
};

function recordOf({ unit, technician, source, device, fate: _fate, letter: _letter, ...fix }: LedgerPing) {
  return {
    unit: { unitId: unit, unitName: unit, technician },
    source,
    reading: { deviceId: device, ...fix },
  };
}

function unpackColumns(
  columns: Columns,
  texts: readonly string[],
  fateOf: (character: string) => LedgerPing["fate"],
): LedgerPing[] {
  let fixTime = 0;
  let lat = 0;
  let lon = 0;
  const text = (index: number | undefined) => texts[index ?? -1];
  return [...columns.fate].map((fate, i): LedgerPing => {
    fixTime += columns.fixTime[i] ?? 0;
    lat += columns.lat[i] ?? 0;
    lon += columns.lon[i] ?? 0;
    const unit = text(columns.unit[i]) ?? "";
    const speed = columns.speed[i] ?? null;
    const details = columns.details?.[i];
    const letter = columns.letter?.[i];
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
      fate: fateOf(fate),
      ...(letter && { letter: { reason: text(letter[0]) ?? "", message: text(letter[1]) ?? "" } }),
    };
  });
}
