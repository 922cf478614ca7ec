/** The table of shapes in which LoRa codecs lay out a position, each with where it was seen, and the fixes in a payload. */

import { byName, type Fix, isOld, timeIn } from "./codec-fix.ts";
import { bufferedFixes, senseCapFixes } from "./codec-lists.ts";
import { cmPerSecond, isRecord, isUnsaid, number, UNREADABLE } from "./fields.ts";
import { placeIn } from "./nested-place.ts";
import { namedIn, plainOf } from "./synonyms.ts";

interface Shape {
  device: string;
  /** Where the codec can be read. */
  evidence: string;
  /** Null where the payload is of another shape. */
  fixes: (payload: Record<string, unknown>) => readonly Fix[] | null;
}

/** The first that fits gives the fix of the uplink. */
export const SHAPES: readonly Shape[] = [
  {
    device: "Abeeway, second series: `gpsLatitude`, `age` in seconds, cm/s, hundredths of degrees",
    evidence: "TheThingsNetwork/lorawan-devices vendor/abeeway/asset-tracker-2.js",
    fixes: abeeway,
  },
  {
    device: "Abeeway, third series: `position.gnssFix`, `header.timestamp`; no units of its speed and course",
    evidence: "TheThingsNetwork/lorawan-devices vendor/abeeway/asset-tracker-3-codec.yaml",
    fixes: abeewayThird,
  },
  {
    device:
      "Digital Matter (`latitudeDeg`, `fixFailed`; `cached` is not read), Dragino (capitals, `Longitud`, `Date` and `Time`), Milesight, and any codec with the usual names, at the top or in `gps`, `location`, `position`",
    evidence:
      "TheThingsNetwork/lorawan-devices vendor/digital-matter/{oyster,g62}.js; dragino/dragino-end-node-decoder TrackerD; CampusIoT/payload-codec; Milesight-IoT/SensorDecoders at-series/at101; angelnu/home_assistant_thethingsnetwork#12",
    fixes: byName,
  },
  {
    device: "Cayenne LPP: `gpsLocation.<channel>`, `gps_<channel>`",
    evidence: "chirpstack/chirpstack codec/cayenne_lpp.rs; TheThingsNetwork/lorawan-stack cayennelpp",
    fixes: cayenneLpp,
  },
  {
    device: "SenseCAP T1000: `messages` of measurements, 4197 the longitude and 4198 the latitude",
    evidence: "home-assistant/core#127858; TheThingsNetwork/lorawan-devices vendor/sensecap",
    fixes: senseCapFixes,
  },
];

/** The fixes of an uplink and those kept from earlier, in the order of the payload; one without a place where there are none. */
export function fixesIn(payload: unknown): readonly Fix[] {
  const without = withoutPlace(payload);
  if (!isRecord(payload)) return [without];
  let current: readonly Fix[] = [];
  for (const { fixes } of SHAPES) {
    current = fixes(payload) ?? [];
    if (current.length > 0) break;
  }
  const { stored, at } = bufferedFixes(payload);
  if (current.length === 0) return stored.length > 0 ? stored : [without];
  if (stored.length === 0) return current;
  return at < placeAt(payload) ? [...stored, ...current] : [...current, ...stored];
}

/** What an uplink says beside a place that it has not. */
export function withoutPlace(payload: unknown): Fix {
  const named = namedIn(payload);
  return { path: "", latitude: undefined, longitude: undefined, named, time: timeIn(named) };
}

function abeeway(payload: Record<string, unknown>): readonly Fix[] | null {
  if (!Object.hasOwn(payload, "gpsLatitude") && !Object.hasOwn(payload, "gpsLongitude")) return null;
  const named = namedIn(payload);
  const course = number.parse(payload.courseOverGround);
  const time = timeIn(named);
  return [
    {
      ...{ path: "", latitude: named.value("latitude"), longitude: named.value("longitude"), named, time },
      ageS: isUnsaid(payload.age)
        ? typeof payload.age === "string"
          ? Number.NaN
          : null
        : number.parse(payload.age),
      // Where there is none the names of a speed are looked up, as everywhere.
      ...(isUnsaid(payload.speedOverGround) ? {} : { speedMps: cmPerSecond.parse(payload.speedOverGround) }),
      ...(course === null ? {} : { headingDeg: course / 100 }),
      noFix: isOld(payload),
    },
  ];
}

function abeewayThird({ position, header }: Record<string, unknown>): readonly Fix[] | null {
  if (!isRecord(position) || !["gnssFix", "positionType"].some((key) => Object.hasOwn(position, key)))
    return null;
  const { gnssFix, positionType } = position;
  const named = namedIn(gnssFix);
  const isReadable = isRecord(gnssFix) || isUnsaid(gnssFix);
  return [
    {
      path: "",
      latitude: isReadable ? named.value("latitude") : UNREADABLE,
      longitude: isReadable ? named.value("longitude") : UNREADABLE,
      // COG and SOG have no unit in the codec's examples.
      ...{ named, speedMps: null, headingDeg: null },
      // The codec always says when.
      time: (isRecord(header) ? timeIn(namedIn(header)) : undefined) ?? null,
      noFix: typeof positionType === "string" && !/gnss|gps/i.test(positionType),
    },
  ];
}

const CHANNEL = /^gps(?:location)?_([0-9]{1,3})$/i;

function cayenneLpp(payload: Record<string, unknown>): readonly Fix[] | null {
  const channels = Object.entries(payload).flatMap(([key, value]): { path: string; value: unknown }[] => {
    if (CHANNEL.test(key)) return [{ path: key, value }];
    if (plainOf(key) !== "gpslocation" || isUnsaid(value)) return [];
    if (!isRecord(value)) return [{ path: key, value }];
    return Object.keys(value)
      .filter((channel) => /^[0-9]{1,3}$/.test(channel))
      .map((channel) => ({ path: `${key}.${channel}`, value: value[channel] }));
  });
  if (channels.length === 0) return null;
  const around = namedIn(payload);
  return channels.map(({ path, value }, index) => {
    const place = placeIn(value, around);
    const other = isUnsaid(value) || isRecord(value) ? undefined : UNREADABLE;
    const { latitude = other, longitude = other, named = around } = place ?? {};
    // The first channel is the device's; a second receiver at the same time is another place of the same uplink.
    return {
      path: index === 0 ? "" : path,
      latitude,
      longitude,
      named,
      time: timeIn(named),
      noFix: isOld(payload),
    };
  });
}

/** Where in the payload the fix of the uplink begins. */
function placeAt(payload: Record<string, unknown>): number {
  return Object.keys(payload).findIndex((key) => placeIn({ [key]: payload[key] }) !== null);
}
