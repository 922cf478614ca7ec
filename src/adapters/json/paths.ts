/** Where the fields of a position stand in foreign JSON: one set of the json adapter's options, and its decoding. */

import { z } from "zod";
import {
  AT_RECEIPT,
  DETAIL_NUMBERS,
  DETAIL_TEXTS,
  type RawReading,
  type SaidDetails,
} from "../../reading.ts";
import { type DecodeContext, MAX_PROBLEMS } from "../kit/adapter.ts";
import type { Problems } from "../kit/each.ts";
import { type Each, each } from "../kit/each.ts";
import { type Find, path } from "../kit/expression.ts";
import {
  compass,
  degrees,
  epochMillis,
  epochSeconds,
  id,
  isoTime,
  isoTimeAssumedUtc,
  isRecord,
  label,
  labelFlag,
  number,
  toMps,
  UNREADABLE,
} from "../kit/fields.ts";
import { fragment } from "../kit/fragment.ts";

const TIME_FORMATS = { iso: isoTime, isoUtc: isoTimeAssumedUtc, epochSeconds, epochMillis };

const DEVICE_ID =
  "must be a path, or one of { topicLevel: 2 }, { topicLevels: [2, 4] }, { header: X-Device }, { query: id }, { message: path }, { key: true }";

const level = z.int().min(1);

/** Beside a path within each reading: levels of the topic counted from 1, a header, a query parameter, … */
const elsewhere = z
  .strictObject({
    topicLevel: level.optional(),
    /** Joined by a slash. */
    topicLevels: z.array(level).min(1).optional(),
    header: z.string().min(1).optional(),
    query: z.string().min(1).optional(),
    /** A path from the top of the message. */
    message: path.optional(),
    /** The readings are an object of lists, and its keys the devices. */
    key: z.literal(true).optional(),
  })
  .refine((place) => Object.keys(place).length === 1, DEVICE_ID);

const deviceId = z.unknown().transform((given, context): z.output<typeof path | typeof elsewhere> => {
  const parsed = typeof given === "string" ? path.safeParse(given) : elsewhere.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  context.addIssue({ code: "custom", message: issue?.code === "custom" ? issue.message : DEVICE_ID });
  return z.NEVER;
});

const READERS: Readonly<Record<string, z.ZodType<string | number | boolean | null>>> = {
  ...Object.fromEntries(DETAIL_TEXTS.map((name) => [name, label])),
  ...Object.fromEntries(DETAIL_NUMBERS.map(([name]) => [name, number])),
  ignition: labelFlag,
};
const DETAIL_NAMES = [...DETAIL_TEXTS, ...DETAIL_NUMBERS.map(([name]) => name), "ignition"] as const;

const NO_PLACE = "is missing (or give coordinates, a longitude-first pair)";

/** Checked also where another option is wrong, so that every problem is reported at once. */
function also(key: string, message: string) {
  return { path: [key], message, when: ({ value }: { value: unknown }) => isRecord(value) };
}

export const paths = z
  .strictObject({
    /** The list of readings; left out, the message is one or a list. A projection leaves out what is null there. */
    readings: z
      .string()
      .transform((given, context) => {
        const parsed = path.safeParse(given);
        if (parsed.success) return { text: given, find: parsed.data };
        context.addIssue({ code: "custom", message: parsed.error.issues[0]?.message ?? "is wrong" });
        return z.NEVER;
      })
      .optional(),
    deviceId,
    latitude: path.optional(),
    longitude: path.optional(),
    /** A pair in GeoJSON's order, longitude first. */
    coordinates: path.optional(),
    /** In the source's `speedUnit`. */
    speed: path.optional(),
    heading: path.optional(),
    time: path.optional(),
    /** `received`: the message carries no time and counts as fresh. */
    timeFormat: z.enum(["iso", "isoUtc", "epochSeconds", "epochMillis", "received"]).default("iso"),
    /** Messages for which this holds carry no position. */
    ignoreWhen: path.optional(),
    /** Readings for which this holds repeat an old place: their device has no fix now. */
    noFixWhen: path.optional(),
    /** Each message carries a part of a position; the rest comes in other messages of the device. */
    fragment: z.boolean().default(false),
    details: z.partialRecord(z.enum(DETAIL_NAMES), path).optional(),
  })
  .refine(
    ({ coordinates, latitude, longitude }) => !coordinates || !(latitude || longitude),
    also("coordinates", "stands in place of latitude and longitude"),
  )
  .refine((given) => given.fragment || given.coordinates || given.latitude, also("latitude", NO_PLACE))
  .refine((given) => given.fragment || given.coordinates || given.longitude, also("longitude", NO_PLACE))
  .refine(
    ({ time, timeFormat }) => time || timeFormat === "received",
    also("time", "is missing (timeFormat: received if messages carry none)"),
  )
  .refine(
    ({ time, timeFormat }) => !time || timeFormat !== "received",
    also("time", "has no use where timeFormat is received"),
  )
  .transform((given) => ({
    readsSpeed: given.speed !== undefined,
    idOutsideBody: outsideBody(given.deviceId),
    ignores: (raw: unknown) => given.ignoreWhen?.(raw) === true,
    decode: (raw: unknown, context: DecodeContext) => decode(raw, given, context),
  }));

type Given = {
  [Key in "latitude" | "longitude" | "coordinates" | "speed" | "heading" | "time" | "noFixWhen"]?:
    | Find
    | undefined;
} & {
  readings?: { text: string; find: Find } | undefined;
  deviceId: z.output<typeof deviceId>;
  timeFormat: keyof typeof TIME_FORMATS | "received";
  fragment: boolean;
  details?: Partial<Record<string, Find>> | undefined;
};

