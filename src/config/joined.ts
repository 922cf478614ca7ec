/** Makes one configuration of all documents that are right: what each stage of the gateway is given. */

import type { Verdict } from "./checked.ts";
import type { Config, SourceConfig, TenantConfig } from "./config.ts";
import { withDefaults } from "./defaults.ts";
import type { Document, MainSettings } from "./documents.ts";
import type { ProxySettings } from "./proxy.ts";
import type { TenantSettings } from "./tenant-schema.ts";

export interface JoinInput {
  main: Document<MainSettings>;
  tenants: readonly Document<TenantSettings>[];
  within: Verdict["within"];
  proxy: ProxySettings;
  isPaused: (tenant: string) => boolean;
}

/** Undefined where a document is not right. */
export function joinedConfig({ main, tenants, within, proxy, isPaused }: JoinInput): Config | undefined {
  const { settings } = main;
  if (!settings) return undefined;
  const sources: Record<string, SourceConfig> = {};
  for (const document of [main, ...tenants])
    for (const [name, source] of within.get(document)?.sources ?? []) sources[name] = source;
  const own = tenants.flatMap(({ settings: ofTenant }) => (ofTenant ? [ofTenant] : []));
  const { listen } = settings.mqtt;
  const joined = {
    ...settings,
    sources,
    destinations: Object.assign({}, settings.destinations, ...own.map(({ destinations }) => destinations)),
    mqtt: {
      brokers: Object.assign({}, settings.mqtt.brokers, ...own.map(({ mqtt }) => mqtt.brokers)),
      ...(listen && { listen: { ...listen, devices: [...listen.devices, ...own.flatMap(devicesOf)] } }),
    },
  };
  const named = tenants.flatMap((document) => {
    const tenant = tenantOf(document, isPaused);
    return tenant ? [tenant] : [];
  });
  return { ...withDefaults(joined), proxy, tenants: Object.fromEntries(named) };
}

function devicesOf({ mqtt }: TenantSettings) {
  return mqtt.listen?.devices ?? [];
}

function tenantOf(
  { tenant, settings }: Document<TenantSettings>,
  isPaused: (tenant: string) => boolean,
): [string, TenantConfig] | null {
  if (!tenant || !settings) return null;
  const { sources, destinations, mapping, mqtt, limits } = settings;
  const config = {
    origin: tenant.origin,
    sources: Object.keys(sources),
    destinations: Object.keys(destinations),
    brokers: Object.keys(mqtt.brokers),
    ...(mapping && { mapping }),
    limits,
    isPaused: isPaused(tenant.name),
  };
  return [tenant.name, config];
}
