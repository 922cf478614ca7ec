/** The composition root: configuration in, parts built and joined, ports opened; and all of it closed again in order. */

import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { Dispatcher } from "undici";
import { EMBEDDED } from "./config/check-sources.ts";
import type { Config } from "./config/config.ts";
import { type ConfigReader, givenSealKeys } from "./config/load.ts";
import { tenantSchema } from "./config/tenant-schema.ts";
import { hideSecrets } from "./config/values.ts";
import { createLogger } from "./events/log.ts";
import { type EmbeddedBroker, startBroker } from "./inputs/mqtt/broker.ts";
import { type LeasedBrokers, leasedBrokers } from "./inputs/mqtt/leased-broker.ts";
import { type LeasedPollers, leasedPollers } from "./inputs/poll/leased-poller.ts";
import { createWebhookApp } from "./inputs/webhook/app.ts";
import { serveWebhooks, type WebhookServer } from "./inputs/webhook/server.ts";
import { type ConnectionShares, shareConnections } from "./limits/ports.ts";
import { createDispatcher } from "./network.ts";
import { createTrail, type Trail } from "./ops/access/trail.ts";
import { startAccountingCheck } from "./ops/accounting-check.ts";
import { watchEventLoop } from "./ops/event-loop.ts";
import { createExporter, type Exporter } from "./ops/metrics/exporter.ts";
import type { Ops } from "./ops/open.ts";
import { openOpsEndpoint } from "./ops-endpoint.ts";
import { createWatch, type OpenedPipeline, openPipeline, type Pipeline } from "./pipeline.ts";
import type { Announcement } from "./queue/redis/processes.ts";
import { type Following, followConfiguration } from "./reload/follow.ts";
import { createInForce, type InForce } from "./reload/in-force.ts";
import { createTenantGates } from "./reload/tenant-gates.ts";
import { wantedBrokersOf, wantedPollersOf } from "./reload/wanted-inputs.ts";
import { checkBeforeStart } from "./startup/before-start.ts";
import { explainListenError } from "./startup/error.ts";
import type { QueueStatus } from "./status/queue.ts";
import { type OpenedTenants, openTenants, validatorOf } from "./tenants/open.ts";
import { VERSION } from "./version.ts";
import { descriptorNeedsOf, hasHistogramsPerDestination, tlsOf } from "./wiring.ts";

export interface Gateway {
  webhookPort: number;
  opsPort: number;
  /** Of the embedded broker; null when `mqtt.listen` is off. */
  brokerPort: number | null;
  status(): Promise<QueueStatus>;
  /** Arrival to ServiceTitan's yes, since the start, in milliseconds. */
  latency(): { p50Ms: number; p99Ms: number };
  /** Reads the configuration again, as SIGHUP does. */
  reload(): Promise<unknown>;
  /** Inputs first, then deliveries under way, then the ops port: for at most `shutdownMs` of the configuration. */
  close(): Promise<void>;
}

/** Of what is left for closing, the inputs get this share; the rest is for deliveries. */
const INPUTS_SHARE = 0.3;

