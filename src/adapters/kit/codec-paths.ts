/** Where a customer's codec or template puts the fields of a position: paths in the options, else the known shapes and names. */

import { z } from "zod";
import type { AT_RECEIPT, RawReading, SpeedUnit } from "../../reading.ts";
import { byName, type Fix, timeOfFix, toTime } from "./codec-fix.ts";
import { fixesOf } from "./codec-lists.ts";
import { fixesIn, withoutPlace } from "./codec-shapes.ts";
import { path, pathWithText } from "./expression.ts";
import { compass, degrees, flag, isRecord, number, toMps } from "./fields.ts";
import { namedDetails } from "./nested-place.ts";
import { unitInPath } from "./synonyms.ts";
import { TIME_FORMAT_NAMES, TIME_FORMATS } from "./time-formats.ts";

/** Each is a JMESPath expression; what is left out is found by shape and name. */
export const positionPaths = {
  latitude: path.optional(),
  longitude: path.optional(),
  /** In the source's `speedUnit` or the unit in its name; km/h where it has none, as in most codecs. */
  speed: pathWithText.optional(),
  heading: path.optional(),
  /** False: the coordinates repeat an old place. */
  fix: path.optional(),
  /** When the fix was; where it finds nothing, when the uplink came. */
  time: path.optional(),
  /** Left out: ISO text, in UTC if it has no zone, or seconds or milliseconds since 1970. */
  timeFormat: z.enum(TIME_FORMAT_NAMES).optional(),
};

export const codecPaths = {
  ...positionPaths,
  /** A list of fixes with times of their own; the other paths then lead from each of them. */
  readings: pathWithText.optional(),
};

const options = z.strictObject(codecPaths);
type CodecPaths = z.output<typeof options>;

/** A raw reading without its device. */
export type Position = Omit<RawReading, "deviceId">;

export interface Uplink {
  payload: unknown;
  /** The part of the payload in which shapes and names are looked for, where not all of it is the device's. */
  named?: unknown;
  /** When it came, as far as the stack says. */
  arrival: number | null | typeof AT_RECEIPT;
  /** The path of the fix of the uplink, and of what lies below its payload. */
  path: string;
  payloadPath: string;
}

export function positionsIn(
  { payload, named = payload, arrival, path: whole, payloadPath }: Uplink,
  paths: CodecPaths,
  speedUnit: SpeedUnit | undefined,
): Position[] {
  const { readings } = paths;
  const list = readings?.find(payload);
  const fixes = Array.isArray(list) ? fixesOf(list, readings?.text ?? "", false) : fixesAt(named, paths);
  return fixes.map((fix, index) => {
    const from = Array.isArray(list) ? list[index] : payload;
    // A kept fix has its own fields; the paths are those of the uplink.
    const given = fix.stored && !Array.isArray(list) ? {} : paths;
    const position = positionOf(fix, from, given, speedUnit);
    return {
      path: fix.path === "" ? whole : `${payloadPath}${payloadPath === "" ? "" : "."}${fix.path}`,
      fixTime: timeOfFix({ ...fix, time: position.time }, arrival),
      ...position.fields,
    };
  });
}

/** Where a coordinate has a path the uplink has one fix. */
function fixesAt(payload: unknown, { latitude, longitude }: CodecPaths): readonly Fix[] {
  if (latitude === undefined && longitude === undefined) return fixesIn(payload);
  return (isRecord(payload) ? byName(payload) : null) ?? [withoutPlace(payload)];
}

function positionOf(fix: Fix, from: unknown, paths: CodecPaths, speedUnit: SpeedUnit | undefined) {
  const { latitude, longitude, fix: isFix, time, timeFormat } = paths;
  const details = namedDetails(fix.named);
  return {
    time: time ? timeAt(time(from), timeFormat) : fix.time,
    fields: {
      latitude: degrees.parse(latitude ? latitude(from) : fix.latitude),
      longitude: degrees.parse(longitude ? longitude(from) : fix.longitude),
      speedMps: speedOf(fix, from, paths, speedUnit),
      headingDeg: headingOf(fix, from, paths),
      noFix: isFix ? flag.parse(isFix(from)) === false : fix.noFix === true,
      ...(details && { details }),
    },
  };
}

function headingOf(fix: Fix, from: unknown, { heading }: CodecPaths): number | null {
  if (heading) return compass.parse(heading(from));
  return fix.headingDeg === undefined ? compass.parse(fix.named.value("heading")) : fix.headingDeg;
}

function timeAt(found: unknown, timeFormat: CodecPaths["timeFormat"]): Fix["time"] {
  if (timeFormat === undefined || found === undefined || found === null) return toTime(found);
  return TIME_FORMATS[timeFormat].parse(found);
}

function speedOf(fix: Fix, from: unknown, { speed }: CodecPaths, speedUnit: SpeedUnit | undefined) {
  if (speed) return toMps(number.parse(speed.find(from)), speedUnit ?? unitInPath(speed.text) ?? "kph");
  return fix.speedMps === undefined ? fix.named.speed(speedUnit, "kph") : fix.speedMps;
}
