/** Tesla's fleet-telemetry server with its MQTT dispatcher: one message for each signal, none with a time. */

import { z } from "zod";
import { AT_RECEIPT } from "../reading.ts";
import { type DecodeContext, defineAdapter } from "./kit/adapter.ts";
import { degrees, flag, mph, part } from "./kit/fields.ts";
import { fragment } from "./kit/fragment.ts";

/** The vehicle's location: `OriginLocation` and `DestinationLocation` belong to its navigation. */
const SIGNALS = ["Location", "VehicleSpeed", "GpsHeading", "GpsState"];
const location = part({ latitude: degrees, longitude: degrees });

export const teslaFleetTelemetry = defineAdapter({
  vendor: "tesla-fleet-telemetry",
  docs: "https://github.com/teslamotors/fleet-telemetry/tree/main/datastore/mqtt",
  evidence: "source code",
  transports: ["mqtt"],
  auth: [],
  topics: ["telemetry/+/v/+"],
  speedUnit: "mph",
  ignore: (_, { topic }) => {
    const { kind, signal } = levelsOf(topic);
    if (kind !== "v") return kind ?? "other-topic";
    return SIGNALS.includes(signal) ? null : signal;
  },
  ignores: "every other signal, alerts, errors and connectivity, by topic",
  payload: z.unknown(),
  decode: (value, { topic }) => {
    const { vin, signal } = levelsOf(topic);
    const said = { path: "", deviceId: vin ?? null, fixTime: AT_RECEIPT } as const;
    switch (signal) {
      case "Location":
        return [fragment({ ...said, ...location.parse(value) })];
      case "VehicleSpeed":
        return [fragment({ ...said, speedMps: mph.parse(value) })];
      case "GpsHeading":
        return [fragment({ ...said, headingDeg: degrees.parse(value) })];
      default:
        return [fragment({ ...said, ...stateOf(value) })];
    }
  },
});

/** An unknown state neither removes nor restores the fix. */
function stateOf(value: unknown): { noFix?: boolean } {
  const hasFix = flag.parse(value);
  return hasFix === null ? {} : { noFix: !hasFix };
}

/** `<base>/<VIN>/v/<signal>`, `<base>/<VIN>/alerts/<name>/current`, …; the base may have several levels. */
function levelsOf(topic: DecodeContext["topic"]) {
  const at = topic.findLastIndex((level) => /^(?:v|alerts|errors|connectivity)$/.test(level));
  const [vin, kind, signal = ""] = at < 1 ? [] : topic.slice(at - 1);
  return { vin, kind, signal };
}
