/** Navixy's Generic Protocol, which its IoT Logic publishes to any broker: one message a device, with or without a place. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import {
  degrees,
  id,
  isoTime,
  kilometres,
  kph,
  label,
  metres,
  noFixUnlessSaid,
  number,
  part,
} from "./kit/fields.ts";

export const navixyNgp = defineAdapter({
  vendor: "navixy-ngp",
  docs: "https://github.com/Navixy/navixy-public-docs",
  evidence: "documented",
  unknown: "whether places that Navixy itself leaves out for want of satellites are published",
  transports: ["mqtt"],
  auth: [],
  // Devices publish there; the topic of IoT Logic's output is the customer's choice.
  topics: ["ngp/+"],
  speedUnit: "kph",
  payload: z.object({
    // Both are compulsory.
    device_id: z.unknown().pipe(id),
    message_time: z.unknown().pipe(isoTime),
    location: z.union([
      z.undefined(),
      part({
        // Of the fix. Without it the time of the message counts.
        gnss_time: z.unknown().optional(),
        // Without it there is a fix. NO_FIX has no place, and LAST_KNOWN_POSITION an old one.
        fix_type: noFixUnlessSaid("has_fix", "fix_2d", "fix_3d"),
        // LBS and ATLAS are places of the network.
        source_type: noFixUnlessSaid("gnss"),
        latitude: degrees,
        longitude: degrees,
        speed: kph,
        // From 1 to 360.
        heading: degrees,
        altitude: metres,
        precision: metres,
      }),
    ]),
    event_id: label,
    hardware_mileage: kilometres,
    battery_level: number,
  }),
  // A device's state and events come without a place.
  decode: ({ device_id, message_time, location, ...rest }) =>
    location === undefined
      ? []
      : [
          {
            path: "",
            deviceId: device_id,
            fixTime: location.gnss_time === undefined ? message_time : isoTime.parse(location.gnss_time),
            latitude: location.latitude,
            longitude: location.longitude,
            speedMps: location.speed,
            headingDeg: location.heading,
            noFix: location.fix_type || location.source_type,
            details: {
              accuracyM: location.precision,
              altitudeM: location.altitude,
              odometerM: rest.hardware_mileage,
              batteryPct: rest.battery_level,
              vendorEvent: rest.event_id,
            },
          },
        ],
});
