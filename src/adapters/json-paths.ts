/** The options of the json adapter: where in somebody's JSON the fields stand, compiled once from JMESPath. */

import { compile, TreeInterpreter } from "@jmespath-community/jmespath";
import { z } from "zod";
import { AT_RECEIPT, type Candidate } from "../reading.ts";
import type { DecodeContext, Problems } from "./adapter.ts";
import {
  compass,
  degrees,
  epochMillis,
  epochSeconds,
  id,
  isoTime,
  isoTimeAssumedUtc,
  isRecord,
  number,
  toMps,
} from "./fields.ts";

export type Find = (value: unknown) => unknown;

/** Stands where an expression failed on this message: not said, but not absent either. */
const UNREADABLE = Symbol("unreadable");

const TIME_FORMATS = { iso: isoTime, isoUtc: isoTimeAssumedUtc, epochSeconds, epochMillis };

export const path = z.string().transform(compiled);

function compiled(text: string, context: z.RefinementCtx): Find {
  try {
    const expression = compile(text);
    return (value) => search(expression, value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    context.addIssue({ code: "custom", message: `is not a JMESPath expression: ${why}` });
    return z.NEVER;
  }
}

const DEVICE_ID =
  "must be a path, or one of { topicLevel: 2 }, { header: X-Device }, { query: id }, { message: path }";

/** Beside a path within each reading: a topic level counted from 1, a header, a query parameter, a path from the top. */
const elsewhere = z
  .strictObject({
    topicLevel: z.int().min(1).optional(),
    header: z.string().min(1).optional(),
    query: z.string().min(1).optional(),
    message: path.optional(),
  })
  .refine((place) => Object.keys(place).length === 1, DEVICE_ID);

const deviceId = z.unknown().transform((given, context): z.output<typeof path | typeof elsewhere> => {
  const parsed = typeof given === "string" ? path.safeParse(given) : elsewhere.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  context.addIssue({ code: "custom", message: issue?.code === "custom" ? issue.message : DEVICE_ID });
  return z.NEVER;
});

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
      .transform((text, context) => ({ text, find: compiled(text, context) }))
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
    /** `received`: the message carries no time and is taken to be fresh. */
    timeFormat: z.enum(["iso", "isoUtc", "epochSeconds", "epochMillis", "received"]).default("iso"),
    /** Messages for which this holds carry no position. */
    ignoreWhen: path.optional(),
    /** Readings for which this holds repeat an old place: their device has no fix now. */
    noFixWhen: path.optional(),
  })
  .refine(
    ({ coordinates, latitude, longitude }) => !coordinates || !(latitude || longitude),
    also("coordinates", "stands in place of latitude and longitude"),
  )
  .refine(({ coordinates, latitude }) => coordinates || latitude, also("latitude", NO_PLACE))
  .refine(({ coordinates, longitude }) => coordinates || longitude, also("longitude", NO_PLACE))
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
};

function decode(raw: unknown, given: Given, context: DecodeContext): Candidate[] | Problems {
  const found = given.readings ? given.readings.find(raw) : raw;
  const isList = Array.isArray(found);
  if (given.readings && !isList) return { problems: [`${given.readings.text}: must be a list`] };
  const candidates = (isList ? found : [found]).map((value: unknown, index): Candidate => {
    const [longitude, latitude] = given.coordinates
      ? pair(given.coordinates(value))
      : [given.longitude?.(value), given.latitude?.(value)];
    return {
      path: isList ? `${given.readings?.text ?? ""}[${index}]` : "",
      deviceId: id.parse(deviceOf(given.deviceId, value, raw, context)),
      fixTime:
        given.timeFormat === "received"
          ? AT_RECEIPT
          : TIME_FORMATS[given.timeFormat].parse(given.time?.(value)),
      latitude: degrees.parse(latitude),
      longitude: degrees.parse(longitude),
      speedMps: toMps(number.parse(given.speed?.(value)), context.speedUnit),
      headingDeg: compass.parse(given.heading?.(value)),
      noFix: saysNoFix(given.noFixWhen?.(value)),
    };
  });
  // Wrong paths, or another kind of message: set aside whole, so that it can be decoded once the paths are right.
  if (candidates.length > 0 && candidates.every(isEmpty)) {
    return { problems: ["message: nothing at the paths of deviceId, latitude and longitude"] };
  }
  return candidates;
}

/** A condition that fails on the reading counts as no fix: a place nobody vouches for is worse than none. */
function saysNoFix(found: unknown): boolean {
  return found === true || found === UNREADABLE;
}

function isEmpty({ deviceId, latitude, longitude }: Candidate): boolean {
  return deviceId === null && latitude === null && longitude === null;
}

function deviceOf(from: Given["deviceId"], value: unknown, raw: unknown, context: DecodeContext): unknown {
  if (typeof from === "function") return from(value);
  if (from.topicLevel !== undefined) return context.topic[from.topicLevel - 1];
  if (from.header !== undefined) return context.headers[from.header.toLowerCase()];
  if (from.query !== undefined) return context.query[from.query];
  return from.message?.(raw);
}

function pair(found: unknown): readonly unknown[] {
  if (found === null || found === undefined) return [null, null];
  return Array.isArray(found) && found.length >= 2 ? found : [UNREADABLE, UNREADABLE];
}

function search(expression: ReturnType<typeof compile>, value: unknown): unknown {
  try {
    return TreeInterpreter.search(expression, value as Parameters<typeof TreeInterpreter.search>[1]);
  } catch {
    // A function was given a type it does not take; what the expression looked for cannot be read here.
    return UNREADABLE;
  }
}
