/** BMW CarData's stream: data points, each with its own time, in messages that carry any subset of them. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { degrees, id, isoTime, isRecord, part } from "./kit/fields.ts";
import { fragment } from "./kit/fragment.ts";

const LOCATION = "vehicle.cabin.infotainment.navigation.currentLocation";
/** Heading first, because it may have its own time: a position uses what came before it. */
const PARTS = [
  [`${LOCATION}.heading`, "headingDeg"],
  [`${LOCATION}.latitude`, "latitude"],
  [`${LOCATION}.longitude`, "longitude"],
] as const;
const point = part({ timestamp: isoTime, value: degrees });

export const bmwCardata = defineAdapter({
  vendor: "bmw-cardata",
  docs: "https://bmw-cardata.bmwgroup.com/customer/public/api-documentation",
  evidence: "seen in code",
  transports: ["mqtt"],
  auth: [],
  topics: ["+/+"],
  // No speed comes with the location.
  speedUnit: "none",
  ignore: (raw) => {
    const keys = isRecord(raw) && isRecord(raw.data) ? Object.keys(raw.data) : [];
    return keys.length === 0 || keys.some((key) => key.startsWith(LOCATION)) ? null : "no-location";
  },
  ignores: "messages without a data point of `currentLocation`",
  payload: z.object({
    vin: id,
    data: z
      .record(z.string(), z.unknown())
      .refine((data) => Object.keys(data).length > 0, "holds no data point"),
  }),
  decode: ({ vin, data }, { topic }) => {
    const deviceId = topic.at(-1) ?? vin;
    const byTime = new Map<number | null, Parameters<typeof fragment>[0]>();
    for (const [key, field] of PARTS) {
      if (!Object.hasOwn(data, key)) continue;
      const { timestamp: fixTime, value } = point.parse(data[key]);
      byTime.set(fixTime, {
        ...(byTime.get(fixTime) ?? { path: "data", deviceId, fixTime }),
        [field]: value,
      });
    }
    return [...byTime.values()].map(fragment);
  },
});
