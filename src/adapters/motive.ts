/** Motive (formerly KeepTruckin): one event for each position, signed, or through Amazon's SNS; its unit of speed is not documented. */

import { z } from "zod";
import { defineAdapter, eventName, otherThan } from "./kit/adapter.ts";
import { hmac } from "./kit/auth.ts";
import { degrees, id, isoTime, isRecord, label, number, toMps } from "./kit/fields.ts";
import { basicOfSns, endOfSubscription, fromEnvelope, subscription } from "./kit/sns.ts";

const ACTIONS = ["vehicle_location_updated", "vehicle_location_received"] as const;

export const motive = defineAdapter({
  vendor: "motive",
  docs: "https://developer.gomotive.com/reference/company-webhooks-overview",
  evidence: "documented",
  transports: ["webhook"],
  unknown: "unit of speed; body of version 2; events through SNS, as an example",
  // The signature does not travel through SNS.
  auth: [hmac({ algorithm: "sha1", header: "X-KT-Webhook-Signature", encoding: "hex" }), basicOfSns()],
  // From the vendor's overview of webhooks; an older one said 10 s.
  deadlineMs: 3000,
  // The vendor retries for hours after any other refusal.
  refusal: 403,
  speedUnit: "required",
  unseal: fromEnvelope,
  handshake: (raw) =>
    isTest(raw) ? { reply: { status: 200, contentType: "application/json", body: "{}" } } : subscription(raw),
  ignore: otherThan("action", ACTIONS, endOfSubscription),
  ignores: "engine, fence, fault, safety, hours-of-service and record changes, and the end of a subscription",
  payload: z.object({
    action: z.enum(ACTIONS),
    vehicle_id: id,
    located_at: isoTime,
    lat: degrees,
    lon: degrees,
    speed: number,
    bearing: degrees,
    type: label,
    description: label,
  }),
  decode: ({ vehicle_id, located_at, lat, lon, speed, bearing, type, description }, { speedUnit }) => [
    {
      path: "",
      deviceId: vehicle_id,
      fixTime: located_at,
      latitude: lat,
      longitude: lon,
      speedMps: toMps(speed, speedUnit),
      headingDeg: bearing,
      // The unit of its odometer is not documented.
      details: { street: description, vendorEvent: type },
    },
  ],
});

/** Sent when the webhook is switched on or changed: the names of its actions, in older accounts the word `test`. */
function isTest(raw: unknown): boolean {
  if (isRecord(raw)) return raw.action === "test" && raw.vehicle_id === undefined;
  return Array.isArray(raw) && raw.length > 0 && raw.every((name) => eventName(name) !== null);
}
