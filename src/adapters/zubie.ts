/** Zubie: OBD dongles in small fleets; signed events of trips, with the place where the vehicle was. */

import { z } from "zod";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { hmac } from "./kit/auth.ts";
import { degrees, id, isoTime, isRecord, part } from "./kit/fields.ts";

/** Events of a moving vehicle: in others the place is the last one known, with the time of the event. */
const EVENTS = [
  "trip_start",
  "trip_end",
  "trip_hard_brake",
  "trip_severe_hard_brake",
  "trip_rapid_accel",
  "trip_over_speeding",
  "vehicle_geofence_arrival",
  "vehicle_geofence_departure",
  "vehicle_impact",
] as const;

const common = { event: z.enum(EVENTS), timestamp: isoTime };
const vehicle = z.object({
  key: id,
  vehicle_location: part({ point: part({ lat: degrees, lon: degrees }) }),
});
const event = z.union([
  z.object({ ...common, vehicle }),
  z.object({ ...common, car: vehicle }).transform(({ car, ...rest }) => ({ ...rest, vehicle: car })),
]);

export const zubie = defineAdapter({
  vendor: "zubie",
  docs: "https://developer.zubie.com/webhooks/index.html",
  evidence: "documented",
  unknown: "where a position stands in an event",
  transports: ["webhook"],
  auth: [hmac({ algorithm: "sha256", header: "Zubie-Signature", encoding: "base64" })],
  speedUnit: "none",
  // The events API wraps the same event.
  unseal: (raw) => ({ value: isRecord(raw) && isRecord(raw.context) ? raw.context : raw }),
  ignore: otherThan("event", EVENTS),
  ignores: "device, battery, fuel, maintenance, schedule and trouble code events",
  payload: event,
  decode: ({ event, timestamp, vehicle }) => [
    {
      path: "",
      deviceId: vehicle.key,
      fixTime: timestamp,
      latitude: vehicle.vehicle_location.point.lat,
      longitude: vehicle.vehicle_location.point.lon,
      speedMps: null,
      headingDeg: null,
      details: { vendorEvent: event },
    },
  ],
});
