/**
 * Lenient readers for the values vendors send; the vendor's unit is the name of the reader.
 *
 * A reader never fails the parse. A value that is left out, or called unknown, becomes `null`; an unreadable value
 * becomes `NaN` (for an id: `null`). Nothing becomes 0 that was not sent as zero.
 */

import { z } from "zod";
import { MPS_PER, type SpeedUnit } from "../../reading.ts";
import { isRecord } from "../../untrusted.ts";

export { isRecord };

/** Stands for a value that is present but unreadable: neither a value nor absent. */
export const UNREADABLE = Symbol("unreadable");

/** How vendors write that they do not know. */
const UNSAID: ReadonlySet<string> = new Set(["", "null", "none", "unknown", "undefined", "n/a"]);

/** The longest text read as a number; more digits than this measure nothing on Earth. */
const MAX_NUMBER_CHARS = 40;
const DECIMAL = /^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?$/i;

/** A number, or decimal text in ASCII digits. Hex, `1_000`, `1,5`, `Infinity` and other scripts are not read. */
export const number = reader(toNumber);

/** Degrees: latitude, longitude or heading. */
export const degrees = reader(toNumber);

export const mph = speedIn("mph");
export const kph = speedIn("kph");
export const mps = speedIn("mps");
export const knots = speedIn("knots");
export const cmPerSecond = reader((value) => scaledBy(toNumber(value), 0.01));

/** A speed in a unit known when the adapter is written. */
export function speedIn(unit: SpeedUnit) {
  return reader((value) => toMps(toNumber(value), unit));
}

/** A speed in a unit known only with the source or the message; without one, only 0 can be read. */
export function toMps(speed: number | null, unit: SpeedUnit | undefined): number | null {
  if (unit === undefined && speed === 0) return 0;
  return scaledBy(speed, unit === undefined ? Number.NaN : MPS_PER[unit]);
}

/** Distances, in metres. */
export const metres = reader(toNumber);
export const kilometres = reader((value) => scaledBy(toNumber(value), 1000));
export const miles = reader((value) => scaledBy(toNumber(value), 1609.344));

/** An integer that carries the value times `factor`. A fraction there means another scale, so it is not read. */
export function multipliedBy(factor: number) {
  return reader((value) => {
    const scaled = toNumber(value);
    if (scaled === null) return null;
    // Divided, not multiplied by the inverse: 1e-7 has no exact double and would cost the last digit.
    return Number.isInteger(scaled) ? scaled / factor : Number.NaN;
  });
}

const WINDS = "n nne ne ene e ese se sse s ssw sw wsw w wnw nw nnw".split(" ");
const WIND_DEG: ReadonlyMap<string, number> = new Map(WINDS.map((wind, index) => [wind, index * 22.5]));
const CARDINALS = /north|east|south|west/g;

/** Degrees, or one of the sixteen winds in words or letters: `NE`, `North East`, `north-northeast`, `Westbound`. */
export const compass = reader((value) => {
  const deg = toNumber(value);
  if (deg === null || !Number.isNaN(deg) || typeof value !== "string" || value.length > MAX_NUMBER_CHARS)
    return deg;
  const letters = value.toLowerCase().replace(CARDINALS, (word) => word.charAt(0));
  return WIND_DEG.get(letters.replace(/bound$|[\s_-]/g, "")) ?? Number.NaN;
});

/** Seconds since 1970, whole or fractional; cut to the millisecond. */
export const epochSeconds = reader((value) => {
  const seconds = toNumber(value);
  // A double near 1.7e9 is off by up to 1.2e-7 s: half a microsecond keeps .457 from being cut to .456.
  return seconds === null ? null : Math.floor(seconds * 1000 + 5e-4);
});

/** Milliseconds since 1970. */
export const epochMillis = reader((value) => {
  const millis = toNumber(value);
  return millis === null ? null : Math.floor(millis);
});

/** Seconds since 1970 in hexadecimal text, as small firmware writes them. */
export const hexEpochSeconds = reader((value) => {
  if (isUnsaid(value)) return null;
  return typeof value === "string" && /^[0-9a-f]{1,9}$/i.test(value)
    ? Number.parseInt(value, 16) * 1000
    : Number.NaN;
});

