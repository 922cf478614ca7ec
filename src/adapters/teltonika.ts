/** Teltonika's FMB and FMC trackers with their JSON codec, to the customer's broker or as the shadow of an AWS thing. */

import { z } from "zod";
import { type DecodeContext, defineAdapter } from "./kit/adapter.ts";
import {
  degrees,
  epochMillis,
  flag,
  isRecord,
  kph,
  metres,
  noFixBelow,
  number,
  UNREADABLE,
} from "./kit/fields.ts";

/** Keys beside the named elements are AVL ids: 16 total odometer, 24 speed, 113 battery level, 239 ignition. */
const record = {
  ts: epochMillis,
  alt: metres,
  ang: degrees,
  /** Of satellites: with 0 the last valid place is repeated. */
  sat: noFixBelow(1),
  sp: kph,
  "16": metres,
  "24": kph,
  "113": number,
  "239": flag,
};
const whole = z.object({ ...record, latlng: z.unknown().optional() });
/** Some brokers' rules remove the wrapper; then only this key identifies a record. */
const bare = z.object({ ...record, latlng: z.string() });

export const teltonika = defineAdapter({
  vendor: "teltonika",
  docs: "https://wiki.teltonika-gps.com/view/Codec_JSON",
  evidence: "documented",
  transports: ["mqtt"],
  auth: [],
  topics: ["+/data"],
  speedUnit: "kph",
  ignore: (raw, { topic }) =>
    otherTopic(topic) ?? (isRecord(raw) && Object.hasOwn(raw, "RSP") ? "RSP" : null),
  ignores: "replies to commands (`RSP`), and topics of commands and of a shadow's documents and deltas",
  payload: z.union([
    z.object({ state: z.object({ reported: whole }) }).transform(({ state }) => state.reported),
    bare,
  ]),
  decode: ({ latlng, ts, alt, ang, sat, sp, ...avl }, { topic }) => {
    const [latitude, longitude] = pair(latlng);
    return [
      {
        path: "",
        deviceId: imeiOf(topic),
        fixTime: ts,
        latitude: degrees.parse(latitude),
        longitude: degrees.parse(longitude),
        speedMps: sp ?? avl["24"],
        headingDeg: ang,
        noFix: sat,
        details: { altitudeM: alt, odometerM: avl["16"], batteryPct: avl["113"], ignition: avl["239"] },
      },
    ];
  },
});

/** Text of exactly two; anything else in its place cannot be read. */
function pair(latlng: unknown): readonly unknown[] {
  if (latlng === undefined || latlng === null || latlng === "") return [null, null];
  const parts = typeof latlng === "string" ? latlng.split(",") : [];
  return parts.length === 2 ? parts : [UNREADABLE, UNREADABLE];
}

/** The 15 digits stand in the topic only, at any level. */
function imeiOf(topic: DecodeContext["topic"]): string | null {
  return topic.find((level) => /^[0-9]{15}$/.test(level)) ?? null;
}

function otherTopic(topic: DecodeContext["topic"]): string | null {
  const last = topic.at(-1);
  if (topic[0] === "$aws") return last === "update" || last === "accepted" ? null : (last ?? null);
  return last === "commands" ? last : null;
}
