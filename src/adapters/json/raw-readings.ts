/** The decoding of foreign JSON by one set of options: the readings in a message, and the fields in each. */

import {
  AT_RECEIPT,
  DETAIL_NUMBERS,
  DETAIL_TEXTS,
  type RawReading,
  type SaidDetails,
} from "../../reading.ts";
import { type DecodeContext, MAX_PROBLEMS } from "../kit/adapter.ts";
import { type Each, each, type Problems } from "../kit/each.ts";
import { isPlainPath } from "../kit/expression.ts";
import {
  compass,
  degrees,
  id,
  isoTimeAssumedUtc,
  isRecord,
  label,
  labelFlag,
  multipliedBy,
  number,
  toMps,
  UNREADABLE,
} from "../kit/fields.ts";
import { fragment } from "../kit/fragment.ts";
import { chained, NOTHING, namedDetails, type Place, placeIn } from "../kit/nested-place.ts";
import { namedIn, unitInPath, unitOfWord } from "../kit/synonyms.ts";
import { inZone, TIME_FORMATS } from "../kit/time-formats.ts";
import { deviceOf, type Found } from "./device-id.ts";
import type { Given } from "./path-options.ts";

const DETAIL_READERS = {
  ...Object.fromEntries(DETAIL_TEXTS.map((name) => [name, label])),
  ...Object.fromEntries(DETAIL_NUMBERS.map(([name]) => [name, number])),
  ignition: labelFlag,
};

/** What is found once in a message and holds for all of its readings: an expression may go through all of it. */
export interface OfMessage {
  device?: unknown;
  zone?: unknown;
}

export function decodePaths(raw: unknown, given: Given, context: DecodeContext): Each | Problems {
  const found = readingsIn(raw, given);
  return "problems" in found ? found : decodeFound(found, ofMessageIn(raw, given), given, context);
}

export function ofMessageIn(raw: unknown, { deviceId, timeZone }: Given): OfMessage {
  return {
    ...(typeof deviceId !== "function" && deviceId.message && { device: deviceId.message(raw) }),
    ...(typeof timeZone === "object" && { zone: timeZone.at(raw) }),
  };
}

export function decodeFound(
  found: readonly Found[],
  ofMessage: OfMessage,
  given: Given,
  context: DecodeContext,
): Each {
  const one = (found: Found): RawReading[] => {
    const rawReading = rawReadingOf(found, ofMessage, given, context);
    return isIgnored(found, rawReading, given) ? [] : [rawReading];
  };
  return each(found, one, someFound);
}

/** What names no device is damage, whatever the condition makes of it. */
function isIgnored({ value }: Found, { deviceId }: RawReading, { ignoreReading }: Given): boolean {
  return deviceId !== null && ignoreReading?.(value) === true;
}

/** Wrong paths, or another kind of message: set aside whole, so that it can be decoded once the paths are right. */
function someFound(rawReadings: readonly RawReading[]): Problems | null {
  if (rawReadings.length === 0 || !rawReadings.every(isEmpty)) return null;
  return { problems: ["message: nothing at the paths of deviceId, latitude and longitude"] };
}

function isEmpty({ deviceId, latitude, longitude }: RawReading): boolean {
  return deviceId === null && latitude === null && longitude === null;
}

export function readingsIn(raw: unknown, { readings, deviceId, fragment }: Given): Found[] | Problems {
  const found = readings ? readings.find(raw) : raw;
  const name = readings?.text ?? "";
  if (typeof deviceId !== "function" && deviceId.key) return readingsByDevice(found, name);
  if (Array.isArray(found)) {
    const pathOf = placesIn(raw, name);
    // An expression may give a list for each group of vehicles; where a plain path leads, a list within it is damage.
    const all: unknown[] = isPlainPath(name) ? found : found.flat();
    return all.map((value: unknown, index) => ({ path: pathOf(value, index), value }));
  }
  if (readings) return { problems: [`${name}: must be a list`] };
  // A part may be a bare value, looked up as `@`.
  const isObject = isRecord(found) && Object.keys(found).length > 0;
  return isObject || fragment
    ? [{ path: "", value: found }]
    : { problems: ["message: must be an object that holds something, or a list"] };
}

