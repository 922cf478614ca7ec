/** How configurable formats write times: the words of `timeFormat`, texts without a zone, and a day beside a time of day. */

import { z } from "zod";
import { epochMillis, epochSeconds, isoTime, isoTimeAssumedUtc, isUnsaid, number } from "./fields.ts";

/** Seconds stay below it until the year 5138, milliseconds are above it since 1973. */
const LEAST_MILLIS = 1e11;

/** ISO text by the given reader; numbers are seconds or milliseconds since 1970, told apart by their size. */
function anyTimeBy(text: typeof isoTime) {
  return z
    .unknown()
    .optional()
    .transform((value) => {
      const since1970 = number.parse(value);
      if (since1970 === null) return null;
      if (Number.isNaN(since1970)) return typeof value === "string" ? text.parse(value) : Number.NaN;
      return (Math.abs(since1970) < LEAST_MILLIS ? epochSeconds : epochMillis).parse(since1970);
    });
}

/** Text needs a zone. */
export const anyTime = anyTimeBy(isoTime);
/** Text without a zone is UTC, the time of satellites. */
export const anyTimeAssumedUtc = anyTimeBy(isoTimeAssumedUtc);

/** The words of the option `timeFormat`. */
export const TIME_FORMATS = {
  iso: isoTime,
  isoUtc: isoTimeAssumedUtc,
  epochSeconds,
  epochMillis,
  any: anyTime,
} as const;
export const TIME_FORMAT_NAMES = ["iso", "isoUtc", "epochSeconds", "epochMillis", "any"] as const;

const DAY = /^([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})$/;
const TIME_OF_DAY = /^([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(\.[0-9]{1,9})?)?(Z?)$/i;

/**
 * A day and a time of day in two fields, both in UTC and perhaps without leading zeros; undefined where they are not. Zero in
 * both is how the codec of Dragino's TrackerD leaves them out.
 */
export function dayAndTime(day: unknown, time: unknown): number | null | undefined {
  if (isUnsaid(day) || day === 0) return time === 0 && day === 0 ? null : undefined;
  if (typeof day !== "string" || !DAY.test(day.trim())) return undefined;
  // A day alone is no time; one whose time of day is blank is a time that cannot be read.
  if (isUnsaid(time)) return time === undefined ? undefined : Number.NaN;
  const [, y = "", mo = "", d = ""] = DAY.exec(day.trim()) ?? [];
  const [, h, mi = "", s = "0", fraction = ""] =
    (typeof time === "string" && TIME_OF_DAY.exec(time.trim())) || [];
  if (h === undefined) return undefined;
  const two = (text: string) => text.padStart(2, "0");
  return isoTime.parse(`${y}-${two(mo)}-${two(d)}T${two(h)}:${two(mi)}:${two(s)}${fraction}Z`);
}

const OFFSET = /^(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?$/i;
/** Zones lie whole quarters of an hour from UTC. */
const QUARTER_MS = 15 * 60_000;
/** No zone is further from UTC than Kiribati's. */
const FURTHEST_MS = 14 * 3_600_000;

/**
 * A time without a zone, given as if it were UTC, in the zone of a name, of an offset (`-05:00`), or of a clock that showed
 * this at `receivedAt`; NaN where the zone cannot be read.
 */
export function inZone(local: number, zone: unknown, receivedAt: number): number {
  if (typeof zone !== "string") return Number.NaN;
  const [, sign, hours, minutes = "0"] = OFFSET.exec(zone.trim()) ?? [];
  if (hours !== undefined)
    return local - (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  const clock = isoTimeAssumedUtc.parse(zone);
  if (clock !== null && !Number.isNaN(clock)) {
    const ahead = Math.round((clock - receivedAt) / QUARTER_MS) * QUARTER_MS;
    // A clock that no zone explains is that of an answer which was saved and is looked at later: UTC, as is advised.
    return Math.abs(ahead) > FURTHEST_MS ? local : local - ahead;
  }
  const offsetAt = offsetsOf(zone.trim());
  if (offsetAt === null || Number.isNaN(local)) return Number.NaN;
  const day = 86_400_000;
  const offsets = [offsetAt(local - day), offsetAt(local + day)];
  const fitting = offsets
    .map((offset) => local - offset)
    .filter((at, index) => offsetAt(at) === offsets[index]);
  const [first = local - (offsets[0] ?? 0), second = first] = fitting;
  // In the hour that clocks show twice the instant closer to the receipt is meant.
  return Math.abs(second - receivedAt) < Math.abs(first - receivedAt) ? second : first;
}

/** Whether `inZone` knows the name. */
export function isZoneName(zone: string): boolean {
  return offsetsOf(zone) !== null;
}

const formats = new Map<string, Intl.DateTimeFormat>();
/** The world has some 600 names of zones. */
const MAX_FORMATS = 600;

/** Milliseconds ahead of UTC in a zone, at an instant. */
function offsetsOf(zone: string): ((at: number) => number) | null {
  let format = formats.get(zone);
  if (!format) {
    try {
      format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
    } catch {
      return null;
    }
    if (formats.size < MAX_FORMATS) formats.set(zone, format);
  }
  const known = format;
  return (at) => {
    const name = known.formatToParts(at).find(({ type }) => type === "timeZoneName")?.value ?? "";
    const [, sign, hours = "0", minutes = "0"] = OFFSET.exec(name) ?? [];
    return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  };
}
