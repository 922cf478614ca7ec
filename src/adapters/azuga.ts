/** Azuga: one flat message for each position of an OBD device; the unit of its speed is not documented. */

import { z } from "zod";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { basic, customHeader } from "./kit/auth.ts";
import { degrees, epochMillis, flag, id, number, part, text, toMps } from "./kit/fields.ts";

/** The name of the event stands under both keys, or under one of them. */
const NAMES = ["messageType", "type"] as const;
const GPS = "GPS_MESSAGE";

export const azuga = defineAdapter({
  vendor: "azuga",
  docs: "https://developer.azuga.com/docs/gps-message",
  evidence: "documented",
  unknown: "unit of speed; how `date` is written",
  transports: ["webhook"],
  auth: [customHeader(), basic()],
  speedUnit: "required",
  ignore: otherThan(NAMES, [GPS]),
  ignores: "trip start and end, speeding, accidents, device plugged in and out",
  payload: z
    .object({
      messageType: text,
      type: text,
      vehicleId: id,
      locationTime: epochMillis,
      latitude: degrees,
      longitude: degrees,
      /** Repeats the same place. */
      location: part({ latitude: degrees, longitude: degrees }),
      speed: number,
      course: degrees,
      invalidFix: number,
      privacyModeEnable: flag,
      tripState: text,
    })
    .refine((fix) => NAMES.some((key) => fix[key]?.toUpperCase() === GPS), `must be of type ${GPS}`),
  decode: (fix, { speedUnit }) => [
    {
      path: "",
      deviceId: fix.vehicleId,
      fixTime: fix.locationTime,
      latitude: fix.latitude ?? fix.location.latitude,
      longitude: fix.longitude ?? fix.location.longitude,
      speedMps: toMps(fix.speed, speedUnit),
      headingDeg: fix.course,
      // 1 without a fix. `fixStatus` and `fixQuality` are no help: in Azuga's own example they are 0 with a fix.
      noFix: (fix.invalidFix !== null && fix.invalidFix !== 0) || fix.privacyModeEnable === true,
      details: { vendorEvent: fix.tripState },
    },
  ],
});