/** Where a reading stands. An expression that is no plain path does not say so: then it is looked for in the message. */
function placesIn(raw: unknown, name: string): (value: unknown, index: number) => string {
  if (isPlainPath(name)) return (_, index) => `${name}[${index}]`;
  const places = new Map<unknown, string>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null) return;
    places.set(value, path);
    for (const [key, item] of Object.entries(value))
      walk(item, Array.isArray(value) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`);
  };
  walk(raw, "");
  return (value, index) => places.get(value) ?? `[${index}]`;
}

function readingsByDevice(found: unknown, name: string): Found[] | Problems {
  const devices = isRecord(found) ? Object.entries(found) : [];
  if (devices.length === 0)
    return { problems: [`${name || "message"}: must be an object of objects or lists`] };
  const odd = devices
    .filter(([, value]) => value !== null && !isRecord(value) && !Array.isArray(value))
    .slice(0, MAX_PROBLEMS)
    .map(([key]) => `${key}: must be an object or a list`);
  if (odd.length > 0) return { problems: odd };
  // Among objects, an empty list is an object that was lost.
  const lost = devices.filter(([, value]) => Array.isArray(value) && value.length === 0);
  if (lost.length > 0 && devices.some(([, value]) => isRecord(value)))
    return { problems: lost.slice(0, MAX_PROBLEMS).map(([key]) => `${key}: must hold something`) };
  return devices.flatMap(([key, value]) =>
    Array.isArray(value)
      ? value.map((one: unknown, index) => ({ path: `${key}[${index}]`, value: one, key }))
      : [{ path: key, value, key }],
  );
}

function rawReadingOf(found: Found, ofMessage: OfMessage, given: Given, context: DecodeContext): RawReading {
  const { value, path } = found;
  const place = placeOf(value, given);
  const coordinate = given.scale === undefined ? degrees : multipliedBy(Math.round(1 / given.scale));
  const heading = given.heading ? given.heading(value) : place.named.value("heading");
  const details = detailsOf(value, given, place);
  const whole: RawReading = {
    path,
    deviceId: id.parse(deviceOf(given.deviceId, found, ofMessage.device, context)),
    fixTime: timeOf(value, given, place, ofMessage.zone, context),
    latitude: coordinate.parse(place.latitude),
    longitude: coordinate.parse(place.longitude),
    speedMps: speedOf(value, given, place, context),
    headingDeg: given.heading === null ? null : compass.parse(heading),
    noFix: saysNoFix(given.noFixWhen?.(value)),
    ...(details && { details }),
  };
  return given.fragment ? partOf(whole, value, given) : whole;
}

/** By the paths given, and by the usual names for what is left out. */
function placeOf(value: unknown, given: Given): Place {
  const { coordinates, latitude, longitude, position, fragment } = given;
  const inner = position ? position(value) : value;
  const around = fragment ? NOTHING : namedIn(value);
  const isFound = !fragment && !coordinates && (latitude === undefined || longitude === undefined);
  const found = (isFound ? placeIn(inner, position ? around : NOTHING) : null) ?? {
    latitude: undefined,
    longitude: undefined,
    named: position && !fragment ? chained(namedIn(inner), around) : around,
    keys: [],
  };
  const [second, first] = coordinates ? pair(coordinates(value)) : [];
  return {
    ...found,
    latitude: coordinates ? first : latitude === undefined ? found.latitude : latitude?.(value),
    longitude: coordinates ? second : longitude === undefined ? found.longitude : longitude?.(value),
  };
}

function timeOf(
  value: unknown,
  { time, timeFormat, timeZone, withoutTime }: Given,
  { named }: Place,
  zone: unknown,
  { receivedAt }: DecodeContext,
): RawReading["fixTime"] {
  if (timeFormat === "received") return AT_RECEIPT;
  const said = time ? time(value) : (named.value("fixTime") ?? named.value("time"));
  // Null in its place is a time that is missing.
  if (said === undefined && withoutTime) return AT_RECEIPT;
  const instant = TIME_FORMATS[timeFormat ?? (time ? "iso" : "any")].parse(said);
  // With a zone of its own a text needs none from the options; nor does a number.
  if (timeZone === undefined || instant === null || (timeFormat !== "isoUtc" && !Number.isNaN(instant)))
    return instant;
  const local = isoTimeAssumedUtc.parse(said);
  return local === null ? null : inZone(local, typeof timeZone === "object" ? zone : timeZone, receivedAt);
}

function speedOf(value: unknown, given: Given, { named }: Place, context: DecodeContext): number | null {
  const { speed, speedUnit } = given;
  const word = speedUnit?.at(value);
  const beside = speedUnit && (speedUnit.words?.[String(word)] ?? unitOfWord(word));
  const stated = speedUnit ? beside : context.speedUnit;
  if (speed === null) return null;
  if (speed === undefined) return named.speed(stated);
  return toMps(number.parse(speed.find(value)), speedUnit ? beside : (stated ?? unitInPath(speed.text)));
}

/** Only the fields these options name, and of speed and heading those present; other messages carry the rest. */
function partOf(
  { latitude, longitude, speedMps, headingDeg, noFix, ...said }: RawReading,
  value: unknown,
  given: Given,
): RawReading {
  return fragment({
    ...said,
    ...(given.speed && given.speed.find(value) !== undefined && { speedMps }),
    ...(given.heading && given.heading(value) !== undefined && { headingDeg }),
    ...((given.latitude || given.coordinates) && { latitude }),
    ...((given.longitude || given.coordinates) && { longitude }),
    ...(given.noFixWhen && noFix !== undefined && { noFix }),
  });
}

function detailsOf(value: unknown, { details, fragment }: Given, { named }: Place): SaidDetails | undefined {
  if (details === null || (details === undefined && fragment)) return undefined;
  if (details) {
    const readers: Readonly<Record<string, typeof label | typeof number | typeof labelFlag>> = DETAIL_READERS;
    return Object.fromEntries(
      Object.entries(details).map(([name, find]) => [name, readers[name]?.parse(find?.(value)) ?? null]),
    );
  }
  return namedDetails(named);
}

/** A condition that fails on the reading counts as no fix: a doubtful place is worse than none. */
function saysNoFix(found: unknown): boolean {
  return found === true || found === UNREADABLE;
}

function pair(found: unknown): readonly unknown[] {
  if (found === null || found === undefined) return [null, null];
  return Array.isArray(found) && found.length >= 2 ? found : [UNREADABLE, UNREADABLE];
}
