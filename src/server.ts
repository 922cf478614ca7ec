/** The composition root: configuration in, parts built and joined, ports opened; and all of it closed again in order. */

import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { Dispatcher } from "undici";
import { asAuthenticated } from "./adapters/kit/adapter.ts";
import { EMBEDDED } from "./config/check-sources.ts";
import type { Config } from "./config/config.ts";
import { opsTokensOf } from "./config/ops-tokens.ts";
import { createLogger } from "./events/log.ts";
import { examine } from "./ingest/examine.ts";
import { type EmbeddedBroker, startBroker } from "./inputs/mqtt/broker.ts";
import { type LeasedBroker, leasedBroker } from "./inputs/mqtt/leased-broker.ts";
import { type LeasedPollers, leasedPollers } from "./inputs/poll/leased-poller.ts";
import { createWebhookApp } from "./inputs/webhook/app.ts";
import { serveWebhooks, type WebhookServer } from "./inputs/webhook/server.ts";
import { type ConnectionShares, shareConnections } from "./limits/ports.ts";
import { createDispatcher } from "./network.ts";
import { createTrail, type Trail } from "./ops/access/trail.ts";
import { startAccountingCheck } from "./ops/accounting-check.ts";
import { createCaptures } from "./ops/captures.ts";
import { watchEventLoop } from "./ops/event-loop.ts";
import { createLookup } from "./ops/lookup.ts";
import { createExporter, type Exporter } from "./ops/metrics/exporter.ts";
import { type Ops, openOps } from "./ops/open.ts";
import { policiesOf } from "./ops/policies.ts";
import { createRedriver } from "./ops/redrive.ts";
import { createWatch, type OpenedPipeline, openPipeline, type Pipeline, type Watch } from "./pipeline.ts";
import { checkBeforeStart } from "./startup/before-start.ts";
import { explainListenError } from "./startup/error.ts";
import type { QueueStatus } from "./status/queue.ts";
import { VERSION } from "./version.ts";
import {
  brokerSettingsOf,
  descriptorNeedsOf,
  hasHistogramsPerDestination,
  pullOf,
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
  /** Inputs first, then deliveries under way, then the ops port: for at most `shutdownMs` of the configuration. */
  close(): Promise<void>;
}

/** Of what is left for closing, the inputs get this share; the rest is for deliveries. */
const INPUTS_SHARE = 0.3;

export async function startGateway(
  config: Config,
  logger: Logger = createLogger(config.log),
): Promise<Gateway> {
  const opened: Opened = { brokers: [] };
  try {
    return await openAll(config, logger, opened);
  } catch (error) {
    // What is open would keep the process alive, and the lease of a broker from a process that starts properly.
    await closeAll(opened, config.shutdownMs);
    throw error;
  }
}

/** What has to be closed again, as far as it has been opened. */
interface Opened extends OpenedPipeline {
  confirmVia?: Dispatcher;
  webhooks?: WebhookServer;
  embedded?: EmbeddedBroker;
  brokers: LeasedBroker[];
  pollers?: LeasedPollers;
  ops?: Ops;
  eventLoop?: { stop(): void };
  accounting?: { stop(): void };
  trail?: Trail;
  exporter?: Exporter;
  announcement?: { stop(): void };
}

async function openAll(config: Config, logger: Logger, opened: Opened): Promise<Gateway> {
  await checkBeforeStart(config);
  const watch = createWatch(logger, { perDestination: hasHistogramsPerDestination(config) });
  const { events, latency } = watch;
  const pipeline = await openPipeline(config, watch, opened, (change) =>
    opened.trail?.record({ ...BY_ITSELF, action: "mapping_reloaded", ...change }),
  );
  const { queue, sources } = pipeline;
  const connections = shareConnections(
    { ...descriptorNeedsOf(config), trustedProxies: config.http.trustedProxies },
    events,
  );
  const webhooks = await openWebhooks(config, pipeline, connections, opened);
  const embedded = await openEmbeddedBroker(config, pipeline, connections);
  if (embedded) opened.embedded = embedded;
  const trail = createTrail({ store: queue.trail, events });
  opened.trail = trail;
  opened.exporter = createExporter(queue.lease, (error) => events.failed({ where: "exporter", error }));
  const ops = await openOpsEndpoint(config, pipeline, watch, { trail, connections, opened });
  // Leases last: a process that fails to open its ports must not take a session or a feed from a healthy one.
  openLeased(config, pipeline, opened);

  const ports = {
    webhooks: webhooks.port,
    ops: ops.port,
    ...(embedded ? { mqtt: embedded.port } : {}),
  };
  trail.record({ ...BY_ITSELF, action: "configuration_loaded", filter: { version: VERSION }, count: null });
  events.started({
    version: VERSION,
    ports,
    sources: sources.size,
    destinations: pipeline.destinations.size,
  });
  opened.eventLoop = watchEventLoop(events);
  opened.accounting = startAccountingCheck({ queryStatus: queue.queryStatus, events });

  return {
    webhookPort: webhooks.port,
    opsPort: ops.port,
    brokerPort: embedded?.port ?? null,
    status: queue.queryStatus,
    latency: () => ({ p50Ms: latency.percentile(50), p99Ms: latency.percentile(99) }),
    close() {
      events.stopping({ withinMs: config.shutdownMs });
      return closeAll(opened, config.shutdownMs);
    },
  };
}

