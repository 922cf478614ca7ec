/** Traccar's position forwarding (`forward.type=json`), a bridge for some two hundred kinds of hardware. */

import { z } from "zod";
import { defineAdapter, eventName } from "./kit/adapter.ts";
import { addressList, basic, bearer, customHeader, urlToken } from "./kit/auth.ts";
import {
  degrees,
  flag,
  id,
  isRecord,
  knots,
  label,
  metres,
  noFixUnless,
  number,
  part,
} from "./kit/fields.ts";
import { anyTime } from "./kit/time-formats.ts";

export const traccar = defineAdapter({
  vendor: "traccar",
  docs: "https://www.traccar.org/forward/",
  evidence: "source code",
  transports: ["webhook", "mqtt"],
  auth: [bearer(), basic(), customHeader(), urlToken(), addressList()],
  // The forwarder's own read limit.
  deadlineMs: 5000,
  topics: ["positions"],
  speedUnit: "knots",
  // The position in an event repeats one that is forwarded separately.
  ignore: (raw) => (isRecord(raw) && isRecord(raw.event) ? (eventName(raw.event.type) ?? "event") : null),
  ignores: "forwarded events (`event.forward`), with or without a position",
  payload: z.object({
    position: z.object({
      // ISO 8601; some builds write numbers (traccar/traccar#5640).
      fixTime: anyTime,
      // Without a fix the last place is repeated under one of these.
      valid: noFixUnless(true),
      outdated: noFixUnless(false),
      latitude: degrees,
      longitude: degrees,
      speed: knots,
      course: degrees,
      altitude: metres,
      accuracy: metres,
      address: label,
      attributes: part({
        ignition: flag,
        odometer: metres,
        batteryLevel: number,
        driverUniqueId: label,
        alarm: label,
      }),
    }),
    device: z.object({ uniqueId: id }),
  }),
  decode: ({ position, device }) => [
    {
      path: "position",
      deviceId: device.uniqueId,
      fixTime: position.fixTime,
      latitude: position.latitude,
      longitude: position.longitude,
      speedMps: position.speed,
      headingDeg: position.course,
      noFix: position.valid || position.outdated,
      details: {
        street: position.address,
        ignition: position.attributes.ignition,
        odometerM: position.attributes.odometer,
        // Both are always present, and 0 where the tracker does not report them.
        accuracyM: position.accuracy === 0 ? null : position.accuracy,
        altitudeM: position.altitude === 0 ? null : position.altitude,
        batteryPct: position.attributes.batteryLevel,
        driver: position.attributes.driverUniqueId,
        vendorEvent: position.attributes.alarm,
      },
    },
  ],
});
