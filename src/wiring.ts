/** Turns the configuration into what the parts of the line work with: sources, destinations, subscriptions. */

import { readFileSync } from "node:fs";
import type { Adapter, AuthMethod, User } from "./adapters/kit/adapter.ts";
import type { Pull } from "./adapters/kit/pull.ts";
import { isPrivateHost } from "./addresses.ts";
import { EMBEDDED } from "./config/check-sources.ts";
import type { BrokerConfig, Config, SourceConfig } from "./config/config.ts";
import { lanesOf } from "./config/defaults.ts";
import type { Source } from "./ingest/source.ts";
import { type Logins, speaksForOf } from "./ingest/speaks-for.ts";
import type { TenantGate } from "./ingest/tenant-gate.ts";
import type { BrokerSettings } from "./inputs/mqtt/library.ts";
import type { Subscription } from "./inputs/mqtt/routing.ts";
import type { PollSettings } from "./inputs/poll/poller.ts";
import type { DescriptorNeeds } from "./limits/descriptors.ts";
import type { Topology } from "./ops/access/sight.ts";
import type { QueueSource } from "./queue/queue.ts";
import type { QueueDestination } from "./queue/redis/destination.ts";
import { scopeOf, scopePrefix } from "./queue/redis/keys.ts";
import type { StreamBudget } from "./queue/upkeep/sweep.ts";
import { servicetitanUrls } from "./servicetitan/client.ts";

export function destinationsOf({ destinations, redis }: Config): Map<string, QueueDestination> {
  return new Map(
    Object.entries(destinations).map(([name, settings]): [string, QueueDestination] => {
      const {
        environment,
        apiUrl = "",
        authUrl = "",
        tenant,
        provider,
        appKey,
        clientId,
        clientSecret,
      } = settings;
      const urls = environment === "custom" ? { apiUrl, authUrl } : servicetitanUrls(environment);
      const { requestTimeoutMs, guardMs } = settings;
      return [
        name,
        {
          name,
          keyPrefix: scopePrefix(redis.prefix, scopeOf(appKey, tenant)),
          target: { name, tenant, provider, appKey, clientId, clientSecret, ...urls, requestTimeoutMs },
          ratePerSecond: settings.ratePerSecond,
          windowMs: 1000 + guardMs,
          // A quarter of the guard is ours to be late in; the rest is left to the network.
          slotSlackMs: guardMs / 4,
          maxBatchPings: settings.maxBatchPings,
          maxBatchBytes: settings.maxBatchBytes,
          maxBatchAgeMs: settings.maxBatchAgeMs,
          lanes: settings.lanes,
          maxAgeMs: unlimited(settings.maxAgeMs),
          backfill: settings.backfill,
          isNew: settings.isNew,
          speedUnit: settings.speedUnit,
          bufferBytes: settings.bufferBytes,
        },
      ];
    }),
  );
}

/** Sources as ingest sees them. The configuration has been checked: what is missing here is a bug. */
export function ingestSourcesOf(
  config: Config,
  adapters: readonly Adapter[],
  gateOf: (source: string) => TenantGate | undefined = () => undefined,
): Map<string, Source> {
  const patienceOf = patience(config);
  const adapterOf = new Map(adapters.map((adapter) => [adapter.vendor, adapter]));
  return new Map(
    Object.entries(config.sources).map(([name, settings]): [string, Source] => {
      const adapter = adapterOf.get(settings.vendor);
      if (!adapter) throw new Error(`No adapter for vendor "${settings.vendor}".`);
      const { auth } = settings;
      return [
        name,
        {
          name,
          adapter,
          authMethod: settings.mqtt || adapter.pull ? null : authMethodOf(adapter, settings),
          credentials: {
            secrets: [...(auth?.secrets ?? []), ...(auth?.secret === undefined ? [] : [auth.secret])],
            ...(auth?.username === undefined ? {} : { username: auth.username }),
            ...(auth?.header === undefined ? {} : { header: auth.header }),
            ...(auth?.allow === undefined ? {} : { allow: auth.allow }),
            ...(auth?.users === undefined ? {} : { users: auth.users.map(userOf) }),
          },
          logins: loginsOf(config, name),
          speedUnit: settings.speedUnit,
          options: settings.options,
          maxAccuracyM: settings.maxAccuracyM,
          maxReadings: config.limits.maxReadingsPerMessage,
          maxAgeMs: patienceOf(name, settings.destination),
          gate: gateOf(name),
        },
      ];
    }),
  );
}

