/** One fix as a LoRa codec lays it out: its names, its time, and the flags that say it is an old one. */

import type { AT_RECEIPT } from "../../reading.ts";
import { flag, isRecord } from "./fields.ts";
import { placeIn } from "./nested-place.ts";
import { type Named, plainOf } from "./synonyms.ts";
import { anyTimeAssumedUtc, dayAndTime } from "./time-formats.ts";

/** One fix as a codec has it. */
export interface Fix {
  /** Below the payload; empty where the fix is that of the uplink. */
  path: string;
  latitude: unknown;
  longitude: unknown;
  /** The fields beside it. */
  named: Named;
  /** UTC milliseconds since 1970; null: there is a place for it, and nothing in it; undefined: when the uplink came. */
  time: number | null | undefined;
  /** Seconds from the fix to the uplink. */
  ageS?: number | null;
  speedMps?: number | null;
  headingDeg?: number | null;
  noFix?: boolean;
  /** A fix that was kept: without a time of its own it has none. */
  stored?: boolean;
}

/** When a fix was, where the uplink came at `arrival`. */
export function timeOfFix(
  fix: Fix,
  arrival: number | null | typeof AT_RECEIPT,
): number | null | typeof AT_RECEIPT {
  const { time, ageS = null, stored } = fix;
  if (time !== undefined) return time;
  if (stored) return null;
  if (ageS === null || typeof arrival !== "number") return arrival;
  return ageS >= 0 ? arrival - ageS * 1000 : Number.NaN;
}

/** Under the usual names, at the top or nested. */
export function byName(payload: Record<string, unknown>): readonly Fix[] | null {
  const place = placeIn(payload);
  if (place === null) return null;
  const objects = [payload];
  for (const key of place.keys) {
    const inner = objects.at(-1)?.[key];
    if (isRecord(inner)) objects.push(inner);
  }
  const { latitude, longitude, named } = place;
  return [
    { path: "", latitude, longitude, named, time: timeBeside(objects, named), noFix: objects.some(isOld) },
  ];
}

/** Of the place in the innermost object, else around it. */
function timeBeside(objects: readonly Record<string, unknown>[], named: Named): Fix["time"] {
  for (const object of objects.toReversed()) {
    const joined = dayAndTime(under(object, "date"), under(object, "time"));
    if (joined !== undefined) return joined ?? undefined;
  }
  return timeIn(named);
}

/** By the usual names; a text without a zone is UTC, which is what receivers have. */
export function timeIn(named: Named): Fix["time"] {
  const time = named.value("fixTime") ?? named.value("time");
  return time === null ? null : toTime(time);
}

/** Null is how a codec says that it has none; a blank text is a time that is missing. */
export function toTime(value: unknown): Fix["time"] {
  return value === undefined || value === null ? undefined : anyTimeAssumedUtc.parse(value);
}

function under(object: Record<string, unknown>, name: string): unknown {
  const key = Object.keys(object).find((each) => plainOf(each) === name);
  return key === undefined ? undefined : object[key];
}

/** Flags that are false, and flags that are true, where the coordinates repeat an old place. */
const FALSE_IS_OLD = ["fix", "gpsfix", "hasfix", "fixvalid", "validfix", "gpsvalid", "gpscurrent", "valid"];
const TRUE_IS_OLD = ["fixfailed", "nofix"];

export function isOld(object: Record<string, unknown>): boolean {
  return Object.keys(object).some((key) => {
    const name = plainOf(key);
    const value = object[key];
    if (FALSE_IS_OLD.includes(name)) return flag.parse(value) === false || isNoFixWord(value);
    return TRUE_IS_OLD.includes(name) && flag.parse(value) === true;
  });
}

function isNoFixWord(value: unknown): boolean {
  return typeof value === "string" && /^(?:no[ _-]?fix|invalid|v)$/i.test(value.trim());
}