/** One reading as it stands in the message; `key` where the readings are an object by device. */
interface Found {
  path: string;
  value: unknown;
  key?: string;
}

function decode(raw: unknown, given: Given, context: DecodeContext): Each | Problems {
  const found = readingsIn(raw, given);
  if ("problems" in found) return found;
  const { deviceId } = given;
  // Once for the message and not for each reading: an expression may go through all of it.
  const ofMessage = typeof deviceId === "function" ? undefined : deviceId.message?.(raw);
  return each(found, (one) => rawReadingOf(one, ofMessage, given, context), someFound);
}

/** Wrong paths, or another kind of message: set aside whole, so that it can be decoded once the paths are right. */
function someFound(rawReadings: readonly RawReading[]): Problems | null {
  if (rawReadings.length === 0 || !rawReadings.every(isEmpty)) return null;
  return { problems: ["message: nothing at the paths of deviceId, latitude and longitude"] };
}

function readingsIn(raw: unknown, { readings, deviceId, fragment }: Given): Found[] | Problems {
  const found = readings ? readings.find(raw) : raw;
  const name = readings?.text ?? "";
  if (typeof deviceId !== "function" && deviceId.key) {
    const lists = isRecord(found) ? Object.entries(found) : [];
    if (lists.length === 0) return { problems: [`${name || "message"}: must be an object of lists`] };
    const odd = lists
      .filter(([, list]) => !Array.isArray(list))
      .slice(0, MAX_PROBLEMS)
      .map(([key]) => `${key}: must be a list`);
    if (odd.length > 0) return { problems: odd };
    return lists.flatMap(([key, list]) =>
      [list].flat().map((value, index) => ({ path: `${key}[${index}]`, value, key })),
    );
  }
  if (Array.isArray(found)) return found.map((value, index) => ({ path: `${name}[${index}]`, value }));
  if (readings) return { problems: [`${name}: must be a list`] };
  // A part may be a bare value, looked up as `@`.
  const isObject = isRecord(found) && Object.keys(found).length > 0;
  return isObject || fragment
    ? [{ path: "", value: found }]
    : { problems: ["message: must be an object that holds something, or a list"] };
}

function rawReadingOf(found: Found, ofMessage: unknown, given: Given, context: DecodeContext): RawReading {
  const { value, path } = found;
  const [longitude, latitude] = given.coordinates
    ? pair(given.coordinates(value))
    : [given.longitude?.(value), given.latitude?.(value)];
  const whole: RawReading = {
    path,
    deviceId: id.parse(deviceOf(given.deviceId, found, ofMessage, context)),
    fixTime:
      given.timeFormat === "received"
        ? AT_RECEIPT
        : TIME_FORMATS[given.timeFormat].parse(given.time?.(value)),
    latitude: degrees.parse(latitude),
    longitude: degrees.parse(longitude),
    speedMps: toMps(number.parse(given.speed?.(value)), context.speedUnit),
    headingDeg: compass.parse(given.heading?.(value)),
    noFix: saysNoFix(given.noFixWhen?.(value)),
    ...(given.details && { details: detailsOf(value, given.details) }),
  };
  return given.fragment ? partOf(whole, value, given) : whole;
}

/** Only the fields these options name, and of speed and heading those present; other messages carry the rest. */
function partOf(
  { latitude, longitude, speedMps, headingDeg, noFix, ...said }: RawReading,
  value: unknown,
  given: Given,
): RawReading {
  return fragment({
    ...said,
    ...(given.speed && given.speed(value) !== undefined && { speedMps }),
    ...(given.heading && given.heading(value) !== undefined && { headingDeg }),
    ...((given.latitude || given.coordinates) && { latitude }),
    ...((given.longitude || given.coordinates) && { longitude }),
    ...(given.noFixWhen && noFix !== undefined && { noFix }),
  });
}

function detailsOf(value: unknown, finds: NonNullable<Given["details"]>): SaidDetails {
  return Object.fromEntries(
    Object.entries(finds).map(([name, find]) => [name, READERS[name]?.parse(find?.(value)) ?? null]),
  );
}

/** A condition that fails on the reading counts as no fix: a doubtful place is worse than none. */
function saysNoFix(found: unknown): boolean {
  return found === true || found === UNREADABLE;
}

function isEmpty({ deviceId, latitude, longitude }: RawReading): boolean {
  return deviceId === null && latitude === null && longitude === null;
}

function deviceOf(
  from: Given["deviceId"],
  { value, key }: Found,
  ofMessage: unknown,
  context: DecodeContext,
) {
  if (typeof from === "function") return from(value);
  if (from.topicLevel !== undefined) return context.topic[from.topicLevel - 1];
  if (from.topicLevels !== undefined) return joined(from.topicLevels.map((at) => context.topic[at - 1]));
  if (from.header !== undefined) return context.headers[from.header.toLowerCase()];
  if (from.query !== undefined) return context.query[from.query];
  return from.key ? key : ofMessage;
}

function outsideBody(from: Given["deviceId"]): "header" | "query" | null {
  if (typeof from === "function") return null;
  if (from.header !== undefined) return "header";
  return from.query === undefined ? null : "query";
}

function joined(levels: readonly (string | undefined)[]): string | null {
  return levels.every((level) => level) ? levels.join("/") : null;
}

function pair(found: unknown): readonly unknown[] {
  if (found === null || found === undefined) return [null, null];
  return Array.isArray(found) && found.length >= 2 ? found : [UNREADABLE, UNREADABLE];
}
