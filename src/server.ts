/** The composition root: configuration in, parts built and joined, ports opened; and all of it closed again in order. */

import type { AddressInfo } from "node:net";
import { createHistogram } from "node:perf_hooks";
import { serve } from "@hono/node-server";
import type { Logger } from "pino";
import { collectDefaultMetrics, Registry } from "prom-client";
import { adapters } from "./adapters/index.ts";
import { type EmbeddedBroker, startBroker } from "./broker.ts";
import type { Config } from "./config.ts";
import { createEvents, type Events } from "./events.ts";
import { createIntake, type Intake, type Source } from "./intake.ts";
import { createLogger } from "./log.ts";
import { type WatchedMapping, watchMapping } from "./mapping.ts";
import { type BrokerConnection, connectBroker } from "./mqtt.ts";
import { createOpsApp, type SentPing } from "./ops/app.ts";
import { createClockWatch } from "./ops/clocks.ts";
import { policiesOf } from "./ops/policies.ts";
import type { BrokerState, QueueStatus } from "./status.ts";
import {
  brokerSettingsOf,
  budgetsOf,
  destinationsOf,
  EMBEDDED,
  intakeSourcesOf,
  queueSourcesOf,
  subscriptionsOf,
  tlsOf,
} from "./parts.ts";
import { createQueue, type Queue } from "./queue/queue.ts";
import { MPS_PER } from "./reading.ts";
import { createClient } from "./servicetitan/client.ts";
import { createWebhookApp, serveWebhooks } from "./webhook.ts";

export const VERSION = "0.1.0";

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

/** A configuration that is right in itself, but not for this machine: a file, a port. */
export class CannotStart extends Error {
  readonly problems: string[];
  constructor(problems: string[], cause?: unknown) {
    super(`Cannot start: ${problems.join("; ")}`, { cause });
    this.name = "CannotStart";
    this.problems = problems;
  }
}

/** Of what is left for closing, webhooks and brokers get this share; the rest is for deliveries. */
const INTAKE_SHARE = 0.3;

