/** Samsara: signed events, few of which say where the vehicle is; its positions have to be polled. */

import { z } from "zod";
import { defineAdapter, eventName, otherThan } from "./kit/adapter.ts";
import { hmacWithTime } from "./kit/auth.ts";
import { degrees, id, isoTime, isRecord, list, part } from "./kit/fields.ts";

/** The alerts that carry the vehicle's own place. Fences carry theirs, and forms the place of their author. */
const PLACED: ReadonlySet<string> = new Set([
  "suddenFuelLevelDrop",
  "suddenFuelLevelRise",
  "workerSafetySos",
]);

export const samsara = defineAdapter({
  vendor: "samsara",
  docs: "https://developers.samsara.com/docs/alert-webhook-payload",
  evidence: "documented",
  unknown: "how often it tries again",
  transports: ["webhook"],
  auth: [
    hmacWithTime({
      version: "v1",
      signatureHeader: "X-Samsara-Signature",
      timestampHeader: "X-Samsara-Timestamp",
    }),
  ],
  speedUnit: "none",
  ignore: otherThan("eventType", ["AlertIncident"], alertWithoutPlace),
  ignores: "all events but alerts of a sudden fuel change or a worker's SOS: fences, routes, speeding, pings",
  payload: z.object({
    eventType: z.literal("AlertIncident"),
    data: z.object({
      happenedAtTime: isoTime,
      conditions: list(
        z.object({
          details: z
            .record(
              z.string(),
              part({ vehicle: part({ id }), location: part({ latitude: degrees, longitude: degrees }) }),
            )
            .refine((kinds) => Object.keys(kinds).length > 0, "says nothing"),
        }),
      ),
    }),
  }),
  decode: ({ data }) =>
    data.conditions.flatMap(({ details }, index) =>
      Object.entries(details)
        .filter(([kind]) => PLACED.has(kind))
        .map(([kind, { vehicle, location }]) => ({
          path: `data.conditions[${index}].details.${kind}`,
          deviceId: vehicle.id,
          fixTime: data.happenedAtTime,
          latitude: location.latitude,
          longitude: location.longitude,
          speedMps: null,
          headingDeg: null,
          details: { vendorEvent: kind },
        })),
    ),
});

/** Names the alert if all its conditions are known to carry no place. */
function alertWithoutPlace(raw: unknown): string | null {
  const data = isRecord(raw) ? raw.data : null;
  if (!isRecord(data) || !Array.isArray(data.conditions)) return null;
  const kinds = data.conditions.flatMap((condition: unknown) =>
    isRecord(condition) && isRecord(condition.details) ? Object.keys(condition.details) : [null],
  );
  return kinds.every((kind) => eventName(kind) !== null && !PLACED.has(kind ?? ""))
    ? (kinds[0] ?? null)
    : null;
}
