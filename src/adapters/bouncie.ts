/** Bouncie: OBD dongles in very small fleets; batches of trip points, and single points when plugged in or at a fence. */

import { z } from "zod";
import { defineAdapter, otherThan } from "./adapter.ts";
import { sharedKey } from "./auth.ts";
import { degrees, id, isoTime, mph, part } from "./fields.ts";

const gps = part({ lat: degrees, lon: degrees, heading: degrees });
const plug = part({ timestamp: isoTime, latitude: degrees, longitude: degrees });
const geozone = part({ timestamp: isoTime, location: gps });

const payload = z.discriminatedUnion("eventType", [
  z.object({
    eventType: z.literal("tripData"),
    imei: id,
    data: z.array(part({ timestamp: isoTime, speed: mph, gps })),
  }),
  z.object({ eventType: z.literal("connect"), imei: id, connect: plug }),
  z.object({ eventType: z.literal("disconnect"), imei: id, disconnect: plug }),
  z.object({ eventType: z.enum(["userGeozone", "applicationGeozone"]), imei: id, geozone }),
]);

type Point = { path: string; timestamp: number | null; speed?: number | null; gps: z.output<typeof gps> };

export const bouncie = defineAdapter({
  vendor: "bouncie",
  docs: "https://docs.bouncie.dev",
  evidence: "documented",
  transports: ["webhook"],
  auth: [sharedKey("X-Bouncie-Authorization")],
  speedUnit: "mph",
  ignore: otherThan("eventType", ["tripData", "connect", "disconnect", "userGeozone", "applicationGeozone"]),
  ignores: "trip start, end and metrics, battery, engine light, change of VIN",
  payload,
  decode: (event) =>
    points(event).map(({ path, timestamp, speed = null, gps }) => ({
      path,
      deviceId: event.imei,
      fixTime: timestamp,
      latitude: gps.lat,
      longitude: gps.lon,
      speedMps: speed,
      headingDeg: gps.heading,
    })),
  // A reply that is not JSON counts as a failure and in time switches the webhook off.
  reply: { status: 200, contentType: "application/json", body: "{}" },
});

function points(event: z.output<typeof payload>): Point[] {
  switch (event.eventType) {
    case "tripData":
      return event.data.map((point, index) => ({ ...point, path: `data[${index}]` }));
    case "connect":
      return [plugged("connect", event.connect)];
    case "disconnect":
      return [plugged("disconnect", event.disconnect)];
    default:
      // The vehicle's own place when it crossed the fence, not the fence's.
      return [{ path: "geozone", timestamp: event.geozone.timestamp, gps: event.geozone.location }];
  }
}

function plugged(path: string, { timestamp, latitude, longitude }: z.output<typeof plug>): Point {
  return { path, timestamp, gps: { lat: latitude, lon: longitude, heading: null } };
}
