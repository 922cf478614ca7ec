/** The form in which a ping waits in Redis: a fixed head that scripts can read without parsing, then facts, then the ping. */

import type { Reading } from "../reading.ts";

/** Version of the layout, its first character. A newer gateway must still read what an older one left behind. */
const VERSION = "1";

/** A record read back. */
export interface BufferRecord {
  /** UTC milliseconds since 1970. */
  fixTime: number;
  /** UTC milliseconds since 1970. */
  receivedAt: number;
  unit: string;
  source: string;
  device: string;
  technician: string | null;
  /** WGS84 degrees. */
  latitude: number;
  longitude: number;
  speedMps: number | null;
  headingDeg: number | null;
  /** The encoded ping, still open at its end (see servicetitan/ping.ts). */
  ping: string;
}

type Facts = [
  device: string,
  technician: string | null,
  latitude: number,
  longitude: number,
  speedMps: number | null,
  headingDeg: number | null,
];

/**
 * Encodes: version (1), fixTime (13 digits), receivedAt (13), bytes of unit (3), bytes of source (2), unit, source,
 * facts as a JSON array, a line feed, the open ping. Offsets are in bytes, as Lua counts them.
 */
export function encodeRecord(
  source: string,
  unit: { unitId: string; technician: string | null },
  reading: Reading,
  ping: string,
): string {
  const unitBytes = Buffer.byteLength(unit.unitId);
  const head = `${VERSION}${digits(reading.fixTime, 13)}${digits(reading.receivedAt, 13)}${digits(unitBytes, 3)}${digits(source.length, 2)}`;
  const technician = unit.technician === null ? "null" : JSON.stringify(unit.technician);
  const facts = `[${JSON.stringify(reading.deviceId)},${technician},${reading.latitude},${reading.longitude},${reading.speedMps},${reading.headingDeg}]`;
  return `${head}${unit.unitId}${source}${facts}\n${ping}`;
}

/** Reads a record back. Throws on another version or a damaged record: that is a bug, never vendor data. */
export function decodeRecord(text: string): BufferRecord {
  const fixTime = Number(text.slice(1, 14));
  if (text[0] !== VERSION || !Number.isInteger(fixTime)) {
    throw new Error(`Buffer record of unknown version "${text.slice(0, 1)}": written by a newer gateway?`);
  }
  const unit = unitOf(text, Number(text.slice(27, 30)));
  const sourceEnd = 32 + unit.length + Number(text.slice(30, 32));
  const lineFeed = text.indexOf("\n", sourceEnd);
  const facts: Facts = JSON.parse(text.slice(sourceEnd, lineFeed));
  const [device, technician, latitude, longitude, speedMps, headingDeg] = facts;
  return {
    fixTime,
    receivedAt: Number(text.slice(14, 27)),
    unit,
    source: text.slice(32 + unit.length, sourceEnd),
    device,
    technician,
    latitude,
    longitude,
    speedMps,
    headingDeg,
    ping: text.slice(lineFeed + 1),
  };
}

/** The unit's length is in bytes; only for text beyond ASCII does that differ from JavaScript's count. */
function unitOf(text: string, bytes: number): string {
  const plain = text.slice(32, 32 + bytes);
  if (Buffer.byteLength(plain) === bytes) return plain;
  return Buffer.from(text.slice(32, 32 + bytes))
    .subarray(0, bytes)
    .toString();
}

function digits(value: number, width: number): string {
  const text = String(value);
  return text.length >= width ? text : text.padStart(width, "0");
}
