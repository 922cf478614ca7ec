/** Where a customer's codec or template puts the fields of a position: paths in the options, or the usual names. */

import { MPS_PER, type SpeedUnit } from "../../reading.ts";
import { type Find, path } from "./expression.ts";
import { degrees, flag, isRecord, number } from "./fields.ts";

/** A JMESPath expression; left out, the first of these keys that holds anything. */
export function pathOr(...names: readonly string[]) {
  return path.default(() => firstOf(names));
}

export const positionPaths = {
  latitude: pathOr("latitude", "lat"),
  longitude: pathOr("longitude", "lon", "lng", "long"),
  /** In the source's `speedUnit`; km/h where it has none, as in most codecs. */
  speed: pathOr("speed"),
  heading: pathOr("heading", "course"),
  /** False: the coordinates repeat an old place. */
  fix: pathOr("fix"),
};

type PositionPaths = Readonly<Record<keyof typeof positionPaths, Find>>;

export function positionIn(value: unknown, paths: PositionPaths, speedUnit: SpeedUnit | undefined) {
  const speed = number.parse(paths.speed(value));
  return {
    latitude: degrees.parse(paths.latitude(value)),
    longitude: degrees.parse(paths.longitude(value)),
    speedMps: speed === null ? null : speed * MPS_PER[speedUnit ?? "kph"],
    headingDeg: degrees.parse(paths.heading(value)),
    noFix: flag.parse(paths.fix(value)) === false,
  };
}

function firstOf(names: readonly string[]): Find {
  return (value) => {
    if (!isRecord(value)) return undefined;
    const name = names.find((each) => Object.hasOwn(value, each) && value[each] !== null);
    return name === undefined ? undefined : value[name];
  };
}
