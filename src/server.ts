/** The composition root: configuration in, parts built and joined, ports opened; and all of it closed again in order. */

import { createHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { collectDefaultMetrics, Registry } from "prom-client";
import type { Dispatcher } from "undici";
import { adapters } from "./adapters/index.ts";
import { EMBEDDED } from "./config/check-sources.ts";
import type { Config } from "./config/config.ts";
import { opsTokensOf } from "./config/ops-tokens.ts";
import { createEvents } from "./event-log.ts";
import type { Events } from "./events.ts";
import { createShares, type Shares } from "./ingest/decode-shares.ts";
import { examine } from "./ingest/examine.ts";
import { createIngest, type Ingest } from "./ingest/ingest.ts";
import type { Source } from "./ingest/source.ts";
import { type EmbeddedBroker, startBroker } from "./inputs/mqtt/broker.ts";
import { type LeasedBroker, leasedBroker } from "./inputs/mqtt/leased-broker.ts";
import { type LeasedPollers, leasedPollers } from "./inputs/poll/leased-poller.ts";
import { createWebhookApp } from "./inputs/webhook/app.ts";
import { serveWebhooks, type WebhookServer } from "./inputs/webhook/server.ts";
import { type ConnectionShares, shareConnections } from "./limits/ports.ts";
import { createLogger } from "./log.ts";
import { type WatchedMapping, watchMapping } from "./mapping/mapping.ts";
import { createDispatcher } from "./network.ts";
import { createTrail, type Trail } from "./ops/access/trail.ts";
import { startAccountingCheck } from "./ops/accounting-check.ts";
import { createOpsApp } from "./ops/app.ts";
import { createClockWatch } from "./ops/diagnose/clocks.ts";
import { createIncidents } from "./ops/incidents.ts";
import { createLookup } from "./ops/lookup.ts";
import { policiesOf } from "./ops/policies.ts";
import { openOpsPort } from "./ops/port.ts";
import { createRedriver } from "./ops/redrive.ts";
import { createQueue, type Queue } from "./queue/queue.ts";
import { type Client, createClient } from "./servicetitan/client.ts";
import { openSpool, type Spool } from "./spool/spool.ts";
import { explainListenError, libraryProblems, mappingProblems, StartupError } from "./startup.ts";
import type { OperatorEvent, QueueStatus, SpoolStatus } from "./status.ts";
import { iso } from "./time.ts";
import { messageOf } from "./untrusted.ts";
import { VERSION } from "./version.ts";
import {
  brokerSettingsOf,
  budgetsOf,
  descriptorNeedsOf,
  destinationsOf,
  ingestSourcesOf,
  pollSettingsOf,
  queueSourcesOf,
  subscriptionsOf,
  tlsOf,
  topologyOf,
} from "./wiring.ts";

export interface Gateway {
  webhookPort: number;
  opsPort: number;
  /** Of the embedded broker; null when `mqtt.listen` is off. */
  brokerPort: number | null;
  status(): Promise<QueueStatus>;
  /** Arrival to ServiceTitan's yes, since the start, in milliseconds. */
  latency(): { p50Ms: number; p99Ms: number };
  /** Ways in first, then deliveries under way, then the ops port: for at most `shutdownMs` of the configuration. */
  close(): Promise<void>;
}

/** Of what is left for closing, webhooks and brokers get this share; the rest is for deliveries. */
const INTAKE_SHARE = 0.3;

export async function startGateway(
  config: Config,
  logger: Logger = createLogger({ level: config.log.level }),
): Promise<Gateway> {
  const opened: Opened = { brokers: [] };
  try {
    return await openAll(config, logger, opened);
  } catch (error) {
    // What is open would keep the process alive, and the lease of a broker from whoever starts properly.
    await closeAll(opened, config.shutdownMs);
    throw error;
  }
}

/** What has to be closed again, as far as it has been opened. */
interface Opened {
  mapping?: WatchedMapping;
  client?: Client;
  confirmVia?: Dispatcher;
  queue?: Queue;
  webhooks?: WebhookServer;
  embedded?: EmbeddedBroker;
  brokers: LeasedBroker[];
  pollers?: LeasedPollers;
  ops?: { close(): Promise<void> };
  watch?: { stop(): void };
  spool?: Spool;
  audit?: { stop(): void };
  trail?: Trail;
  announcement?: { stop(): void };
}

async function openAll(config: Config, logger: Logger, opened: Opened): Promise<Gateway> {
  const lacking = libraryProblems(config);
  if (lacking.length > 0) throw new StartupError(lacking);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const latency = createHistogram();
  const clocks = createClockWatch();
  const incidents = createIncidents();
  const events = watched(createEvents({ logger, registry }), {
    // A histogram of integers from 1; a clock set back between arrival and answer is not a latency.
    delivered: (latencyMs) => latency.record(Math.max(1, Math.round(latencyMs))),
    incident: incidents.note,
  });

  const destinations = destinationsOf(config);
  const mapping = config.mapping
    ? await mappingOf(config, events, (change) => {
        opened.trail?.record({ ...BY_ITSELF, action: "mapping_reloaded", ...change });
        if (change.outcome !== "done") return;
        // The new rows count from now on; what was held for them is looked through again every few seconds.
        opened.queue?.mappingChanged().catch((error: unknown) => events.failed({ where: "mapping", error }));
      })
    : null;
  if (mapping) opened.mapping = mapping;
  const { httpProxy = null, httpsProxy = null, noProxy = "" } = config.proxy;
  const proxy = { httpProxy, httpsProxy, noProxy };
  const client = createClient({ proxy });
  opened.client = client;
  const confirmVia = createDispatcher(proxy);
  opened.confirmVia = confirmVia;
  const queue = createQueue({
    redis: config.redis,
    sources: queueSourcesOf(config, destinations, adapters),
    destinations,
    mapping: mapping ? (source, device) => mapping.routes(source, device) : null,
    client,
    concurrency: config.queue.concurrency,
    lockMs: config.queue.lockMs,
    stalledCheckMs: config.queue.stalledCheckMs,
    groupCommitMs: config.queue.groupCommitMs,
    ledgerMaxAgeMs: config.queue.ledgerMaxAgeMs,
    budgets: budgetsOf(config),
    events,
  });
  opened.queue = queue;
  const sources = ingestSourcesOf(config, adapters);
  const shares = createShares({
    usedUp: (source) =>
      events.incident({ kind: "share_used_up", where: `source ${source}`, subject: source }),
  });
  const ingest = createIngest({ store: queue.store, shares, events: { ...events, fixSeen: clocks.observe } });

  const spool = config.spool
    ? await openSpool({
        settings: config.spool,
        ingest,
        sources,
        isStorageBack: async () => (await queue.readiness()).length === 0,
        events,
      }).catch((error: unknown) => {
        throw new StartupError([`spool.dir: ${messageOf(error)}`], error);
      })
    : null;
  if (spool) opened.spool = spool;

  const connections = shareConnections(
    { ...descriptorNeedsOf(config), trustedProxies: config.http.trustedProxies },
    events,
  );
  const webhookSources = new Map([...sources].filter(([, source]) => source.authMethod !== null));
  const announcement = queue.announce(webhookSources.keys());
  opened.announcement = announcement;
  const webhooks = await explainListenError("http", config.http, () =>
    serveWebhooks({
      app: createWebhookApp({
        sources: webhookSources,
        isKnownElsewhere: announcement.isKnownElsewhere,
        ingest: spool?.ingest ?? ingest,
        limits: config.http,
        trustedProxies: config.http.trustedProxies,
        connections: connections.webhook,
        events,
        confirmVia,
      }),
      host: config.http.host,
      port: config.http.port,
      tls: tlsOf(config.http.tls),
      connections: connections.webhook,
      onError: (error) => events.failed({ where: "webhook port", error }),
    }),
  );
  opened.webhooks = webhooks;
  const embedded = await embeddedBroker(config, connections, { sources, ingest, shares, events });
  if (embedded) opened.embedded = embedded;

  const trail = createTrail({ store: queue.trail, events });
  opened.trail = trail;
  const ops = createOpsApp({
    tokens: opsTokensOf(config.ops),
    hosts: config.ops,
    topology: topologyOf(config),
    queryStatus: queue.queryStatus,
    trail,
    endedSessions: queue.endedSessions,
    ...createLookup({ config, mapping, queue }),
    brokers: () => [
      ...(embedded ? [embedded.state()] : []),
      ...opened.brokers.map((broker) => broker.state()),
    ],
    pollers: () => opened.pollers?.states() ?? [],
    redrive: createRedriver({ redrive: queue.redrive, ingest, examine, sources }),
    spool: () => (spool ? spoolStatus(spool) : null),
    clocks,
    incidents: incidents.recent,
    registry,
    async ready() {
      const problems = await queue.readiness();
      return { ready: problems.length === 0, problems };
    },
    info: { version: VERSION, startedAtMs: Date.now(), policies: policiesOf(config) },
    events,
  });
  const opsServer = await explainListenError("ops", config.ops, () =>
    openOpsPort({
      fetch: ops.fetch,
      host: config.ops.host,
      port: config.ops.port,
      connections: connections.ops,
      onError: (error) => events.failed({ where: "ops port", error }),
    }),
  );
  opened.ops = opsServer;
  // Last: a process that cannot open its ports must take no broker's session and no vendor's feed from one that runs.
  opened.brokers = Object.entries(config.mqtt.brokers).map(([name, settings]) =>
    leasedBroker({
      name,
      receiveMaximum: settings.receiveMaximum,
      settings: () => brokerSettingsOf(settings),
      subscriptions: subscriptionsOf(config, sources, name),
      acquireLease: queue.lease,
      ingest,
      events,
    }),
  );
  opened.pollers = leasedPollers({
    sources: sources.values(),
    settingsOf: (source, pull) => pollSettingsOf(config, source, pull),
    acquireLease: queue.lease,
    cursors: queue.cursors,
    ingest,
    proxy,
    events,
  });
  const ports = {
    webhooks: webhooks.port,
    ops: opsServer.port,
    ...(embedded ? { mqtt: embedded.port } : {}),
  };
  trail.record({ ...BY_ITSELF, action: "configuration_loaded", filter: { version: VERSION }, count: null });
  events.started({ version: VERSION, ports, sources: sources.size, destinations: destinations.size });

  opened.watch = watchLoop(events);
  opened.audit = startAccountingCheck({ queryStatus: queue.queryStatus, events });

  return {
    webhookPort: webhooks.port,
    opsPort: opsServer.port,
    brokerPort: embedded?.port ?? null,
    status: queue.queryStatus,
    latency: () => ({ p50Ms: latency.percentile(50), p99Ms: latency.percentile(99) }),
    close() {
      events.stopping({ withinMs: config.shutdownMs });
      return closeAll(opened, config.shutdownMs);
    },
  };
}

/** A stall of the event loop is why a batch changes hands or a webhook is answered late; it has to be seen somewhere. */
const LOOP_REPORT_EVERY_MS = 10_000;

function watchLoop(events: Events): { stop(): void } {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const timer = setInterval(() => {
    events.loopDelay({ p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 });
    delay.reset();
  }, LOOP_REPORT_EVERY_MS).unref();
  return {
    stop() {
      clearInterval(timer);
      delay.disable();
    },
  };
}

async function closeAll(opened: Opened, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  const ingestMs = withinMs * INTAKE_SHARE;
  await Promise.all([
    opened.webhooks?.close(ingestMs),
    opened.embedded?.close(ingestMs),
    ...opened.brokers.map((broker) => broker.close(ingestMs)),
    opened.pollers?.close(ingestMs),
  ]);
  opened.mapping?.stop();
  await opened.spool?.close();
  opened.watch?.stop();
  opened.audit?.stop();
  opened.trail?.stop();
  opened.announcement?.stop();
  const deliveries = async () => {
    await opened.queue?.close();
    // Confirmations nobody waits for: one that hangs is cut.
    await Promise.all([opened.client?.close(), opened.confirmVia?.destroy()]);
  };
  // A request that hangs is left to whoever takes its batch over.
  await Promise.race([deliveries(), sleep(deadline - performance.now(), undefined, { ref: false })]);
  await opened.ops?.close();
}

/** The events, with those that are shown and not only told handed on. */
function watched(
  events: Events,
  watch: { delivered(latencyMs: number): void; incident: Events["incident"] },
): Events {
  return {
    ...events,
    deliveryLatency(destination, latencyMs) {
      events.deliveryLatency(destination, latencyMs);
      watch.delivered(latencyMs);
    },
    incident(event) {
      events.incident(event);
      watch.incident(event);
    },
  };
}

/** What the gateway does without being told to over the ops endpoint. */
const BY_ITSELF = { by: null, from: null, outcome: "done" } as const;

async function mappingOf(
  config: Config,
  events: Events,
  changed: (change: Pick<OperatorEvent, "filter" | "count" | "outcome">) => void,
): Promise<WatchedMapping> {
  const file = config.mapping?.file ?? "";
  const filter = { file };
  const loaded = await watchMapping(file, config, {
    events: {
      ...events,
      mappingReloaded(event) {
        events.mappingReloaded(event);
        changed({ filter, count: event.rows, outcome: "done" });
      },
      mappingProblem(event) {
        events.mappingProblem(event);
        changed({ filter, count: event.problems.length, outcome: "failed" });
      },
    },
  });
  if (loaded.kind === "broken") throw new StartupError(mappingProblems(file, loaded.problems));
  return loaded.mapping;
}

async function embeddedBroker(
  config: Config,
  { mqtt, isProxy }: Pick<ConnectionShares, "mqtt" | "isProxy">,
  parts: { sources: ReadonlyMap<string, Source>; ingest: Ingest; shares: Shares; events: Events },
): Promise<EmbeddedBroker | null> {
  const { listen: settings } = config.mqtt;
  if (!settings) return null;
  return explainListenError("mqtt.listen", settings, () =>
    startBroker({
      ...settings,
      tls: tlsOf(settings.tls),
      name: EMBEDDED,
      isProxy,
      limits: { connections: mqtt.total, unauthenticatedPerAddress: mqtt.perAddress },
      ...parts,
    }),
  );
}

function spoolStatus(spool: Spool): SpoolStatus {
  const { oldestAt, ...state } = spool.state();
  return { ...state, oldestAt: oldestAt === null ? null : iso(oldestAt) };
}
