/** DIMO vehicle triggers: one signal in each message; only the one that is a place can be a position. */

import { z } from "zod";
import { defineAdapter, eventName } from "./kit/adapter.ts";
import { urlToken } from "./kit/auth.ts";
import { degrees, id, isoTime, isRecord, part } from "./kit/fields.ts";

export const dimo = defineAdapter({
  vendor: "dimo",
  docs: "https://www.dimo.org/docs/api-references/vehicle-triggers-api",
  evidence: "source code",
  transports: ["webhook"],
  auth: [urlToken()],
  // For its verification; a trigger has 30 s.
  deadlineMs: 10_000,
  speedUnit: "none",
  handshake: (raw, { query }) => {
    if (!isRecord(raw) || typeof raw.verification !== "string" || raw.data !== undefined) return null;
    // The URL's token is also DIMO's verification token: the answer gives the caller only what the caller has just sent.
    return { reply: { status: 200, contentType: "text/plain", body: query.token ?? "" } };
  },
  ignore: (raw) => {
    const data = isRecord(raw) && isRecord(raw.data) ? raw.data : {};
    const signal = isRecord(data.signal) ? data.signal : {};
    // By name and by value: a location with a damaged name or value must not count as another signal.
    const isScalar = ["number", "string", "boolean"].includes(typeof signal.value);
    return isScalar && !/coordinates|location/i.test(String(signal.name)) ? eventName(signal.name) : null;
  },
  ignores: "every other signal than the vehicle's coordinates; speed comes in messages of its own",
  payload: z.object({
    subject: id,
    data: z.object({
      signal: part({ timestamp: isoTime, value: part({ latitude: degrees, longitude: degrees }) }),
    }),
  }),
  decode: ({ subject, data: { signal } }) => [
    {
      path: "data.signal",
      deviceId: subject,
      fixTime: signal.timestamp,
      latitude: signal.value.latitude,
      longitude: signal.value.longitude,
      speedMps: null,
      headingDeg: null,
    },
  ],
});
