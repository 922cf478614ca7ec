/** Picks the settings that are valid by themselves, so that relations are checked even while other settings are wrong. */

import type { z } from "zod";
import { isRecord } from "../untrusted.ts";
import type { BrokerConfig, Config, DestinationConfig, ListenConfig, SourceConfig } from "./config.ts";
import { destinationSchema } from "./destination-schema.ts";
import { brokerSchema, listenSchema } from "./mqtt-schema.ts";
import { configSchema } from "./schema.ts";
import { nameSchema } from "./setting-types.ts";
import { sourceSchema } from "./source-schema.ts";

/** Invalid settings are absent; the schema reports them. */
export interface ValidSettings {
  redis: Config["redis"] | undefined;
  http: Config["http"] | undefined;
  ops: Config["ops"] | undefined;
  queue: z.output<typeof configSchema>["queue"] | undefined;
  listen: ListenConfig | undefined;
  brokers: ReadonlyMap<string, BrokerConfig>;
  sources: ReadonlyMap<string, SourceConfig>;
  destinations: ReadonlyMap<string, DestinationConfig>;
  /** All names as written, those of invalid entries included: to name one of those is no second mistake. */
  named: {
    listen: boolean;
    brokers: ReadonlySet<string>;
    sources: ReadonlySet<string>;
    destinations: ReadonlySet<string>;
  };
}

export function validSettingsIn(raw: unknown): ValidSettings {
  const { shape } = configSchema;
  const root = isRecord(raw) ? raw : {};
  const mqtt = isRecord(root.mqtt) ? root.mqtt : {};
  return {
    redis: shape.redis.safeParse(root.redis).data,
    http: shape.http.safeParse(root.http).data,
    ops: shape.ops.safeParse(root.ops).data,
    queue: shape.queue.safeParse(root.queue).data,
    listen: listenSchema.safeParse(mqtt.listen).data,
    brokers: validEntries(mqtt.brokers, brokerSchema),
    sources: validEntries(root.sources, sourceSchema),
    destinations: validEntries(root.destinations, destinationSchema),
    named: {
      listen: isRecord(mqtt.listen),
      brokers: namesIn(mqtt.brokers),
      sources: namesIn(root.sources),
      destinations: namesIn(root.destinations),
    },
  };
}

function validEntries<Entry>(raw: unknown, entry: z.ZodType<Entry>): Map<string, Entry> {
  const valid = new Map<string, Entry>();
  for (const [key, value] of Object.entries(isRecord(raw) ? raw : {})) {
    const parsed = entry.safeParse(value);
    if (nameSchema.safeParse(key).success && parsed.success) valid.set(key, parsed.data);
  }
  return valid;
}

function namesIn(raw: unknown): Set<string> {
  return new Set(Object.keys(isRecord(raw) ? raw : {}));
}
