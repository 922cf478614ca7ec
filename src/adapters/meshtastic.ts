/** Meshtastic radios, as their gateways report positions in JSON (firmware before 2.8). */

import { z } from "zod";
import { defineAdapter, otherThan } from "./adapter.ts";
import { epochSeconds, kph, metres, multipliedBy, number, part } from "./fields.ts";

const others = otherThan("type", ["position"]);

const position = part({
  time: z.unknown().optional(),
  latitude_i: multipliedBy(1e7),
  longitude_i: multipliedBy(1e7),
  altitude: metres,
  ground_speed: kph,
  ground_track: multipliedBy(1e5),
  precision_bits: z.unknown().optional(),
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
  ignore: Object.assign(
    (raw: unknown, context: Parameters<typeof others>[1]) =>
      raw instanceof Uint8Array ? "protobuf" : others(raw, context),
    { discriminator: "type" },
  ),
  ignores: "every other `type` than `position`, and topics in protobuf",
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
      // Radios without a clock of their own leave it out; then it is when the gateway heard them.
      fixTime: payload.time === undefined ? timestamp : epochSeconds.parse(payload.time),
      latitude: payload.latitude_i,
      longitude: payload.longitude_i,
      speedMps: payload.ground_speed,
      headingDeg: payload.ground_track,
      // Fewer bits are the middle of a square hundreds of metres wide, blurred on purpose.
      noFix: payload.precision_bits !== undefined && number.parse(payload.precision_bits) !== FULL_PRECISION,
      details: { altitudeM: payload.altitude },
    },
  ],
});

const FULL_PRECISION = 32;

/** As the app shows it. Firmware before 2.2 sends the number signed. */
function nodeId(from: number | null): string | null {
  if (from === null || !Number.isInteger(from) || from < -(2 ** 31) || from >= 2 ** 32) return null;
  return `!${(from >>> 0).toString(16).padStart(8, "0")}`;
}
