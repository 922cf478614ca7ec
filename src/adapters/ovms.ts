/** Open Vehicle Monitoring System, version 3: one metric for each topic, as plain text without a unit. */

import { z } from "zod";
import { AT_RECEIPT } from "../reading.ts";
import { type DecodeContext, defineAdapter } from "./kit/adapter.ts";
import { degrees, number, toMps } from "./kit/fields.ts";
import { fragment } from "./kit/fragment.ts";

const METRICS = ["latitude", "longitude", "gpsspeed", "direction", "gpslock"].map((name) => `v/p/${name}`);

export const ovms = defineAdapter({
  vendor: "ovms",
  docs: "https://docs.openvehicles.com/en/latest/userguide/metrics.html",
  evidence: "documented",
  transports: ["mqtt"],
  auth: [],
  topics: ["ovms/+/+/metric/v/p/#"],
  format: "text",
  // Kilometres per hour, unless the owner has set the module to miles.
  speedUnit: "optional",
  ignore: (_, { topic }) => {
    const { metric } = levelsOf(topic);
    return METRICS.includes(metric) ? null : metric || "other-topic";
  },
  ignores: "every other metric, events, notifications and commands, by topic",
  payload: z.string(),
  decode: (text, { topic, speedUnit = "kph" }) => {
    const { vehicle, metric } = levelsOf(topic);
    const said = { path: "", deviceId: vehicle, fixTime: AT_RECEIPT } as const;
    switch (metric) {
      case "v/p/latitude":
        return [fragment({ ...said, latitude: degrees.parse(text) })];
      case "v/p/longitude":
        return [fragment({ ...said, longitude: degrees.parse(text) })];
      case "v/p/gpsspeed":
        return [fragment({ ...said, speedMps: toMps(number.parse(text), speedUnit) })];
      case "v/p/direction":
        return [fragment({ ...said, headingDeg: degrees.parse(text) })];
      default:
        return [fragment({ ...said, noFix: text.trim() !== "yes" })];
    }
  },
});

/** `ovms/<user>/<vehicle>/metric/v/p/latitude`; the customer may have configured another prefix. */
function levelsOf(topic: DecodeContext["topic"]) {
  const at = topic.indexOf("metric");
  const [user, vehicle] = topic.slice(Math.max(0, at - 2), Math.max(0, at));
  return {
    vehicle: user && vehicle ? `${user}/${vehicle}` : null,
    metric: at === -1 ? "" : topic.slice(at + 1).join("/"),
  };
}