/** A mapping row may send a device to any destination of its document, so the most patient one decides what is let in. */
function patience({ destinations, mapping, tenants }: Config) {
  const ofDestination = (name: string) => unlimited(destinations[name]?.maxAgeMs ?? 0);
  const most = (names: readonly string[]) => Math.max(...names.map(ofDestination));
  const ofTenants = Object.values(tenants);
  const mapped = new Map(
    ofTenants.flatMap((tenant) =>
      tenant.sources.map((source) => [source, tenant.mapping ? most(tenant.destinations) : null]),
    ),
  );
  const theirs = new Set(ofTenants.flatMap((tenant) => tenant.destinations));
  const main = mapping ? most(Object.keys(destinations).filter((name) => !theirs.has(name))) : null;
  return (source: string, destination: string): number => {
    const ofMapped = mapped.has(source) ? mapped.get(source) : main;
    return ofMapped ?? ofDestination(destination);
  };
}

type UserConfig = NonNullable<NonNullable<SourceConfig["auth"]>["users"]>[number];

function userOf({ username, secret, secrets = [] }: UserConfig): User {
  return { username, secrets: secret === undefined ? secrets : [secret] };
}

/** Devices at the embedded broker and users of a webhook, each with the devices it may speak for. */
function loginsOf({ mqtt, sources }: Config, name: string): Logins {
  const devices = mqtt.listen?.devices.filter(({ source }) => source === name) ?? [];
  const logins = [...devices, ...(sources[name]?.auth?.users ?? [])];
  return new Map(logins.map(({ username, speaksFor }) => [username, speaksForOf(username, speaksFor)]));
}

/** Sources as the queue sees them. */
export function queueSourcesOf(
  config: Config,
  destinations: ReadonlyMap<string, QueueDestination>,
  adapters: readonly Adapter[],
): Map<string, QueueSource> {
  const limits = deviceLimits(config);
  return new Map(
    Object.entries(config.sources).map(([name, settings]): [string, QueueSource] => {
      const destination = destinations.get(settings.destination);
      if (!destination) throw new Error(`Destination "${settings.destination}" is not configured.`);
      return [
        name,
        {
          name,
          vendor: settings.vendor,
          transport: transportOf(settings, adapters),
          destination: settings.destination,
          home: destination.keyPrefix,
          unmapped: settings.unmapped,
          silentFloorMs: config.diagnosis.silentFloorMs,
          maxImpliedMps: settings.maxImpliedMps,
          minIntervalMs: settings.minIntervalMs,
          maxAgeMs: destination.maxAgeMs,
          ...(limits.has(name) && { devices: limits.get(name) }),
        },
      ];
    }),
  );
}

/** By source: how many devices its tenant may have, and the sources that share them. */
function deviceLimits({ tenants }: Config): ReadonlyMap<string, NonNullable<QueueSource["devices"]>> {
  return new Map(
    Object.values(tenants).flatMap(({ sources, limits: { devices: most } }) =>
      most === undefined ? [] : sources.map((source) => [source, { most, of: sources }] as const),
    ),
  );
}

export function subscriptionsOf(
  config: Pick<Config, "sources">,
  sources: ReadonlyMap<string, Source>,
  broker: string,
): Subscription[] {
  return Object.entries(config.sources).flatMap(([name, { mqtt }]): Subscription[] => {
    const source = sources.get(name);
    if (!source || mqtt?.broker !== broker) return [];
    return [{ source, topics: mqtt.topics ?? source.adapter.topics ?? [] }];
  });
}

/**
 * Until a start without a cursor has caught up, Samsara hands out the last fix of every vehicle as if it were live,
 * months old where one stands in a yard; without a limit of age all of them would be sent. A day covers a night off.
 */
const LOOK_BACK_MS = 86_400_000;

