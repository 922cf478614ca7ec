/** TeslaMate's MQTT topics: one value for each, all retained by the broker. */

import { z } from "zod";
import { AT_RECEIPT } from "../reading.ts";
import { type DecodeContext, defineAdapter, type Message } from "./kit/adapter.ts";
import { degrees, kph, part } from "./kit/fields.ts";
import { fragment } from "./kit/fragment.ts";

/** `latitude` and `longitude` repeat halves of `location` and are deprecated. */
const VALUES = ["location", "speed", "heading"];
const location = part({ latitude: degrees, longitude: degrees });

export const teslamate = defineAdapter({
  vendor: "teslamate",
  docs: "https://docs.teslamate.org/docs/integrations/mqtt/",
  evidence: "documented",
  transports: ["mqtt"],
  auth: [],
  topics: ["teslamate/cars/+/location", "teslamate/cars/+/speed", "teslamate/cars/+/heading"],
  format: (message) => (isLocation(message) ? "json" : "text"),
  speedUnit: "kph",
  ignore: (_, { topic }) => {
    const { value } = levelsOf(topic);
    return VALUES.includes(value) ? null : value || "other-topic";
  },
  ignores: "every other value, among them the deprecated `latitude` and `longitude`, by topic",
  payload: z.unknown(),
  decode: (raw, { topic }) => {
    const { car, value } = levelsOf(topic);
    const said = { path: "", deviceId: car, fixTime: AT_RECEIPT } as const;
    switch (value) {
      case "location":
        return [fragment({ ...said, ...location.parse(raw) })];
      case "speed":
        return [fragment({ ...said, speedMps: kph.parse(raw) })];
      default:
        return [fragment({ ...said, headingDeg: degrees.parse(raw) })];
    }
  },
});

/** An empty message says that the car has no place now. */
function isLocation({ topic, body }: Message): boolean {
  return topic?.endsWith("/location") === true && body.length > 0;
}

/** `teslamate/[namespace/]cars/<number>/<value>`; the number is unique within one installation only. */
function levelsOf(topic: DecodeContext["topic"]) {
  const at = topic.lastIndexOf("cars");
  const [number, value = "", ...more] = at === -1 ? [] : topic.slice(at + 1);
  const isValue = number !== undefined && number !== "" && more.length === 0;
  return { car: isValue ? [...topic.slice(0, at), number].join("/") : null, value: isValue ? value : "" };
}
