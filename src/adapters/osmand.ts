/** OsmAnd's protocol: phones with Traccar Client and other apps, as a query, a form or JSON on one address. */

import { z } from "zod";
import { AT_RECEIPT, type RawReading, type SpeedUnit } from "../reading.ts";
import { defineAdapter } from "./kit/adapter.ts";
import { addressList, basic, bearer, urlToken } from "./kit/auth.ts";
import type { Problems } from "./kit/each.ts";
import { each } from "./kit/each.ts";
import * as fields from "./kit/fields.ts";
import { jsonOrForm } from "./kit/form.ts";

const { degrees, id, isRecord, label, metres, number, part, text, toMps } = fields;

/** In a query or form, where every value is text. */
const report = z.object({
  id,
  deviceid: id,
  lat: degrees,
  lon: degrees,
  location: text,
  speed: number,
  bearing: degrees,
  heading: degrees,
  valid: fields.noFixUnless(true),
  accuracy: metres,
  altitude: metres,
  batt: number,
  driverUniqueId: label,
});

/** In JSON, as apps with Transistorsoft's library send it. */
const located = {
  timestamp: fields.isoTime,
  event: label,
  odometer: metres,
  coords: part({
    latitude: degrees,
    longitude: degrees,
    speed: number,
    heading: degrees,
    accuracy: metres,
    altitude: metres,
  }),
  battery: part({ level: number }),
};
const single = z.object(located).refine(({ timestamp }) => timestamp !== null, "must have a timestamp");
const oneOfBatch = part(located);
const batch = fields.items.min(1);

export const osmand = defineAdapter({
  vendor: "osmand",
  docs: "https://www.traccar.org/osmand/",
  evidence: "source code",
  transports: ["webhook"],
  auth: [urlToken(), basic(), bearer(), addressList()],
  methods: ["GET", "POST"],
  format: jsonOrForm,
  // Without one: knots in a query or form, as Traccar reads them, and metres per second in JSON, as Transistorsoft writes
  // them. OsmAnd itself sends metres per second in its query, and other senders km/h.
  speedUnit: "optional",
  idOutsideBody: () => "query",
  ignore: (raw) => {
    const inside = isRecord(raw) && isRecord(raw.location) ? raw.location : {};
    return inside.event === "heartbeat" && !Object.hasOwn(inside, "coords") ? "heartbeat" : null;
  },
  ignores: "heartbeats without a position",
  payload: z.looseObject({ location: z.union([z.string().optional(), single, batch]) }),
  decode: (message, { query, speedUnit }) => {
    const { device_id, location } = message;
    // With an empty body all values are in the query, with a form sometimes the id.
    if (typeof location !== "object") return fromForm({ ...query, ...message }, speedUnit);
    const device = id.parse(device_id);
    return Array.isArray(location)
      ? each(location, (fix, index) =>
          fromJson(device, oneOfBatch.parse(fix), `location[${index}]`, speedUnit),
        )
      : [fromJson(device, location, "location", speedUnit)];
  },
});

function fromJson(
  deviceId: string | null,
  fix: z.output<typeof single>,
  path: string,
  unit: SpeedUnit = "mps",
): RawReading {
  const { coords, battery } = fix;
  const level = known(battery.level);
  return {
    path,
    deviceId,
    fixTime: fix.timestamp,
    latitude: coords.latitude,
    longitude: coords.longitude,
    speedMps: toMps(known(coords.speed), unit),
    headingDeg: known(coords.heading),
    details: {
      accuracyM: known(coords.accuracy),
      altitudeM: coords.altitude,
      odometerM: fix.odometer,
      batteryPct: level === null ? null : level * 100,
      vendorEvent: fix.event,
    },
  };
}

function fromForm(
  sent: Readonly<Record<string, unknown>>,
  unit: SpeedUnit = "knots",
): RawReading[] | Problems {
  if (sent.id === undefined && sent.deviceid === undefined) return { problems: ["id: is missing"] };
  // JSON of another sender, whose names may mean something else.
  if (Object.values(sent).some((value) => typeof value !== "string"))
    return { problems: ["location: is missing"] };
  const { location, ...rest } = report.parse(sent);
  const { lat, lon } = location === null ? rest : pairIn(location);
  return [
    {
      path: "",
      deviceId: rest.id ?? rest.deviceid,
      fixTime: timeOf(sent.timestamp),
      latitude: lat,
      longitude: lon,
      speedMps: toMps(rest.speed, unit),
      headingDeg: rest.bearing ?? rest.heading,
      noFix: rest.valid,
      details: {
        accuracyM: rest.accuracy,
        altitudeM: rest.altitude,
        batteryPct: rest.batt,
        driver: rest.driverUniqueId,
      },
    },
  ];
}

/** `lat,lon` */
function pairIn(location: string): { lat: number | null; lon: number | null } {
  const comma = location.indexOf(",");
  if (comma === -1) return { lat: Number.NaN, lon: Number.NaN };
  return { lat: degrees.parse(location.slice(0, comma)), lon: degrees.parse(location.slice(comma + 1)) };
}

/** Seconds below 2^31, milliseconds from there on, or a date, without a zone in UTC; none means now. */
function timeOf(timestamp: unknown): RawReading["fixTime"] {
  if (timestamp === undefined) return AT_RECEIPT;
  const since1970 = number.parse(timestamp);
  if (since1970 === null) return null;
  if (Number.isNaN(since1970)) return fields.isoTimeAssumedUtc.parse(timestamp);
  return (since1970 < 2 ** 31 ? fields.epochSeconds : fields.epochMillis).parse(since1970);
}

/** Transistorsoft writes -1 for unknown. */
function known(value: number | null): number | null {
  return value === -1 ? null : value;
}
