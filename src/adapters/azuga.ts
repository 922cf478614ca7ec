/** Azuga: one flat message for each position of an OBD device; the unit of its speed is not documented. */

import { z } from "zod";
import { defineAdapter, otherThan } from "./adapter.ts";
import { basic, customHeader } from "./auth.ts";
import { degrees, epochMillis, flag, id, number, text, toMps } from "./fields.ts";

export const azuga = defineAdapter({
  vendor: "azuga",
  docs: "https://developer.azuga.com/docs/gps-message",
  evidence: "documented",
  transports: ["webhook"],
  auth: [customHeader(), basic()],
  speedUnit: "required",
  ignore: otherThan("messageType", ["GPS_MESSAGE"]),
  ignores: "trip start and end, speeding, accidents, device plugged in and out",
  payload: z.object({
    messageType: z.literal("GPS_MESSAGE"),
    vehicleId: id,
    locationTime: epochMillis,
    latitude: degrees,
    longitude: degrees,
    speed: number,
    course: degrees,
    invalidFix: number,
    privacyModeEnable: flag,
    tripState: text,
  }),
  decode: (fix, { speedUnit }) => [
    {
      path: "",
      deviceId: fix.vehicleId,
      fixTime: fix.locationTime,
      latitude: fix.latitude,
      longitude: fix.longitude,
      speedMps: toMps(fix.speed, speedUnit),
      headingDeg: fix.course,
      // 1 without a fix. `fixStatus` and `fixQuality` are no help: in Azuga's own example they are 0 with a fix.
      noFix: (fix.invalidFix !== null && fix.invalidFix !== 0) || fix.privacyModeEnable === true,
      details: { vendorEvent: fix.tripState },
    },
  ],
});
