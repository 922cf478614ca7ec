/** OwnTracks: phones, and trackers with its format, as JSON by MQTT or HTTP or as the short CSV of small firmware. */

import nacl from "tweetnacl";
import { z } from "zod";
import { type DecodeContext, defineAdapter, type Message, otherThan } from "./kit/adapter.ts";
import { addressList, basic, urlToken } from "./kit/auth.ts";
import { parseJson } from "./kit/bounds.ts";
import {
  degrees,
  epochSeconds,
  hexEpochSeconds,
  id,
  isRecord,
  kph,
  metres,
  multipliedBy,
  number,
  text,
} from "./kit/fields.ts";

const location = z.object({
  _type: z.literal("location", {
    error: "only location messages can be read",
  }),
  topic: id,
  tid: id,
  tst: epochSeconds,
  lat: degrees,
  lon: degrees,
  vel: kph,
  cog: degrees,
  acc: metres,
  alt: metres,
  batt: number,
  t: text,
});

/** `tid,tst,t,lat,lon,cog,vel,alt,dist,trip`: exactly ten, since a lost comma would make a latitude a longitude. */
const line = z
  .string()
  .transform((csv) => csv.trim().split(","))
  .pipe(z.array(z.string()).length(10))
  .transform(([, tst, t, lat, lon, cog, vel, alt]): unknown => ({ tst, t, lat, lon, cog, vel, alt }))
  .pipe(
    z.object({
      topic: id,
      tid: id,
      tst: hexEpochSeconds,
      lat: multipliedBy(1e6),
      lon: multipliedBy(1e6),
      cog: multipliedBy(0.1),
      vel: kph,
      acc: metres,
      alt: multipliedBy(0.1),
      batt: number,
      t: text,
    }),
  );

/** The passphrase as typed into the app, padded with zeros; the app accepts no longer one. */
const key = z
  .string()
  .min(1)
  .transform((passphrase) => new Uint8Array(Buffer.from(passphrase)))
  .refine(({ length }) => length <= nacl.secretbox.keyLength, "must be at most 32 bytes")
  .transform((bytes) => Uint8Array.from({ length: nacl.secretbox.keyLength }, (_, at) => bytes[at] ?? 0));

/** One passphrase for all devices, or one for each. */
const options = z
  .strictObject({
    key: key.optional(),
    keys: z.array(z.strictObject({ device: z.string().min(1), key })).default([]),
  })
  .optional();

export const owntracks = defineAdapter({
  vendor: "owntracks",
  docs: "https://owntracks.org/booklet/tech/json/",
  evidence: "documented",
  transports: ["mqtt", "webhook"],
  auth: [basic(), urlToken(), addressList()],
  topics: ["owntracks/+/+"],
  format: (message) => (beginsWithBrace(message) ? "json" : "text"),
  speedUnit: "kph",
  options,
  idOutsideBody: () => "header",
  unseal: (raw, context) => {
    if (!isRecord(raw) || raw._type !== "encrypted") return { value: raw };
    const device = deviceOf(null, context);
    const own = context.options?.keys.find((each) => each.device === device) ?? context.options;
    if (!own?.key)
      return { problems: ["message: is encrypted, and no key in the options is for its device"] };
    return (
      open(raw.data, own.key, context.maxReadings) ?? {
        problems: ["data: cannot be opened with the key of its device"],
      }
    );
  },
  // An empty body: a cleared retained message, or a phone that only fetches what waits for it.
  ignore: otherThan("_type", ["location", "encrypted"], (raw) => (raw === "" ? "empty" : null)),
  ignores: "transitions, waypoints, last wills, cards, status and every other `_type` than `location`",
  payload: z.union([location, line]),
  decode: (fix, context) => [
    {
      path: "",
      // Apps that only speak OwnTracks' format send neither topic nor headers (traccar's decoder reads it so, too).
      deviceId: deviceOf(fix.topic, context) ?? (isUnnamed(fix.topic, context) ? fix.tid : null),
      fixTime: fix.tst,
      latitude: fix.lat,
      longitude: fix.lon,
      speedMps: fix.vel,
      headingDeg: fix.cog,
      // `t` is the reason for sending, one letter: `p` for a ping, `u` for by hand, …
      details: { accuracyM: fix.acc, altitudeM: fix.alt, batteryPct: fix.batt, vendorEvent: fix.t },
    },
  ],
  reply: { status: 200, contentType: "application/json", body: "[]" },
});

/** Secretbox (XSalsa20 and Poly1305): 24 bytes of nonce, then the sealed JSON, all in base64. */
function open(data: unknown, key: Uint8Array, maxReadings: number): { value: unknown } | null {
  if (typeof data !== "string") return null;
  const bytes = new Uint8Array(Buffer.from(data, "base64"));
  const { nonceLength } = nacl.secretbox;
  if (bytes.length < nonceLength) return null;
  const inside = nacl.secretbox.open(bytes.subarray(nonceLength), bytes.subarray(0, nonceLength), key);
  if (inside === null) return null;
  const parsed = parseJson(Buffer.from(inside).toString("utf8"), maxReadings);
  return "value" in parsed ? parsed : null;
}

function beginsWithBrace({ body, method }: Message): boolean {
  return method === "GET" || /^\s*\{/.test(Buffer.from(body.subarray(0, 64)).toString("latin1"));
}

/** `user/device`, preferably from a place where the sender cannot choose it. */
function deviceOf(topicInBody: string | null, { topic, headers, query }: DecodeContext): string | null {
  if (topic.length > 0) return fromTopic(topic);
  const [user, device] = [headers["x-limit-u"] ?? query.u, headers["x-limit-d"] ?? query.d];
  if (user && device) return `${user}/${device}`;
  return topicInBody === null ? null : fromTopic(topicInBody.split("/"));
}

/** By HTTP, without any of the places in which OwnTracks says who sends. */
function isUnnamed(topicInBody: string | null, { topic, headers, query }: DecodeContext): boolean {
  const said = [topicInBody, headers["x-limit-u"], headers["x-limit-d"], query.u, query.d];
  return topic.length === 0 && said.every((each) => !each);
}

/** `owntracks/<user>/<device>`; under another base topic, the last two levels. */
function fromTopic(levels: readonly string[]): string | null {
  const [user, device] = levels[0] === "owntracks" ? levels.slice(1) : levels.slice(-2);
  return user && device ? `${user}/${device}` : null;
}
