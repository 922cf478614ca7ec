/** Encodes a ping that waits in Redis: a head that scripts read without parsing, then what the ping is made from. */

import type { Reading } from "../../reading.ts";
import { detailBytes, pingBytesAtMost, type Unit } from "../../servicetitan/ping.ts";
import { type PackedDetails, packDetails, unpackDetails } from "./details.ts";

/** Version of the layout, its first character. A newer gateway must still read what an older one stored. */
const VERSION = "1";

/**
 * A record read back. The ping itself is encoded when it is sent: that saves two thirds of the memory, and a change of
 * the destination's speed unit reaches what is already waiting.
 */
export interface BufferRecord {
  unit: Unit;
  source: string;
  reading: Reading;
}

/**
 * [latitude, longitude, speedMps, headingDeg], and only where they are not the unit's id: device, name, technician.
 * Details come last, after all of these, where an older gateway does not read.
 */
type Facts = [
  latitude: number,
  longitude: number,
  speedMps: number | null,
  headingDeg: number | null,
  device?: string,
  name?: string,
  technician?: string | null,
  details?: PackedDetails,
];

/**
 * Prepares everything that is the same for all readings of a device. A record is: version (1), fixTime (13 digits),
 * receivedAt (13), bytes of unit (3), bytes of source (2), bytes of the encoded ping at most (5), unit, source, facts.
 * Offsets are in bytes, as Lua counts them.
 */
export function recordEncoder(source: string, device: string, unit: Unit): (reading: Reading) => string {
  const lengths = `${digits(Buffer.byteLength(unit.unitId), 3)}${digits(source.length, 2)}`;
  const bytes = pingBytesAtMost(source, device, unit);
  const names = `${unit.unitId}${source}[`;
  const middle = `${lengths}${digits(bytes, 5)}${names}`;
  const full = `,${JSON.stringify([device, unit.unitName, unit.technician]).slice(1)}`;
  const plain = unit.unitId === device && unit.unitName === device && unit.technician === null;
  const tail = plain ? "]" : full;
  const encode = (
    { fixTime, receivedAt, latitude, longitude, speedMps, headingDeg }: Reading,
    before: string,
    after: string,
  ) =>
    `${VERSION}${digits(fixTime, 13)}${digits(receivedAt, 13)}${before}${latitude},${longitude},${shortSpeed(speedMps)},${headingDeg}${after}`;
  return (reading) => {
    const { details } = reading;
    if (details === undefined) return encode(reading, middle, tail);
    // The address is the one part of a ping's size that readings of a device do not share.
    const size = digits(bytes + detailBytes(details), 5);
    const packed = JSON.stringify(packDetails(details));
    return encode(reading, `${lengths}${size}${names}`, `${full.slice(0, -1)},${packed}]`);
  };
}

/** Reads a record back. Throws on another version or a damaged record: that is a bug, never vendor data. */
export function decodeRecord(text: string): BufferRecord {
  const fixTime = Number(text.slice(1, 14));
  if (text[0] !== VERSION || !Number.isInteger(fixTime)) {
    throw new Error(`Buffer record of unknown version "${text.slice(0, 1)}": written by a newer gateway?`);
  }
  const unitId = unitOf(text, Number(text.slice(27, 30)));
  const sourceEnd = HEAD + unitId.length + Number(text.slice(30, 32));
  const facts: Facts = JSON.parse(text.slice(sourceEnd));
  const [latitude, longitude, speedMps, headingDeg, deviceId = unitId, unitName = unitId, technician = null] =
    facts;
  const reading: Reading = {
    deviceId,
    fixTime,
    receivedAt: Number(text.slice(14, 27)),
    latitude,
    longitude,
    speedMps,
    headingDeg,
  };
  const packed = facts[7];
  if (packed) reading.details = unpackDetails(packed);
  return {
    unit: { unitId, unitName, technician },
    source: text.slice(HEAD + unitId.length, sourceEnd),
    reading,
  };
}

/** Everything before the unit is of fixed width and plain ASCII. */
const HEAD = 37;

/** The unit's length is in bytes; only for text beyond ASCII does that differ from JavaScript's count. */
function unitOf(text: string, bytes: number): string {
  const plain = text.slice(HEAD, HEAD + bytes);
  if (Buffer.byteLength(plain) === bytes) return plain;
  return Buffer.from(plain).subarray(0, bytes).toString();
}

/** To 0.1 mm/s: conversion from mph leaves a tail of digits that no sensor measured. */
function shortSpeed(speedMps: number | null): number | null {
  return speedMps === null ? null : Math.round(speedMps * 1e4) / 1e4;
}

function digits(value: number, width: number): string {
  const text = String(value);
  return text.length >= width ? text : text.padStart(width, "0");
}
