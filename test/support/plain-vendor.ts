/** A vendor that exists only for tests of the inputs: one point or many, with every answer an adapter may ask for. */

import { z } from "zod";
import { type Adapter, type AuthMethod, defineAdapter } from "../../src/adapters/kit/adapter.ts";
import { createIngest, type Ingest } from "../../src/ingest/ingest.ts";
import type { IngestEvents } from "../../src/ingest/result.ts";
import type { Source } from "../../src/ingest/source.ts";
import type { Store } from "../../src/ingest/store.ts";

/** Authenticates by a header or, for senders that can set none, by `?token=`. */
const keyMethod: AuthMethod = {
  name: "key",
  needs: ["secrets"],
  placement: { kind: "header", name: "X-Key" },
  verify: ({ headers, query }, { secrets }) =>
    secrets.includes(headers["x-key"] ?? query.token ?? "") ? null : "wrong_key",
};

const point = z.object({
  id: z.string(),
  t: z.number(),
  lat: z.number().nullable(),
  lon: z.number().nullable(),
  /** Accuracy, metres. */
  acc: z.number().optional(),
});

const plainVendor: Adapter = defineAdapter({
  vendor: "plain",
  docs: "made up for tests",
  evidence: "seen in code",
  transports: ["webhook", "mqtt"],
  auth: [keyMethod],
  speedUnit: "none",
  handshake: (raw) =>
    typeof raw === "object" && raw !== null && "challenge" in raw
      ? { reply: { status: 200, contentType: "text/plain", body: String(raw.challenge) } }
      : null,
  ignore: (raw) => (typeof raw === "object" && raw !== null && "hello" in raw ? "a greeting" : null),
  payload: z.union([point.transform((one) => [one]), z.array(point)]),
  decode: (points) => {
    if (points.some(({ id }) => id === "bug")) throw new Error("a bug in decode");
    return points.map(({ id, t, lat, lon, acc }, index) => ({
      deviceId: id,
      fixTime: t,
      latitude: lat,
      longitude: lon,
      speedMps: null,
      headingDeg: null,
      ...(acc === undefined ? {} : { details: { accuracyM: acc } }),
      path: `[${index}]`,
    }));
  },
});

export const KEY = "the-right-key";

/** A source of the plain vendor; on MQTT the connection authenticates it. */
export function plainSource(name: string, changes: Partial<Adapter> = {}): Source {
  return {
    name,
    adapter: { ...plainVendor, ...changes },
    authMethod: keyMethod,
    credentials: { secrets: [KEY] },
    maxAgeMs: Number.POSITIVE_INFINITY,
  };
}

export function mqttSource(name: string): Source {
  return { ...plainSource(name), authMethod: null };
}

/** One point as the plain vendor sends it; a second apart for each index, so that none is a duplicate. */
export function pointText(id: string, index: number): string {
  return JSON.stringify({ id, t: 1_700_000_000_000 + index * 1000, lat: 30.27, lon: -97.74 });
}

type Named = Exclude<keyof IngestEvents, "fixSeen">;
export type Told = { [K in Named]: { event: K } & Parameters<IngestEvents[K]>[0] }[Named];

/** An ingest over the given store, and the events it emitted. */
export function ingestOver(
  store: Store,
  fixSeen: IngestEvents["fixSeen"] = () => {},
): { ingest: Ingest; told: Told[] } {
  const told: Told[] = [];
  const events: IngestEvents = {
    fixSeen,
    messageRefused: (event) => void told.push({ event: "messageRefused", ...event }),
    messageMalformed: (event) => void told.push({ event: "messageMalformed", ...event }),
    readingRejected: (event) => void told.push({ event: "readingRejected", ...event }),
    incident: (event) => void told.push({ event: "incident", ...event }),
    messageDeferred: (event) => void told.push({ event: "messageDeferred", ...event }),
    ingestFailed: (event) => void told.push({ event: "ingestFailed", ...event }),
  };
  return { ingest: createIngest({ store, events }), told };
}
