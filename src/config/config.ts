/** The configuration as every stage of the gateway gets it: read, checked, and with all defaults. */

import type { z } from "zod";
import type { ProxySettings } from "./proxy.ts";
import type { configSchema } from "./schema.ts";

/** As the schema parses it; defaults that follow from other settings are still missing. */
export type Settings = z.output<typeof configSchema>;

export interface Config extends Omit<Settings, "queue" | "shutdownMs"> {
  queue: Settings["queue"] & { concurrency: number };
  shutdownMs: number;
  /** From the environment, never from the file. */
  proxy: ProxySettings;
}

export type SourceConfig = Config["sources"][string];
export type DestinationConfig = Config["destinations"][string];
export type BrokerConfig = Config["mqtt"]["brokers"][string];
export type ListenConfig = NonNullable<Config["mqtt"]["listen"]>;
