/** Smartcar: cars' own connections through their makers; signed states, and a challenge when a webhook is set up. */

import { createHmac } from "node:crypto";
import { z } from "zod";
import type { RawReading } from "../reading.ts";
import { type AuthMethod, defineAdapter, otherThan } from "./kit/adapter.ts";
import { hmac } from "./kit/auth.ts";
import { each } from "./kit/each.ts";
import {
  compass,
  degrees,
  epochMillis,
  id,
  isoTime,
  isRecord,
  items,
  listOf,
  number,
  part,
  text,
  toMps,
} from "./kit/fields.ts";
import { unitOfWord } from "./kit/synonyms.ts";

const LOCATION = "location-preciselocation";
const ODOMETER = "odometer-traveleddistance";
const SPEED = "motion-currentspeed";
/** Of one position: signals of one message are often of different days. */
const ONE_MOMENT_MS = 5000;

const place = { latitude: degrees, longitude: degrees, heading: degrees, direction: compass };
const signal = part({
  body: part({ ...place, value: number, unit: text }),
  status: part({ value: text }),
  // The time at which the maker got it from the car; Smartcar's own times are those of its requests.
  meta: part({ oemUpdatedAt: epochMillis }),
});
const speedSignal = part({
  body: part({ value: number, unit: z.unknown().optional() }),
  status: z.unknown().optional(),
  meta: part({ oemUpdatedAt: epochMillis }),
});

/** Version 4. Each message carries all subscribed signals, whichever of them changed: only three are read. */
const state = z
  .object({
    eventType: z.literal("VEHICLE_STATE"),
    vehicleId: id,
    data: z.object({ vehicle: part({ id }), signals: items }),
  })
  .transform(({ vehicleId, data: { vehicle, signals } }): RawReading[] => {
    const find = (code: string) => signals.find((each) => isRecord(each) && each.code === code);
    const named = (code: string) => signal.parse(find(code));
    const { body, status, meta } = named(LOCATION);
    const odometer = named(ODOMETER).body;
    return [
      {
        path: "data.signals",
        deviceId: vehicle.id ?? vehicleId,
        fixTime: meta.oemUpdatedAt,
        latitude: body.latitude,
        longitude: body.longitude,
        speedMps: speedAt(meta.oemUpdatedAt, find(SPEED)),
        headingDeg: body.heading ?? body.direction,
        noFix: status.value?.toUpperCase() === "ERROR",
        details: {
          odometerM: odometer.unit === "km" && odometer.value !== null ? odometer.value * 1000 : null,
        },
      },
    ];
  });

/** Of the same moment as the place, else unknown. The unit may be left out (its motion.md); Smartcar is metric then. */
function speedAt(placeAt: number | null, sent: unknown): number | null {
  const { body, status, meta } = speedSignal.parse(sent);
  const isOfPlace = Math.abs((meta.oemUpdatedAt ?? Number.NaN) - (placeAt ?? Number.NaN)) <= ONE_MOMENT_MS;
  const isGood = status === undefined || (isRecord(status) && status.value === "SUCCESS");
  if (!isOfPlace || !isGood) return null;
  return toMps(body.value, body.unit === undefined ? "kph" : unitOfWord(body.unit));
}

/** Version 2: answers of the API, one for each path asked. */
const answers = z.object({
  eventName: z.enum(["schedule", "scheduled", "dynamic"]),
  payload: z.object({ vehicles: items }),
});
const answer = part({ path: text, body: part(place), headers: part({ "sc-data-age": isoTime }) });
const answersOfOne = part({ vehicleId: id, data: listOf(answer) });

function located(vehicle: unknown, index: number): RawReading {
  const { vehicleId, data } = answersOfOne.parse(vehicle);
  const location = data.find(({ path }) => path === "/location");
  return {
    path: `payload.vehicles[${index}]`,
    deviceId: vehicleId,
    fixTime: location?.headers["sc-data-age"] ?? null,
    latitude: location?.body.latitude ?? null,
    longitude: location?.body.longitude ?? null,
    speedMps: null,
    headingDeg: location?.body.heading ?? location?.body.direction ?? null,
  };
}

/**
 * The challenges we sign; never accepted as messages: an answered challenge gives its sender a signature, so no body
 * that such a signature covers may count as authenticated. Without braces it is no state of a vehicle anyway.
 */
const CHALLENGE = /^[\w.+/=-]{1,200}$/;
/** A challenge with all its surroundings has some 500 bytes. */
const MAX_VERIFY_BYTES = 4096;

const signature = hmac({ algorithm: "sha256", header: "SC-Signature", encoding: "hex" });

/** Signed; or unsigned and nothing but a challenge, which has no effect but its answer. */
const signedOrChallenge: AuthMethod = {
  ...signature,
  verify: (message, credentials) => {
    const refused = signature.verify(message, credentials);
    const mayBeAnswered = CHALLENGE.test(Buffer.from(message.body.subarray(0, 201)).toString("latin1"));
    if (refused === null && mayBeAnswered) return "wrong_credentials";
    return refused === "missing_credentials" && challengeIn(message.body) !== null ? null : refused;
  },
};

export const smartcar = defineAdapter({
  vendor: "smartcar",
  docs: "https://smartcar.com/docs/api-reference/webhooks/events/overview",
  evidence: "documented",
  transports: ["webhook"],
  auth: [signedOrChallenge],
  // Its delivery behavior.
  deadlineMs: 15_000,
  speedUnit: "kph",
  handshake: (raw, message, { secrets }) => {
    const challenge = challengeOf(raw);
    if (challenge === null) return null;
    // While the token is being changed: the one that signed the challenge, if it is signed.
    const signer = secrets.find((secret) => signature.verify(message, { secrets: [secret] }) === null);
    const secret = signer ?? secrets.find((each) => each !== "");
    const signed = secret === undefined ? "" : createHmac("sha256", secret).update(challenge).digest("hex");
    return {
      reply: { status: 200, contentType: "application/json", body: JSON.stringify({ challenge: signed }) },
    };
  },
  ignore: otherThan("eventType", ["VEHICLE_STATE", "VERIFY"]),
  ignores: "errors, and every other `eventType` than `VEHICLE_STATE`",
  payload: z.union([state, answers]),
  decode: (sent) => (Array.isArray(sent) ? sent : each(sent.payload.vehicles, located)),
});

function challengeIn(body: Uint8Array): string | null {
  if (body.length > MAX_VERIFY_BYTES) return null;
  try {
    // As strict as decoding: otherwise an unsigned body accepted here could be decoded as something else.
    return challengeOf(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)));
  } catch {
    return null;
  }
}

/** `eventType` in version 4, `eventName` in version 2. */
function challengeOf(raw: unknown): string | null {
  if (!isRecord(raw)) return null;
  const inside = raw.eventType === "VERIFY" ? raw.data : raw.eventName === "verify" ? raw.payload : null;
  const challenge = isRecord(inside) ? inside.challenge : null;
  return typeof challenge === "string" && CHALLENGE.test(challenge) ? challenge : null;
}