/** ISO 8601 with `Z` or an offset. Without one it could be anywhere on Earth, so it is not read. */
export const isoTime = reader((value) => toInstant(value, Number.NaN));

/** ISO 8601 that may lack the zone, for vendors who document it as UTC. */
export const isoTimeAssumedUtc = reader((value) => toInstant(value, 0));

/** `yyyyMMddHHmmss`, as text or as one number, for vendors who document it as UTC. */
export const packedUtcTime = reader((value) => {
  if (isUnsaid(value)) return null;
  const digits = typeof value === "number" ? String(value) : value;
  if (typeof digits !== "string" || digits.length > MAX_TIME_CHARS) return Number.NaN;
  const [, date, hour, minute, second] = PACKED.exec(digits.trim()) ?? [];
  if (date === undefined) return Number.NaN;
  const day = `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}`;
  return toInstant(`${day}T${hour}:${minute}:${second}Z`, Number.NaN);
});

/** A truth value, also written as 0 and 1 or in words; null when it is none of these. */
export const flag = reader(toFlag);

/** A truth value that is only shown: any other value is unreadable. */
export const labelFlag = reader(
  (value): boolean | number | null => toFlag(value) ?? (isUnsaid(value) ? null : Number.NaN),
);

/** For `noFix`: whether a flag is anything but `isFix`. A missing flag does not deny the fix; null is no answer. */
export function noFixUnless(isFix: boolean) {
  return reader((value) => value !== undefined && toFlag(value) !== isFix);
}

/** For `noFix`: whether a number (of satellites, a mode) is below `least`, or unreadable; a missing number does not deny the fix. */
export function noFixBelow(least: number) {
  return reader((value) => value !== undefined && !((toNumber(value) ?? Number.NaN) >= least));
}

/**
 * For `noFix`: whether a word is another one than these, which say that the place is a fix of the device's own; case does
 * not count. A word that is not said does not deny the fix.
 */
export function noFixUnlessSaid(...words: readonly string[]) {
  return reader((value) => {
    if (value === undefined || value === null || value === "") return false;
    const said = typeof value === "number" ? String(value) : value;
    return !(typeof said === "string" && words.includes(said.trim().toLowerCase()));
  });
}

/** Text for people to read; null where there is none. */
export const text = reader((value): string | null =>
  typeof value === "string" && !isUnsaid(value) ? value.trim() : null,
);

/** A text that is only shown: numbers, as postal codes and drivers' ids are often sent, become their digits. */
export const label = reader((value): string | number | null => {
  if (isUnsaid(value)) return null;
  if (typeof value === "string") return value.trim();
  return typeof value === "number" && Number.isSafeInteger(value) ? String(value) : Number.NaN;
});

/** A device's id, as text exactly; numbers only where JSON has not already rounded them (2^53). */
export const id = reader((value): string | null => {
  if (typeof value === "number") return Number.isSafeInteger(value) ? String(value) : null;
  if (typeof value !== "string") return null;
  const text = value.trim();
  return text === "" || text === "null" || text === "undefined" ? null : text;
});

/**
 * An object inside the message whose damage costs only its own fields: without the object they are all absent; with
 * another value in its place they are all unreadable.
 */
export function part<const Shape extends z.ZodRawShape>(shape: Shape) {
  const whole = z.object(shape);
  const unsaid = Object.fromEntries(Object.keys(shape).map((key) => [key, null]));
  const unreadable = Object.fromEntries(Object.keys(shape).map((key) => [key, UNREADABLE]));
  return reader((value) => whole.parse(isRecord(value) ? value : isUnsaid(value) ? unsaid : unreadable));
}

/** A list inside a message of several devices: another value in its place counts as one item, which is then rejected. */
export function listOf<Item extends z.ZodType>(item: Item) {
  return reader((value): unknown[] => (Array.isArray(value) ? value : [value])).pipe(list(item));
}

/** No more problems of one list are searched: they are not shown, and a million would take seconds to build. */
const MAX_LIST_PROBLEMS = 20;

