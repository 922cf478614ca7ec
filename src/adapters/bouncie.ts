/** Bouncie: OBD dongles in very small fleets; batches of trip points, and single points when plugged in or at a fence. */

import { z } from "zod";
import type { RawReading } from "../reading.ts";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { sharedKey } from "./kit/auth.ts";
import { each } from "./kit/each.ts";
import { degrees, id, isoTime, items, mph, part } from "./kit/fields.ts";

const gps = part({ lat: degrees, lon: degrees, heading: degrees });
const trip = part({ timestamp: isoTime, speed: mph, gps });
const plug = part({ timestamp: isoTime, latitude: degrees, longitude: degrees });
const geozone = part({ timestamp: isoTime, location: gps });

const payload = z.discriminatedUnion("eventType", [
  z.object({
    eventType: z.literal("tripData"),
    imei: id,
    data: items,
  }),
  z.object({ eventType: z.literal("connect"), imei: id, connect: plug }),
  z.object({ eventType: z.literal("disconnect"), imei: id, disconnect: plug }),
  z.object({ eventType: z.enum(["userGeozone", "applicationGeozone"]), imei: id, geozone }),
]);

interface Point {
  timestamp: number | null;
  speed?: number | null;
  gps: z.output<typeof gps>;
}

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
    event.eventType === "tripData"
      ? each(event.data, (point, index) => rawReading(event.imei, `data[${index}]`, trip.parse(point)))
      : [placed(event)],
  // A reply that is not JSON counts as a failure, and repeated failures switch the webhook off.
  reply: { status: 200, contentType: "application/json", body: "{}" },
});

function placed(event: Exclude<z.output<typeof payload>, { eventType: "tripData" }>): RawReading {
  switch (event.eventType) {
    case "connect":
      return plugged(event.imei, "connect", event.connect);
    case "disconnect":
      return plugged(event.imei, "disconnect", event.disconnect);
    default: {
      // The vehicle's own place when it crossed the fence, not the fence's.
      const { timestamp, location } = event.geozone;
      return rawReading(event.imei, "geozone", { timestamp, gps: location });
    }
  }
}

function plugged(
  imei: string | null,
  path: string,
  { timestamp, latitude, longitude }: z.output<typeof plug>,
): RawReading {
  return rawReading(imei, path, { timestamp, gps: { lat: latitude, lon: longitude, heading: null } });
}

function rawReading(
  deviceId: string | null,
  path: string,
  { timestamp, speed = null, gps }: Point,
): RawReading {
  return {
    path,
    deviceId,
    fixTime: timestamp,
    latitude: gps.lat,
    longitude: gps.lon,
    speedMps: speed,
    headingDeg: gps.heading,
  };
}