async function openWebhooks(
  config: Config,
  { queue, sources, ingest, spool, proxy, events }: Pipeline,
  connections: ConnectionShares,
  opened: Opened,
): Promise<WebhookServer> {
  const { host, port, tls, trustedProxies } = config.http;
  const webhookSources = new Map([...sources].filter(([, source]) => source.authMethod !== null));
  const announcement = queue.announce(webhookSources.keys());
  opened.announcement = announcement;
  const confirmVia = createDispatcher(proxy);
  opened.confirmVia = confirmVia;
  const webhooks = await explainListenError("http", config.http, () =>
    serveWebhooks({
      app: createWebhookApp({
        sources: webhookSources,
        isKnownElsewhere: announcement.isKnownElsewhere,
        ingest: spool?.ingest ?? ingest,
        limits: config.http,
        trustedProxies,
        connections: connections.webhook,
        events,
        confirmVia,
      }),
      host,
      port,
      tls: tlsOf(tls),
      connections: connections.webhook,
      onError: (error) => events.failed({ where: "webhook port", error }),
    }),
  );
  opened.webhooks = webhooks;
  return webhooks;
}

async function openEmbeddedBroker(
  config: Config,
  { sources, ingest, shares, events }: Pipeline,
  { mqtt, isProxy }: ConnectionShares,
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
      sources,
      ingest,
      shares,
      events,
    }),
  );
}

async function openOpsEndpoint(
  config: Config,
  { mapping, queue, sources, ingest, spoolStatus, events }: Pipeline,
  { registry, clocks, incidents, logLevel }: Watch,
  { trail, connections, opened }: { trail: Trail; connections: ConnectionShares; opened: Opened },
): Promise<Ops> {
  opened.ops = await explainListenError("ops", config.ops, () =>
    openOps({
      listen: config.ops,
      tokens: opsTokensOf(config.ops),
      topology: topologyOf(config),
      info: {
        version: VERSION,
        startedAtMs: Date.now(),
        policies: policiesOf(config),
        staleAfterMs: config.diagnosis.staleAfterMs,
      },
      queue,
      own: () => ({
        brokers: [...(opened.embedded ? [opened.embedded] : []), ...opened.brokers].map((each) =>
          each.state(),
        ),
        pollers: opened.pollers?.states() ?? [],
        spool: spoolStatus(),
        clocks: clocks.offenders(),
        incidents: incidents.recent(),
      }),
      mapping: () => mapping && { problem: mapping.problem(), form: mapping.form },
      clocks,
      lookup: createLookup({ config, mapping, queue }),
      captures: createCaptures(queue.captures),
      redrive: createRedriver({
        redrive: queue.redrive,
        newest: queue.newest,
        sources,
        ingest: (source, message) => ingest.ingest(source, asAuthenticated(message)),
        examine: (source, message) => examine(source.adapter, asAuthenticated(message), source),
      }),
      logLevels: { logLevel: logLevel.level, setLogLevel: logLevel.setLevel },
      registry,
      exportsRedis: () => opened.exporter?.exports() ?? false,
      trail,
      connections: connections.ops,
      events,
    }),
  );
  return opened.ops;
}

/** Broker sessions and polled feeds: of all processes, the one that holds the lease has them. */
function openLeased(
  config: Config,
  { queue, sources, ingest, proxy, events }: Pipeline,
  opened: Opened,
): void {
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
    pullOf: (source) => pullOf(config, source),
    acquireLease: queue.lease,
    cursors: queue.cursors,
    ingest,
    proxy,
    events,
  });
}

async function closeAll(opened: Opened, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  const inputsMs = withinMs * INPUTS_SHARE;
  await Promise.all([
    opened.webhooks?.close(inputsMs),
    opened.embedded?.close(inputsMs),
    ...opened.brokers.map((broker) => broker.close(inputsMs)),
    opened.pollers?.close(inputsMs),
    opened.exporter?.close(),
  ]);
  opened.mapping?.stop();
  await opened.spool?.close();
  opened.eventLoop?.stop();
  opened.accounting?.stop();
  opened.trail?.stop();
  opened.announcement?.stop();
  opened.tap?.stop();
  const deliveries = async () => {
    await opened.queue?.close();
    // No sender waits for a confirmation: one that hangs is cut off.
    await Promise.all([opened.client?.close(), opened.confirmVia?.destroy()]);
  };
  // A request that hangs is left to the process that takes its batch over.
  await Promise.race([deliveries(), sleep(deadline - performance.now(), undefined, { ref: false })]);
  await opened.ops?.close();
}

/** The trail names no operator for what the gateway does by itself. */
const BY_ITSELF = { by: null, from: null, outcome: "done" } as const;
