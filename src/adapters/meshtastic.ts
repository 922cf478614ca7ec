/** Meshtastic radios, as their gateways report positions in JSON (firmware before 2.8). */

import { z } from "zod";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { epochSeconds, kph, metres, multipliedBy, noFixBelow, number, part } from "./kit/fields.ts";

const position = part({
  time: z.unknown().optional(),
  latitude_i: multipliedBy(1e7),
  longitude_i: multipliedBy(1e7),
  altitude: metres,
  ground_speed: kph,
  ground_track: multipliedBy(1e5),
  /** Fewer than all: the middle of a square hundreds of metres wide, blurred on purpose. */
  precision_bits: noFixBelow(32),
});

export const meshtastic = defineAdapter({
  vendor: "meshtastic",
  docs: "https://meshtastic.org/docs/software/integrations/mqtt/",
  evidence: "source code",
  transports: ["mqtt"],
  auth: [],
  topics: ["msh/+/2/json/#"],
  format: ({ topic }) => (topic?.includes("/2/json/") === false ? "bytes" : "json"),
  speedUnit: "kph",
  ignore: otherThan("type", ["position"], (raw) => (raw instanceof Uint8Array ? "protobuf" : null)),
  ignores:
    "every other `type` than `position`, and topics in protobuf; places blurred on purpose are rejected",
  payload: z.object({
    type: z.literal("position"),
    from: number,
    timestamp: epochSeconds,
    payload: position,
  }),
  decode: ({ from, timestamp, payload }) => [
    {
      path: "payload",
      deviceId: nodeId(from),
      // Radios without a clock leave it out or write 0; then it is the time at which the gateway received them.
      fixTime: isClockless(payload.time) ? timestamp : epochSeconds.parse(payload.time),
      latitude: payload.latitude_i,
      longitude: payload.longitude_i,
      speedMps: payload.ground_speed,
      headingDeg: payload.ground_track,
      noFix: payload.precision_bits,
      details: { altitudeM: payload.altitude },
    },
  ],
});

function isClockless(time: unknown): boolean {
  return time === undefined || time === 0;
}

/** As the app shows it. Firmware before 2.2 sends the number signed. */
function nodeId(from: number | null): string | null {
  if (from === null || !Number.isInteger(from) || from < -(2 ** 31) || from >= 2 ** 32) return null;
  return `!${(from >>> 0).toString(16).padStart(8, "0")}`;
}