/** `z.array` that gives up early. Every list in a payload is one of these, or is left to `each`. */
export function list<Item extends z.ZodType>(item: Item) {
  return z.array(z.unknown()).transform((values, context) => {
    const items: z.output<Item>[] = [];
    let problems = 0;
    for (const [index, value] of values.entries()) {
      const parsed = item.safeParse(value);
      if (parsed.success) {
        items.push(parsed.data);
        continue;
      }
      for (const issue of parsed.error.issues) context.addIssue({ ...issue, path: [index, ...issue.path] });
      problems += parsed.error.issues.length;
      if (problems >= MAX_LIST_PROBLEMS) break;
    }
    return items;
  });
}

/** The items of a list, unread: for `each`. */
export const items = z.array(z.unknown());

/** None of these keys: with all left out the message is about something else, with one left out it is damaged. */
export function isWithout(keys: readonly string[], message: unknown): message is Record<string, unknown> {
  return isRecord(message) && !keys.some((key) => Object.hasOwn(message, key));
}

/** Optional first: for zod a missing key is an error, for a vendor it means no value. */
function reader<Value>(read: (value: unknown) => Value) {
  return z
    .unknown()
    .optional()
    .transform((value) => read(value));
}

/** How a vendor leaves a value out, null and several words included. */
export function isUnsaid(value: unknown): boolean {
  if (typeof value !== "string") return value === null || value === undefined;
  return value.length <= MAX_NUMBER_CHARS && UNSAID.has(value.trim().toLowerCase());
}

function toFlag(value: unknown): boolean | null {
  const word = typeof value === "string" ? value.trim().toLowerCase() : value;
  if (word === true || word === 1 || word === "true" || word === "1" || word === "on") return true;
  if (word === false || word === 0 || word === "false" || word === "0" || word === "off") return false;
  return null;
}

function toNumber(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) ? value : Number.NaN;
  if (isUnsaid(value)) return null;
  if (typeof value !== "string" || value.length > MAX_NUMBER_CHARS) return Number.NaN;
  const text = value.trim();
  if (!DECIMAL.test(text)) return Number.NaN;
  const parsed = Number(text);
  return Number.isFinite(parsed) ? parsed : Number.NaN;
}

function scaledBy(value: number | null, factor: number): number | null {
  return value === null ? null : value * factor;
}

const ISO =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?$/i;
const PACKED = /^([0-9]{8})([0-9]{2})([0-9]{2})([0-9]{2})$/;
/** Longer than any text that ISO or PACKED above can match. */
const MAX_TIME_CHARS = 64;
const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/** No zone on Earth is further from UTC (Kiribati, +14:00). */
const MAX_OFFSET_MINUTES = 14 * 60;

function toInstant(value: unknown, offsetMinutesWithoutZone: number): number | null {
  if (isUnsaid(value)) return null;
  if (typeof value !== "string" || value.length > MAX_TIME_CHARS) return Number.NaN;
  const match = ISO.exec(value.trim());
  if (match === null) return Number.NaN;
  const [, year, month, day, hour, minute, second = "0", fraction = "", zone] = match;
  const [y, mo, d, h, mi, s] = [
    Number(year),
    Number(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  ];
  if (mo < 1 || mo > 12 || d < 1 || d > daysIn(y, mo) || h > 23 || mi > 59 || s > 59) return Number.NaN;
  const offsetMinutes = zone === undefined ? offsetMinutesWithoutZone : toOffsetMinutes(zone);
  const millis = Number(fraction.slice(0, 3).padEnd(3, "0"));
  return Date.UTC(y, mo - 1, d, h, mi, s, millis) - offsetMinutes * 60_000;
}

function daysIn(year: number, month: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 && leap ? 29 : (DAYS_IN_MONTH[month - 1] ?? 0);
}

function toOffsetMinutes(zone: string): number {
  if (zone === "Z" || zone === "z") return 0;
  const digits = zone.slice(1).replace(":", "");
  const [hours, minutes] = [Number(digits.slice(0, 2)), Number(digits.slice(2))];
  const total = hours * 60 + minutes;
  if (minutes > 59 || total > MAX_OFFSET_MINUTES) return Number.NaN;
  return zone.startsWith("-") ? -total : total;
}