export async function startGateway(
  config: Config,
  logger: Logger = createLogger({ level: config.log.level }),
): Promise<Gateway> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const latency = createHistogram();
  const clocks = createClockWatch();
  const events = timed(createEvents({ logger, registry }), (latencyMs) => {
    // A histogram of integers from 1; a clock set back between arrival and answer is not a latency.
    latency.record(Math.max(1, Math.round(latencyMs)));
  });

  const destinations = destinationsOf(config);
  let queue: Queue | null = null;
  const mapping = config.mapping ? await mappingOf(config, events, () => void queue?.mappingChanged()) : null;
  const { httpProxy = null, httpsProxy = null, noProxy = "" } = config.proxy;
  const client = createClient({ proxy: { httpProxy, httpsProxy, noProxy } });
  queue = createQueue({
    redis: config.redis,
    sources: queueSourcesOf(config, destinations),
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
  const sources = intakeSourcesOf(config, adapters);
  const intake = createIntake({ keep: queue.keep, events: { ...events, fixSeen: clocks.observe } });

  const webhooks = await serveWebhooks({
    app: createWebhookApp({
      sources: new Map([...sources].filter(([, source]) => source.proof !== null)),
      intake,
      limits: config.http,
      trustedProxies: config.http.trustedProxies,
      events,
    }),
    host: config.http.host,
    port: config.http.port,
    tls: tlsOf(config.http.tls),
  });
  const embedded = await embeddedBroker(config, sources, intake, events);
  const remote = Object.keys(config.mqtt.brokers).map((name) =>
    leasedBroker(name, { config, queue, sources, intake, events }),
  );

  const opened = queue;
  const ops = createOpsApp({
    token: config.ops.token,
    queryStatus: opened.queryStatus,
    queryPings: (question) => sentPings(question, { config, mapping, queue: opened }),
    brokers: () => [
      ...(embedded ? [embeddedState(embedded)] : []),
      ...remote.map((broker) => broker.state()),
    ],
    clocks,
    registry,
    async ready() {
      const problems = await opened.readiness();
      return { ready: problems.length === 0, problems };
    },
    info: { version: VERSION, startedAtMs: Date.now(), policies: policiesOf(config) },
    events,
  });
  const opsServer = await listen(ops.fetch, config.ops);
  const ports = {
    webhooks: webhooks.port,
    ops: opsServer.port,
    ...(embedded ? { mqtt: embedded.port } : {}),
  };
  events.started({ version: VERSION, ports, sources: sources.size, destinations: destinations.size });

  return {
    webhookPort: webhooks.port,
    opsPort: opsServer.port,
    brokerPort: embedded?.port ?? null,
    status: opened.queryStatus,
    latency: () => ({ p50Ms: latency.percentile(50), p99Ms: latency.percentile(99) }),
    async close() {
      const intakeMs = config.shutdownMs * INTAKE_SHARE;
      await Promise.all([
        webhooks.close(intakeMs),
        embedded?.close(intakeMs),
        ...remote.map((broker) => broker.close(intakeMs)),
      ]);
      mapping?.stop();
      await opened.close();
      await client.close();
      await opsServer.close();
    },
  };
}

function timed(events: Events, delivered: (latencyMs: number) => void): Events {
  return {
    ...events,
    deliveryLatency(destination, latencyMs) {
      events.deliveryLatency(destination, latencyMs);
      delivered(latencyMs);
    },
  };
}

async function mappingOf(config: Config, events: Events, changed: () => void): Promise<WatchedMapping> {
  const file = config.mapping?.file ?? "";
  const loaded = await watchMapping(file, config, {
    events: {
      ...events,
      mappingReloaded(event) {
        events.mappingReloaded(event);
        changed();
      },
    },
  });
  if (loaded.kind === "broken")
    throw new CannotStart(loaded.problems.map((problem) => `${file}: ${problem}`));
  return loaded.mapping;
}

async function embeddedBroker(
  config: Config,
  sources: ReadonlyMap<string, Source>,
  intake: Intake,
  events: Events,
): Promise<EmbeddedBroker | null> {
  const { listen: settings } = config.mqtt;
  if (!settings) return null;
  return startBroker({ ...settings, tls: tlsOf(settings.tls), sources, intake, events });
}

interface LeasedBroker {
  state(): BrokerState;
  close(withinMs: number): Promise<void>;
}

/** A broker session has one user: of all gateway processes the one that holds the lease connects, the others stand by. */
function leasedBroker(
  name: string,
  parts: {
    config: Config;
    queue: Queue;
    sources: ReadonlyMap<string, Source>;
    intake: Intake;
    events: Events;
  },
): LeasedBroker {
  const { config, queue, sources, intake, events } = parts;
  const settings = config.mqtt.brokers[name];
  if (!settings) throw new Error(`Broker "${name}" is not configured.`);
  let connection: BrokerConnection | null = null;
  let standingBySince = Date.now();
  const lease = queue.lease(`broker:${name}`, {
    acquired() {
      const subscriptions = subscriptionsOf(config, sources, name);
      connection = connectBroker({
        broker: name,
        settings: brokerSettingsOf(settings),
        subscriptions,
        intake,
        events,
      });
    },
    lost() {
      standingBySince = Date.now();
      // What is not acknowledged comes again to whoever connects next.
      connection?.close(0).catch((error: unknown) => events.failed({ where: `broker ${name}`, error }));
      connection = null;
    },
  });
  return {
    state: () => (connection ? clientState(connection) : standby(name, standingBySince)),
    async close(withinMs) {
      await connection?.close(withinMs);
      await lease.close();
    },
  };
}

function clientState(connection: BrokerConnection): BrokerState {
  const { broker, connected, since, lastError, unacked } = connection.state();
  return {
    name: broker,
    kind: "client",
    state: connected ? "connected" : lastError === null ? "connecting" : "disconnected",
    since: new Date(since).toISOString(),
    reason: connected ? null : lastError,
    unkept: unacked,
    clients: null,
  };
}

function standby(name: string, sinceMs: number): BrokerState {
  const since = new Date(sinceMs).toISOString();
  const reason = "another process holds the lease";
  return { name, kind: "client", state: "standby", since, reason, unkept: 0, clients: null };
}

const startedAt = new Date().toISOString();

function embeddedState(broker: EmbeddedBroker): BrokerState {
  const { connections, unkept } = broker.state();
  return {
    name: EMBEDDED,
    kind: "embedded",
    state: "connected",
    since: startedAt,
    reason: null,
    unkept,
    clients: connections,
  };
}

/** The read-back of design §9: the pings of a mapped technician's units, as they were sent. */
async function sentPings(
  { technicianId, fromUtc, toUtc }: { technicianId: string; fromUtc: string; toUtc: string },
  { config, mapping, queue }: { config: Config; mapping: WatchedMapping | null; queue: Queue },
): Promise<{ items: SentPing[]; reachesBackTo: string | null }> {
  const found = await Promise.all(
    Object.entries(config.destinations).flatMap(([destination, { speedUnit }]) =>
      (mapping?.unitsOf(technicianId) ?? []).map(async (unit) => {
        const question = { destination, unit, from: Date.parse(fromUtc), to: Date.parse(toUtc) };
        const pings = await queue.findPings(question);
        return pings
          .filter(({ fate, technician }) => fate === "delivered" && technician === technicianId)
          .map(({ latitude, longitude, speedMps, headingDeg, fixTime }) => ({
            latitude,
            longitude,
            speed: speedMps === null ? null : Math.round((speedMps / MPS_PER[speedUnit]) * 100) / 100,
            heading: headingDeg,
            utcDateTime: new Date(fixTime).toISOString(),
          }));
      }),
    ),
  );
  const items = found.flat().sort((a, b) => a.utcDateTime.localeCompare(b.utcDateTime));
  const { ledger } = await queue.queryStatus();
  return { items, reachesBackTo: ledger.reachesBackTo };
}

async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  { host, port }: { host: string; port: number },
): Promise<{ port: number; close(): Promise<void> }> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, hostname: host, port }, (info: AddressInfo) => {
      resolve({
        port: info.port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            if ("closeAllConnections" in server) server.closeAllConnections();
          }),
      });
    });
    server.once("error", reject);
  });
}
