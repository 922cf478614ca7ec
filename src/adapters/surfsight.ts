/** Surfsight (Lytx): dash cameras; one event for each incident or position, its unit of speed not documented. */

import { z } from "zod";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { basic, bearer, customHeader, urlToken } from "./kit/auth.ts";
import { degrees, epochSeconds, id, metres, number, text, toMps } from "./kit/fields.ts";

const TYPES = ["event", "gps"] as const;

export const surfsight = defineAdapter({
  vendor: "surfsight",
  docs: "https://developer.surfsight.net/developer-portal/webhooks/",
  evidence: "documented",
  unknown: "unit of speed",
  transports: ["webhook"],
  auth: [bearer(), basic(), customHeader(), urlToken()],
  speedUnit: "required",
  ignore: otherThan("type", TYPES),
  ignores: "alarms about the camera itself",
  payload: z.object({
    type: z.enum(TYPES),
    data: z.object({
      serialNumber: id,
      eventType: text,
      time: epochSeconds,
      lat: degrees,
      lon: degrees,
      alt: metres,
      speed: number,
    }),
  }),
  decode: ({ data }, { speedUnit }) => [
    {
      path: "data",
      deviceId: data.serialNumber,
      fixTime: data.time,
      latitude: data.lat,
      longitude: data.lon,
      speedMps: toMps(data.speed, speedUnit),
      headingDeg: null,
      details: { altitudeM: data.alt, vendorEvent: data.eventType },
    },
  ],
});
