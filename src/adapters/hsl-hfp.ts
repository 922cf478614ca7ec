/** Helsinki's public transport feed (HFP version 2): every bus, tram and train once a second, by MQTT. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { degrees, epochSeconds, isoTime, mps, part } from "./kit/fields.ts";

const event = part({
  tst: z.unknown().optional(),
  tsi: epochSeconds,
  lat: degrees,
  long: degrees,
  spd: mps,
  hdg: degrees,
});

export const hslHfp = defineAdapter({
  vendor: "hsl-hfp",
  docs: "https://digitransit.fi/en/developers/apis/5-realtime-api/vehicle-positions/high-frequency-positioning/",
  evidence: "documented",
  transports: ["mqtt"],
  auth: [],
  topics: ["/hfp/v2/journey/#", "/hfp/v2/deadrun/#", "/hfp/v2/signoff/#"],
  speedUnit: "mps",
  ignore: (_, { topic }) => {
    const { version, event } = levelsOf(topic);
    if (version === undefined) return "not-hfp";
    // Passenger counts; their position is that of the last door event, without speed and to the second.
    return event === "apc-partial" || event === "apc" ? event : null;
  },
  ignores: "passenger counts (`apc`), and topics that are not HFP",
  payload: z
    .record(z.string().regex(/^[A-Z]{2,12}$/), event)
    .refine((events) => Object.keys(events).length === 1, "must hold one event"),
  decode: (events, { topic }) => {
    const { operator, vehicle } = levelsOf(topic);
    return Object.entries(events).map(([name, { tst, tsi, lat, long, spd, hdg }]) => ({
      path: name,
      // From the topic: `oper` in the body is the operator of the line, which may be another company.
      deviceId: operator && vehicle ? `${operator}/${vehicle}` : null,
      // The same to the second.
      fixTime: tst === undefined ? tsi : isoTime.parse(tst),
      latitude: lat,
      longitude: long,
      speedMps: spd,
      headingDeg: hdg,
    }));
  },
});

/** `/hfp/v2/<journey type>/<temporal type>/<event>/<mode>/<operator>/<vehicle>/…`, with or without the first slash. */
function levelsOf(topic: readonly string[]) {
  const start = topic.findIndex((level, index) => level === "hfp" && topic[index + 1] === "v2");
  const [, version, , , event, , operator, vehicle] = start === -1 ? [] : topic.slice(start);
  return { version, event, operator, vehicle };
}
