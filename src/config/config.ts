/** The configuration as every stage of the gateway gets it: read, checked, and with all defaults. */

import type { z } from "zod";
import type { ProxySettings } from "./proxy.ts";
import type { configSchema } from "./schema.ts";
import type { TenantOrigin, TenantSettings } from "./tenant-schema.ts";

/** As the schema parses it; defaults that follow from other settings are still missing. */
export type Settings = z.output<typeof configSchema>;

/** A tenant with a document of its own. What it brings stands among all sources, destinations, brokers and devices. */
export interface TenantConfig extends Pick<TenantSettings, "mapping" | "limits"> {
  origin: TenantOrigin;
  sources: readonly string[];
  destinations: readonly string[];
  brokers: readonly string[];
  /** Nothing is taken in for it; what waits is still sent. */
  isPaused: boolean;
}

/** With the sources, destinations, brokers and devices of all documents. */
export interface Config extends Omit<Settings, "queue" | "shutdownMs"> {
  queue: Settings["queue"] & { concurrency: number };
  shutdownMs: number;
  /** From the environment, never from the file. */
  proxy: ProxySettings;
  /** By name. Sources of the main configuration belong to none of them. */
  tenants: Readonly<Record<string, TenantConfig>>;
}

export type SourceConfig = Config["sources"][string];
export type DestinationConfig = Config["destinations"][string];
export type BrokerConfig = Config["mqtt"]["brokers"][string];
export type ListenConfig = NonNullable<Config["mqtt"]["listen"]>;
