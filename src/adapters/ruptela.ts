/** Ruptela's trackers with MQTT in JSON. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { epochSeconds, id, kph, multipliedBy, noFixBelow } from "./kit/fields.ts";

export const ruptela = defineAdapter({
  vendor: "ruptela",
  docs: "https://doc.ruptela.com",
  evidence: "seen in code",
  transports: ["mqtt"],
  auth: [],
  // The topic is set in the device's profile.
  topics: ["+/+/data"],
  speedUnit: "kph",
  payload: z.object({
    imei: id,
    ts: epochSeconds,
    pos: z.object({
      lat: multipliedBy(1e7),
      lon: multipliedBy(1e7),
      dir: multipliedBy(100),
      spd: kph,
      /** Satellites. */
      sat: noFixBelow(1),
    }),
  }),
  decode: ({ imei, ts, pos }) => [
    {
      path: "pos",
      deviceId: imei,
      fixTime: ts,
      latitude: pos.lat,
      longitude: pos.lon,
      speedMps: pos.spd,
      headingDeg: pos.dir,
      noFix: pos.sat,
    },
  ],
});