/** How a source's vendor is asked; null where it sends by itself. The configuration has been checked: what is missing is a bug. */
export function pullOf(
  config: Config,
  { name, adapter }: Source,
): { pull: Pull; settings: PollSettings } | null {
  if (!adapter.pull) return null;
  const { auth = {}, pull: given = {} } = config.sources[name] ?? {};
  const pull = "settings" in adapter.pull ? adapter.pull.settings.parse(given) : adapter.pull;
  const { secret = "", username } = auth;
  if (secret === "" && pull.needs.includes("secret")) throw new Error(`Source "${name}" has no secret.`);
  const { baseUrl = pull.baseUrl, intervalMs = pull.intervalMs, database, privateNetwork } = given;
  const settings = {
    baseUrl: baseUrl.replace(/\/+$/, ""),
    intervalMs,
    lookBackMs: LOOK_BACK_MS,
    privateNetwork: privateNetwork ?? isPrivateHost(new URL(baseUrl).hostname),
    account: {
      secret,
      ...(username === undefined ? {} : { username }),
      ...(database === undefined ? {} : { database }),
    },
  };
  return { pull, settings };
}

/** Certificates and keys are named as files in the configuration and wanted as texts by the library. */
export function brokerSettingsOf({ ca, cert, key, ...settings }: BrokerConfig): BrokerSettings {
  return { ...settings, ca: pem(ca), cert: pem(cert), key: pem(key) };
}

/** PEM texts of a listener's certificate. */
export function tlsOf(
  tls: { cert: string; key: string; ca?: string | undefined } | undefined,
): { cert: string; key: string; ca?: string } | undefined {
  if (!tls) return undefined;
  const ca = pem(tls.ca);
  const own = { cert: readFileSync(tls.cert, "utf8"), key: readFileSync(tls.key, "utf8") };
  return ca === undefined ? own : { ...own, ca };
}

/** What the process needs descriptors for, beside itself. */
export function descriptorNeedsOf({ http, mqtt, destinations, sources }: Config): DescriptorNeeds {
  const all = Object.values(destinations);
  const outgoing = lanesOf(all) + all.length + Object.keys(sources).length + Object.keys(mqtt.brokers).length;
  return { http, listen: mqtt.listen, outgoing };
}

/** What belongs to what, for tokens that may see some of it only. */
export function topologyOf({ destinations, sources, tenants }: Config): Topology {
  return {
    tenants: new Map(
      Object.entries(tenants).map(([name, { origin, destinations: own, isPaused }]) => [
        name,
        { origin: origin.kind, destinations: own, isPaused },
      ]),
    ),
    destinations: Object.keys(destinations),
    sources: new Map(
      Object.entries(sources).map(([name, { destination, mqtt }]) => [
        name,
        { destination, broker: mqtt?.broker ?? null },
      ]),
    ),
  };
}

export function budgetsOf({ queue }: Config): StreamBudget[] {
  return [
    { name: "ledger", bytes: queue.ledgerBytes, maxAgeMs: queue.ledgerMaxAgeMs },
    { name: "dead", bytes: queue.deadLetterBytes, maxAgeMs: queue.deadLetterMaxAgeMs },
    {
      name: "quarantine",
      bytes: queue.quarantineBytes,
      maxAgeMs: queue.quarantineMaxAgeMs,
    },
  ];
}

function transportOf({ mqtt, vendor }: SourceConfig, adapters: readonly Adapter[]): QueueSource["transport"] {
  if (mqtt) return mqtt.broker === EMBEDDED ? "broker" : "mqtt";
  return adapters.some((adapter) => adapter.vendor === vendor && adapter.pull) ? "pull" : "webhook";
}

function authMethodOf(adapter: Adapter, { auth }: SourceConfig): AuthMethod | null {
  const authMethod = adapter.auth.find(({ name }) => name === auth?.method) ?? adapter.auth[0];
  if (!authMethod) throw new Error(`Adapter "${adapter.vendor}" offers no authentication method.`);
  return authMethod;
}

function unlimited(maxAgeMs: number): number {
  return maxAgeMs === 0 ? Number.POSITIVE_INFINITY : maxAgeMs;
}

function pem(file: string | undefined): string | undefined {
  return file === undefined ? undefined : readFileSync(file, "utf8");
}

/** A scrape of more destinations' histograms is larger than everything else in it. */
const HISTOGRAMS_OF_DESTINATIONS = 100;

export function hasHistogramsPerDestination({ ops, destinations }: Config): boolean {
  return ops.metrics.perDestination ?? Object.keys(destinations).length <= HISTOGRAMS_OF_DESTINATIONS;
}
