/** The place in an object: under its own names, or nested in `gps`, `location`, `position` and the like, as object, GeoJSON or pair. */

import type { SaidDetails } from "../../reading.ts";
import { isRecord, isUnsaid, number, UNREADABLE } from "./fields.ts";
import { type Field, type Named, namedIn, plainOf } from "./synonyms.ts";

export interface Place {
  latitude: unknown;
  longitude: unknown;
  /** The fields beside the place, and around it where it is nested. */
  named: Named;
  /** The keys that lead to it. */
  keys: readonly string[];
}

/** The device's own receiver by name; before the others, which must agree. */
const OF_GPS = ["gps", "gnss", "gnssfix", "gpsfix", "gpslocation", "gpsposition"];
const OTHERS = ["position", "location", "loc", "geolocation", "coords", "coordinates", "geometry"];
/** Pairs whose name says their order. */
const LATITUDE_FIRST = ["latlng", "latlon", "latlong"];
const LONGITUDE_FIRST = ["lnglat", "lonlat", "coordinates"];
/** `location.coords.latitude` is the deepest seen. */
const MAX_DEPTH = 2;

/** Null where there is neither coordinate. A place under the object's own names counts before a nested one. */
export function placeIn(value: unknown, around: Named = NOTHING, depth = 0): Place | null {
  if (!isRecord(value)) return null;
  const named = chained(namedIn(value), around);
  const [latitude, longitude] = [named.value("latitude"), named.value("longitude")];
  if (latitude !== undefined || longitude !== undefined) return { latitude, longitude, named, keys: [] };
  if (depth === MAX_DEPTH) return null;
  const nested = Object.keys(value).flatMap((key) => {
    const place = placeUnder(key, value[key], named, depth + 1);
    return place ? [{ ...place, keys: [key, ...place.keys] }] : [];
  });
  const [own] = nested.filter(({ keys: [key = ""] }) => OF_GPS.includes(plainOf(key)));
  if (own) return own;
  const [first, ...others] = nested;
  if (first === undefined || others.every((other) => isSamePlace(first, other))) return first ?? null;
  return { ...first, latitude: UNREADABLE, longitude: UNREADABLE };
}

export const NOTHING: Named = { has: () => false, value: () => undefined, speed: () => null };

/** The fields of the inner object, and of the outer those that the inner has not. */
export function chained(inner: Named, outer: Named): Named {
  const of = (field: Field) => (inner.has(field) ? inner : outer);
  return {
    has: (field) => inner.has(field) || outer.has(field),
    value: (field) => of(field).value(field),
    speed: (stated, assumed) => of("speed").speed(stated, assumed),
  };
}

/** Altitude and accuracy under their usual names; undefined where neither is said. */
export function namedDetails(named: Named): SaidDetails | undefined {
  const [altitudeM, accuracyM] = [named.value("altitude"), named.value("accuracy")];
  if (altitudeM === undefined && accuracyM === undefined) return undefined;
  return { altitudeM: number.parse(altitudeM), accuracyM: number.parse(accuracyM) };
}

function placeUnder(key: string, value: unknown, around: Named, depth: number): Place | null {
  const name = plainOf(key);
  const isPair = LATITUDE_FIRST.includes(name) || LONGITUDE_FIRST.includes(name);
  if (!isPair && !OF_GPS.includes(name) && !OTHERS.includes(name)) return null;
  if (isRecord(value)) return placeIn(value, around, depth);
  const pair = pairIn(value);
  if (pair === null) return null;
  const [one, other] = pair;
  const isLongitudeFirst = LONGITUDE_FIRST.includes(name) || (typeof value !== "string" && order(pair));
  if (isPair || typeof value === "string" || isLongitudeFirst !== null) {
    const [latitude, longitude] = isLongitudeFirst === true ? [other, one] : [one, other];
    return { latitude, longitude, named: around, keys: [] };
  }
  return { latitude: UNREADABLE, longitude: UNREADABLE, named: around, keys: [] };
}

/** Two or three numbers in a list, or two in a text; null is no pair. */
function pairIn(value: unknown): readonly unknown[] | null {
  const items = typeof value === "string" ? value.split(",") : value;
  if (!Array.isArray(items) || items.length < 2 || items.length > (typeof value === "string" ? 2 : 3))
    return null;
  const isNumbers = items.every((item) => !isUnsaid(item) && !Number.isNaN(number.parse(item)));
  return isNumbers ? items : null;
}

/** Whether the longitude comes first, where a number beyond 90 tells; null where it could be either. */
function order([one, other]: readonly unknown[]): boolean | null {
  const isFar = (value: unknown) => Math.abs(number.parse(value) ?? 0) > 90;
  if (isFar(one) === isFar(other)) return null;
  return isFar(one);
}

function isSamePlace(one: Place, other: Place): boolean {
  const apart = (a: unknown, b: unknown) =>
    Math.abs((number.parse(a) ?? Number.NaN) - (number.parse(b) ?? Number.NaN));
  return apart(one.latitude, other.latitude) <= 1e-6 && apart(one.longitude, other.longitude) <= 1e-6;
}
