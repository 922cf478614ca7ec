/** The schema of one set of the json adapter's options: where the fields of a position stand, and how they are written. */

import { z } from "zod";
import { DETAIL_NUMBERS, DETAIL_TEXTS, SPEED_UNITS } from "../../reading.ts";
import { path, pathWithText } from "../kit/expression.ts";
import { isRecord } from "../kit/fields.ts";
import { isZoneName, TIME_FORMAT_NAMES } from "../kit/time-formats.ts";
import { deviceId } from "./device-id.ts";

const DETAIL_NAMES = [...DETAIL_TEXTS, ...DETAIL_NUMBERS.map(([name]) => name), "ignition"] as const;

const NO_PLACE = "is missing (or give coordinates, a longitude-first pair)";

/** Left out, the field is found by its usual names (kit/synonyms.ts); null: it is not read. */
const byName = path.nullable().optional();

/** Checked also where another option is wrong, so that every problem is reported at once. */
function also(key: string, message: string) {
  return { path: [key], message, when: ({ value }: { value: unknown }) => isRecord(value) };
}

const options = z.strictObject({
  /** The list of readings; left out, the message is one or a list. A projection leaves out what is null there. */
  readings: pathWithText.optional(),
  deviceId,
  /** The object in which names are looked up before the reading itself. */
  position: path.optional(),
  latitude: byName,
  longitude: byName,
  /** A pair in GeoJSON's order, longitude first. */
  coordinates: path.optional(),
  /** Degrees for 1 in a coordinate, which then is an integer: 1e-6. */
  scale: z.number().positive().max(1).optional(),
  /** In the source's `speedUnit`, or the unit in its name. */
  speed: pathWithText.nullable().optional(),
  /** The unit beside each speed, and what its words mean. */
  speedUnit: z
    .strictObject({ at: path, words: z.record(z.string().min(1), z.enum(SPEED_UNITS)).optional() })
    .optional(),
  heading: byName,
  time: byName,
  /** `received`: the message carries no time and counts as fresh. */
  timeFormat: z.enum([...TIME_FORMAT_NAMES, "received"]).optional(),
  /** A reading that says no time is of the moment it came. */
  withoutTime: z.literal("received").optional(),
  /** Of times without one: a name, or where the message has the name, the offset or its own clock. */
  timeZone: z
    .union([
      z.string().refine(isZoneName, "is not the name of a time zone, such as America/Chicago"),
      z.strictObject({ at: path }),
    ])
    .optional(),
  /** Messages for which this holds carry no position. */
  ignoreWhen: path.optional(),
  /** Readings for which this holds are none: a device that never had a fix. */
  ignoreReading: path.optional(),
  /** Readings for which this holds repeat an old place: their device has no fix now. */
  noFixWhen: path.optional(),
  /** Each message carries a part of a position; the rest comes in other messages of the device. */
  fragment: z.boolean().default(false),
  /** Left out, altitude and accuracy by their usual names; null: none. */
  details: z.partialRecord(z.enum(DETAIL_NAMES), path).nullable().optional(),
});

export type Given = z.output<typeof options>;

/** The options that null takes away for good, where leaving them out means the usual names. */
export const FOUND_BY_NAME: ReadonlySet<string> = new Set([
  "latitude",
  "longitude",
  "speed",
  "heading",
  "time",
  "details",
]);

export const pathOptions = options
  .refine(
    ({ coordinates, latitude, longitude }) => !coordinates || !(latitude || longitude),
    also("coordinates", "stands in place of latitude and longitude"),
  )
  .refine(
    (given) => given.fragment || given.coordinates || given.latitude !== null,
    also("latitude", NO_PLACE),
  )
  .refine(
    (given) => given.fragment || given.coordinates || given.longitude !== null,
    also("longitude", NO_PLACE),
  )
  .refine(
    ({ time, timeFormat, fragment }) =>
      timeFormat === "received" || (time !== null && !(fragment && time === undefined)),
    also("time", "is missing (timeFormat: received if messages carry none)"),
  )
  .refine(
    ({ time, timeFormat }) => !time || timeFormat !== "received",
    also("time", "has no use where timeFormat is received"),
  )
  .refine(
    ({ timeZone, timeFormat }) => !timeZone || ["iso", "isoUtc", "any", undefined].includes(timeFormat),
    also("timeZone", "has no use: only times written as text may lack a zone"),
  );
