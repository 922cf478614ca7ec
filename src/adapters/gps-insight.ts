/** GPS Insight, now WEX Telematics: one position a request, as JSON or as a form, whichever the webhook was given. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { customHeader, urlToken } from "./kit/auth.ts";
import { compass, degrees, flag, id, isoTimeAssumedUtc, isWithout, label, mph } from "./kit/fields.ts";
import { jsonOrForm } from "./kit/form.ts";

const POSITION = ["latitude", "longitude", "fix_time_gmt"] as const;

export const gpsInsight = defineAdapter({
  vendor: "gps-insight",
  docs: "https://help.gpsinsight.com/docs/about-integration/using-webhooks/",
  // The delivery is documented; the body is documented only in the customer's portal, so this is the REST API's.
  evidence: "seen in code",
  unknown: "the body, of which no example is public",
  transports: ["webhook"],
  auth: [customHeader(), urlToken()],
  format: jsonOrForm,
  speedUnit: "mph",
  ignore: (raw) =>
    isWithout(POSITION, raw) && Object.hasOwn(raw, "id") && Object.hasOwn(raw, "serial_number")
      ? "no-position"
      : null,
  ignores: "heartbeats, and what else a vehicle sends without a place or time of a position",
  payload: z.object({
    // Events of other kinds have undocumented keys: without these keys they are set aside, not guessed at.
    id: z.unknown().pipe(id),
    latitude: z.unknown().pipe(degrees),
    longitude: z.unknown().pipe(degrees),
    // `fix_time` is local to the account.
    fix_time_gmt: isoTimeAssumedUtc,
    inst_speed: mph,
    heading: compass,
    ignition: flag,
    address: label,
  }),
  decode: (fix) => [
    {
      path: "",
      deviceId: fix.id,
      fixTime: fix.fix_time_gmt,
      latitude: fix.latitude,
      longitude: fix.longitude,
      speedMps: fix.inst_speed,
      headingDeg: fix.heading,
      details: { street: fix.address, ignition: fix.ignition },
    },
  ],
});
