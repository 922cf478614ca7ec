/** The device in a topic that the customer chose, for formats that carry no id in the message. */

import { z } from "zod";
import type { DecodeContext } from "./adapter.ts";

/** Last levels that name the format or the kind of message, and no device. */
const KINDS = new Set(
  "data events fix gga gnss gps gpsd json location nmea nmea0183 position raw rmc state tpv".split(" "),
);

/** The source's `options`: which level it is, counted from 1. */
export const topicDevice = z.strictObject({ topicLevel: z.int().min(1) }).optional();

export function deviceInTopic(
  topic: DecodeContext["topic"],
  options: z.output<typeof topicDevice>,
): string | null {
  if (options) return topic[options.topicLevel - 1] ?? null;
  return topic.findLast((level) => level !== "" && !KINDS.has(level.toLowerCase())) ?? null;
}
