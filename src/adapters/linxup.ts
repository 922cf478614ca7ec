/** Linxup's push API: one position a message, to an address of its own; trips, stops and alerts go to others. */

import { z } from "zod";
import type { RawReading } from "../reading.ts";
import { defineAdapter } from "./kit/adapter.ts";
import { bearer } from "./kit/auth.ts";
import { each } from "./kit/each.ts";
import {
  compass,
  degrees,
  epochMillis,
  flag,
  id,
  isRecord,
  isWithout,
  items,
  mph,
  part,
  text,
} from "./kit/fields.ts";

const position = {
  date: epochMillis,
  /** Its name in older accounts. */
  positionDate: epochMillis,
  latitude: degrees,
  longitude: degrees,
  speed: mph,
  heading: compass,
  direction: degrees,
  engineOn: flag,
  address: part({ street: text, city: text, stateCode: text }),
};
const tracker = { trackerId: id };

const one = z.object({ ...position, tracker: z.object(tracker) });
const oneOfMany = part({ ...position, tracker: part(tracker) });

export const linxup = defineAdapter({
  vendor: "linxup",
  docs: "https://www.linxup.com",
  evidence: "seen in code",
  transports: ["webhook"],
  auth: [bearer()],
  speedUnit: "mph",
  ignore: (raw) => (isRecord(raw) ? otherKind(raw) : null),
  ignores: "trips, stops, fences, alerts, and usage: all that has no place or time of a position",
  payload: z.union([
    one,
    items.transform((messages) => ({ messages, path: "" })),
    z.object({ messages: items }).transform(({ messages }) => ({ messages, path: "messages" })),
  ]),
  decode: (sent) =>
    "messages" in sent
      ? each(sent.messages, (each, at) => rawReading(`${sent.path}[${at}]`, oneOfMany.parse(each)))
      : [rawReading("", sent)],
});

function rawReading(path: string, sent: z.output<typeof oneOfMany>): RawReading {
  const { tracker, date, positionDate, direction, heading, address, ...point } = sent;
  return {
    path,
    deviceId: tracker.trackerId,
    fixTime: date ?? positionDate,
    latitude: point.latitude,
    longitude: point.longitude,
    speedMps: point.speed,
    headingDeg: direction ?? heading,
    details: {
      street: address.street,
      city: address.city,
      region: address.stateCode,
      ignition: point.engineOn,
    },
  };
}

const POSITION = ["latitude", "longitude", "date", "positionDate"] as const;

/** Messages have no type, but each kind has keys of its own; keys without a value may be in any kind. */
function otherKind(raw: Record<string, unknown>): string | null {
  if (said(raw.startDateTime)) return "trip";
  if (said(raw.stopType)) return "stop";
  if (said(raw.alertId)) return "alert";
  if (typeof raw.eventType === "string" && raw.eventType.startsWith("FENCE_")) return "geofence";
  // Of usage messages it is only known that they come.
  return isWithout(POSITION, raw) && isRecord(raw.tracker) ? "no-position" : null;
}

function said(value: unknown): boolean {
  return id.parse(value) !== null;
}
