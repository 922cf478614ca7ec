/** Lists of fixes in one uplink of a LoRa codec: those a device kept, and SenseCAP's lists of measurements. */

import { byName, type Fix, isOld, timeIn, toTime } from "./codec-fix.ts";
import { isRecord, isUnsaid, UNREADABLE } from "./fields.ts";
import { NOTHING } from "./nested-place.ts";
import { namedIn, plainOf } from "./synonyms.ts";

/** What stands in a list and cannot be read is one fix that is rejected. */
function unreadable(path: string): Fix {
  return { path, latitude: UNREADABLE, longitude: UNREADABLE, named: NOTHING, time: undefined, stored: true };
}

/** Milesight's codecs: whatever stands there are fixes of before. */
const HISTORY = "history";
/** Seen in codecs of customers; something else than a list under them is something else. */
const LISTS = ["positions", "locations", "fixes", "points", "gpshistory", "historydata", "datalog"];

/** The fixes a device kept, each with a time of its own, and where in the payload they begin. */
export function bufferedFixes(payload: Record<string, unknown>): { stored: readonly Fix[]; at: number } {
  const keys = Object.keys(payload);
  const at = keys.findIndex((key) => {
    const name = plainOf(key);
    return name === HISTORY ? !isUnsaid(payload[key]) : LISTS.includes(name) && isListOfPlaces(payload[key]);
  });
  const key = keys[at];
  if (key === undefined) return { stored: [], at };
  const list = payload[key];
  const isKept = plainOf(key) === HISTORY;
  return { stored: Array.isArray(list) ? fixesOf(list, key, isKept) : [unreadable(key)], at };
}

/** Each item of a list as a fix with its own time; one alone may be that of the uplink. */
export function fixesOf(list: readonly unknown[], path: string, isKept: boolean): Fix[] {
  const stored = isKept || list.length > 1;
  return list.map((item, index) => {
    const at = `${path}[${index}]`;
    const [fix] = isRecord(item) ? (byName(item) ?? []) : [];
    if (fix) return { ...fix, path: at, stored };
    if (!isRecord(item) && !isUnsaid(item)) return unreadable(at);
    const named = namedIn(item);
    return { path: at, latitude: undefined, longitude: undefined, named, time: timeIn(named), stored };
  });
}

function isListOfPlaces(value: unknown): boolean {
  return Array.isArray(value) && value.some((item) => isRecord(item) && byName(item) !== null);
}

const LONGITUDE = "4197";
const LATITUDE = "4198";

interface Measurement {
  id: string;
  value: unknown;
  /** Of the measurement, else of its list. */
  time: unknown;
}

/**
 * `messages[][]` with `measurementId`, `measurementValue` and `timestamp`; older codecs have one list, and the time as a
 * measurement. Scans of Wi-Fi and Bluetooth (5001, 5002), states and errors are no places.
 */
export function senseCapFixes(payload: Record<string, unknown>): readonly Fix[] | null {
  const { messages } = payload;
  if (isUnsaid(messages)) return null;
  const isEnvelope = Object.hasOwn(payload, "err") || Object.hasOwn(payload, "valid");
  const all: unknown[] = Array.isArray(messages) ? messages : [];
  if (!isEnvelope && !all.flat().some(isMeasurement)) return null;
  if (!Array.isArray(messages)) return [{ ...unreadable(""), stored: false }];
  const isFlat = all.length > 0 && all.every(isMeasurement);
  const lists: readonly unknown[] = isFlat ? [all] : all;
  return lists.flatMap((list, index) =>
    // The first stands for the uplink.
    placesIn(list, index === 0 ? "" : `messages[${index}]`, isOld(payload)),
  );
}

function isMeasurement(value: unknown): value is Record<string, unknown> {
  return isRecord(value) && Object.hasOwn(value, "measurementValue");
}

function placesIn(list: unknown, path: string, isRefused: boolean): Fix[] {
  if (!Array.isArray(list)) return [{ ...unreadable(path), stored: false }];
  const records = list.filter(isMeasurement);
  const ofList = records.find(({ type }) => type === "Timestamp")?.measurementValue;
  const measurements = records.map(
    ({ measurementId, measurementValue: value, timestamp: time = ofList }): Measurement => ({
      ...{ id: String(measurementId), value, time },
    }),
  );
  const longitudes = measurements.filter(({ id }) => id === LONGITUDE);
  const latitudes = measurements.filter(({ id }) => id === LATITUDE);
  const count = Math.max(longitudes.length, latitudes.length, 1);
  return Array.from({ length: count }, (_, index): Fix => {
    const [longitude, latitude] = [longitudes[index], latitudes[index]];
    return {
      path: index === 0 ? path : `${path || "messages[0]"}.${index}`,
      latitude: latitude?.value,
      longitude: longitude?.value,
      named: NOTHING,
      time: timeOfBoth(longitude, latitude),
      noFix: isRefused,
    };
  });
}

/** Both measurements say the same instant, or it cannot be read. */
function timeOfBoth(longitude: Measurement | undefined, latitude: Measurement | undefined): Fix["time"] {
  const [one, other] = [toTime(longitude?.time), toTime(latitude?.time)];
  if (one === other || longitude === undefined) return other;
  return latitude === undefined ? one : Number.NaN;
}
