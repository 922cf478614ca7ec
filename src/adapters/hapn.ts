/** Hapn (Spytec): battery and wired trackers; one Queclink report for each message, no heading, no unit of speed. */

import { z } from "zod";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { addressList, urlToken } from "./kit/auth.ts";
import { degrees, flag, id, number, packedUtcTime, toMps } from "./kit/fields.ts";

/** Queclink's codes are many, and any of its reports may carry a position. */
const QUECLINK = /^gt/i;

export const hapn = defineAdapter({
  vendor: "hapn",
  docs: "https://hapn.dev/reference/webhooks",
  evidence: "documented",
  unknown: "unit of speed; how it could prove who it is",
  transports: ["webhook"],
  auth: [urlToken(), addressList()],
  speedUnit: "required",
  ignore: otherThan("type", QUECLINK),
  ignores: "every `type` that is not a Queclink report (`GT…`)",
  payload: z.object({
    imei: id,
    type: z.string().regex(QUECLINK),
    gpsUTCTime: packedUtcTime,
    latitude: degrees,
    longitude: degrees,
    speed: number,
    batteryPercentage: number,
    ignition: flag,
  }),
  decode: ({ imei, type, gpsUTCTime, latitude, longitude, speed, ...rest }, { speedUnit }) => [
    {
      path: "",
      deviceId: imei,
      fixTime: gpsUTCTime,
      latitude,
      longitude,
      speedMps: toMps(speed, speedUnit),
      headingDeg: null,
      details: { batteryPct: rest.batteryPercentage, ignition: rest.ignition, vendorEvent: type },
    },
  ],
});