export async function startGateway(
  config: Config,
  logger: Logger = createLogger(config.log),
  /** Reads the configuration again; without it, it stays as it is, and no tenant is taken through the API. */
  reader: ConfigReader | null = null,
): Promise<Gateway> {
  const opened: Opened = {};
  try {
    return await openAll(config, { logger, reader, opened });
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
  embedded?: EmbeddedBroker | null;
  brokers?: LeasedBrokers;
  pollers?: LeasedPollers;
  ops?: Ops;
  eventLoop?: { stop(): void };
  accounting?: { stop(): void };
  trail?: Trail;
  exporter?: Exporter;
  announcement?: Announcement;
  tenants?: OpenedTenants;
  following?: Following;
}

interface Opening {
  logger: Logger;
  reader: ConfigReader | null;
  opened: Opened;
}

async function openAll(config: Config, { logger, reader, opened }: Opening): Promise<Gateway> {
  await checkBeforeStart(config);
  const startedAtMs = Date.now();
  const watch = createWatch(logger, { perDestination: hasHistogramsPerDestination(config) });
  const { events, latency } = watch;
  const gates = createTenantGates();
  const inForce = createInForce(config, gates);
  const pipeline = await openPipeline(inForce, watch, opened, (change) =>
    opened.trail?.record({ ...BY_ITSELF, action: "mapping_reloaded", ...change }),
  );
  const { queue } = pipeline;
  const trail = createTrail({ store: queue.trail, events });
  opened.trail = trail;
  const tenants = openTenants({
    store: queue.tenants,
    sealKeys: givenSealKeys(),
    hide: (document) => hideSecrets(document, tenantSchema),
    validate: reader ? validatorOf(reader, inForce.problemsOf) : () => UNCHECKED,
    isOfFile: (name) => inForce.config().tenants[name]?.origin.kind === "file",
    failed: (error) => events.failed({ where: "tenants", error }),
  });
  opened.tenants = tenants;
  const following = followConfiguration({
    ...{ inForce, pipeline, watch, gates, reader, documents: tenants.documents, trail, startedAtMs },
    ports: () => opened,
    inputsChanged: () => updateInputs(inForce, opened),
  });
  opened.following = following;
  const connections = shareConnections(
    { ...descriptorNeedsOf(config), trustedProxies: config.http.trustedProxies },
    events,
  );
  const webhooks = await openWebhooks(inForce, pipeline, { connections, opened, following });
  const embedded = await openEmbeddedBroker(inForce.config(), pipeline, connections);
  opened.embedded = embedded;
  opened.exporter = createExporter(queue.lease, (error) => events.failed({ where: "exporter", error }));
  const ops = await openOpsEndpoint({
    ...{ inForce, pipeline, watch, startedAtMs, trail, connections, tenants },
    own: () => ({
      brokers: [...(embedded ? [embedded.state()] : []), ...(opened.brokers?.states() ?? [])],
      pollers: opened.pollers?.states() ?? [],
      self: following.self(),
    }),
    reload: following.request,
    exportsRedis: () => opened.exporter?.exports() ?? false,
  });
  opened.ops = ops;
  // Leases last: a process that fails to open its ports must not take a session or a feed from a healthy one.
  openLeased(pipeline, opened);
  updateInputs(inForce, opened);

  const ports = {
    webhooks: webhooks.port,
    ops: ops.port,
    ...(embedded ? { mqtt: embedded.port } : {}),
  };
  trail.record({ ...BY_ITSELF, action: "configuration_loaded", filter: { version: VERSION }, count: null });
  const { sources, destinations } = inForce.config();
  events.started({
    version: VERSION,
    ports,
    sources: Object.keys(sources).length,
    destinations: Object.keys(destinations).length,
  });
  opened.eventLoop = watchEventLoop(events);
  opened.accounting = startAccountingCheck({ queryStatus: queue.queryStatus, events });

  return {
    webhookPort: webhooks.port,
    opsPort: ops.port,
    brokerPort: embedded?.port ?? null,
    status: queue.queryStatus,
    latency: () => ({ p50Ms: latency.percentile(50), p99Ms: latency.percentile(99) }),
    reload: () => following.reload("signal"),
    close() {
      const { shutdownMs } = inForce.config();
      events.stopping({ withinMs: shutdownMs });
      return closeAll(opened, shutdownMs);
    },
  };
}

const UNCHECKED = {
  kind: "wrong",
  problems: [
    { path: "", message: "cannot be checked: the gateway was started without a configuration to read" },
  ],
} as const;

async function openWebhooks(
  { config, webhookSources }: InForce,
  { queue, ingest, spool, proxy, events }: Pipeline,
  { connections, opened, following }: { connections: ConnectionShares; opened: Opened; following: Following },
): Promise<WebhookServer> {
  const { http } = config();
  const { host, port, tls, trustedProxies } = http;
  const announcement = queue.announce(webhookSources.keys());
  opened.announcement = announcement;
  const confirmVia = createDispatcher(proxy);
  opened.confirmVia = confirmVia;
  const webhooks = await explainListenError("http", http, () =>
    serveWebhooks({
      app: createWebhookApp({
        sources: webhookSources,
        isKnownElsewhere: async (source) =>
          !following.knowsTenants() || (await announcement.isKnownElsewhere(source)),
        ingest: spool?.ingest ?? ingest,
        limits: http,
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

/** Broker sessions and polled feeds: of all processes, the one that holds the lease has them. */
function openLeased({ queue, ingest, proxy, events }: Pipeline, opened: Opened): void {
  opened.brokers = leasedBrokers({ acquireLease: queue.lease, ingest, events });
  opened.pollers = leasedPollers({
    acquireLease: queue.lease,
    cursors: queue.cursors,
    ingest,
    proxy,
    events,
  });
}

/** Has every input follow the configuration in force. */
function updateInputs({ config, sources, webhookSources }: InForce, opened: Opened): void {
  const now = config();
  opened.embedded?.setDevices(now.mqtt.listen?.devices ?? [], sources);
  opened.brokers?.update(wantedBrokersOf(now, sources));
  opened.pollers?.update(wantedPollersOf(now, sources));
  opened.announcement?.update(webhookSources.keys());
}

async function closeAll(opened: Opened, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  const inputsMs = withinMs * INPUTS_SHARE;
  opened.following?.stop();
  opened.tenants?.documents.stop();
  await Promise.all([
    opened.webhooks?.close(inputsMs),
    opened.embedded?.close(inputsMs),
    opened.brokers?.close(inputsMs),
    opened.pollers?.close(inputsMs),
    opened.exporter?.close(),
  ]);
  opened.mappings?.stop();
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
