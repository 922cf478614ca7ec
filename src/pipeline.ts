/** Builds the pipeline from ingest to ServiceTitan, which the inputs feed and the ops endpoint shows. */

import { createHistogram } from "node:perf_hooks";
import type { Logger } from "pino";
import { collectDefaultMetrics, Registry } from "prom-client";
import { createTap, type Tap } from "./capture/tap.ts";
import type { Config } from "./config/config.ts";
import type { Events } from "./events/events.ts";
import { logLevelOf } from "./events/log.ts";
import { createEvents } from "./events/writer.ts";
import { createShares } from "./ingest/decode-shares.ts";
import { createIngest } from "./ingest/ingest.ts";
import type { MappingEvents } from "./mapping/mapping.ts";
import { createMappings, type Mappings, mappingPartsOf } from "./mapping/mappings.ts";
import { createClockWatch } from "./ops/diagnose/clocks.ts";
import { createIncidents } from "./ops/incidents.ts";
import { createQueue, type Queue } from "./queue/queue.ts";
import { isConnectionLost } from "./queue/redis/away.ts";
import type { InForce } from "./reload/in-force.ts";
import { type Client, createClient } from "./servicetitan/client.ts";
import { openSpool, type Spool } from "./spool/spool.ts";
import { StartupError } from "./startup/error.ts";
import type { OperatorEvent } from "./status/operators.ts";
import type { SpoolStatus } from "./status/process.ts";
import { iso } from "./time.ts";
import { messageOf } from "./untrusted.ts";
import { budgetsOf } from "./wiring.ts";

/** What has to be closed again, as far as it has been opened. */
export interface OpenedPipeline {
  mappings?: Mappings;
  client?: Client;
  queue?: Queue;
  tap?: Tap;
  spool?: Spool;
}

type MappingChanged = (change: Pick<OperatorEvent, "filter" | "count" | "outcome">) => void;

/** Gauges under a counter's name; the ones they sum up stay. */
const SUMS_OF_OTHERS = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** The events, and what is shown of them beside the log and the metrics. */
export function createWatch(logger: Logger, { perDestination }: { perDestination: boolean }) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of SUMS_OF_OTHERS) registry.removeSingleMetric(name);
  const latency = createHistogram();
  const incidents = createIncidents();
  const written = createEvents({
    logger,
    registry,
    perDestination,
    isSaidAlready: isConnectionLost,
  });
  const events: Events = {
    ...written,
    deliveryLatency(destination, latencyMs) {
      written.deliveryLatency(destination, latencyMs);
      // A histogram of integers from 1; a clock set back between arrival and answer is not a latency.
      latency.record(Math.max(1, Math.round(latencyMs)));
    },
    incident(event) {
      written.incident(event);
      incidents.note(event);
    },
    incidentEnded(event) {
      if (incidents.ended(event)) written.incidentEnded(event);
    },
  };
  return { registry, latency, incidents, clocks: createClockWatch(), events, logLevel: logLevelOf(logger) };
}
export type Watch = ReturnType<typeof createWatch>;

/** From ingest to ServiceTitan: everything that the inputs feed and the ops endpoint shows. */
export async function openPipeline(
  inForce: InForce,
  { events, clocks }: Watch,
  opened: OpenedPipeline,
  mappingChanged: MappingChanged,
) {
  const config = inForce.config();
  const { destinations, queueSources, sources } = inForce;
  const mappings = createMappings(
    mappingEvents(events, (change) => {
      mappingChanged(change);
      if (change.outcome !== "done") return;
      // The new rows count from now on; what was held for them is looked through again every few seconds.
      opened.queue?.mappingChanged().catch((error: unknown) => events.failed({ where: "mapping", error }));
    }),
  );
  opened.mappings = mappings;
  const prepared = await mappings.prepare(mappingPartsOf(config));
  if (prepared.kind === "broken") throw new StartupError(prepared.problems);
  prepared.apply();
  const { httpProxy = null, httpsProxy = null, noProxy = "" } = config.proxy;
  const proxy = { httpProxy, httpsProxy, noProxy };
  const client = createClient({ proxy });
  opened.client = client;
  const queue = createQueue({
    redis: config.redis,
    sources: queueSources,
    destinations,
    mapping: mappings.routes,
    mappedDevices: mappings.devicesOf,
    client,
    concurrency: config.queue.concurrency,
    lockMs: config.queue.lockMs,
    stalledCheckMs: config.queue.stalledCheckMs,
    groupCommitMs: config.queue.groupCommitMs,
    ledgerMaxAgeMs: config.queue.ledgerMaxAgeMs,
    budgets: budgetsOf(config),
    whileRedisIsAway: config.spool ? "webhooks wait in the spool until then." : "senders get 503 until then.",
    events,
  });
  opened.queue = queue;
  const shares = createShares({
    usedUp: (source, waitedMs) =>
      events.incident({
        ...{ kind: "share_used_up", where: `source ${source}`, subject: source },
        facts: { waitedMs: String(Math.round(waitedMs)) },
      }),
  });
  const tap = createTap({
    store: queue.captures,
    failed: (error) => events.failed({ where: "capture", error }),
  });
  opened.tap = tap;
  const ingest = createIngest({
    store: queue.store,
    shares,
    events: { ...events, fixSeen: clocks.observe },
    ingested: tap.note,
  });
  const spool = await spoolFor(config, { ingest, sources, queue, events });
  if (spool) opened.spool = spool;
  const spoolStatus = () => (spool ? statusOf(spool) : null);
  return { mappings, proxy, queue, sources, shares, ingest, spool, spoolStatus, events };
}
export type Pipeline = Awaited<ReturnType<typeof openPipeline>>;

function statusOf(spool: Spool): SpoolStatus {
  const { oldestAt, ...state } = spool.state();
  return { ...state, oldestAt: oldestAt === null ? null : iso(oldestAt) };
}

async function spoolFor(
  config: Config,
  { ingest, sources, queue, events }: Pick<Pipeline, "ingest" | "sources" | "queue" | "events">,
): Promise<Spool | null> {
  if (!config.spool) return null;
  const isStorageBack = async () => (await queue.readiness()).length === 0;
  return openSpool({ settings: config.spool, ingest, sources, isStorageBack, events }).catch(
    (error: unknown) => {
      throw new StartupError([`spool.dir: ${messageOf(error)}`], error);
    },
  );
}

function mappingEvents(events: Events, changed: MappingChanged): MappingEvents {
  return {
    mappingReloaded(event) {
      events.mappingReloaded(event);
      changed({ filter: { file: event.file }, count: event.rows, outcome: "done" });
    },
    mappingProblem(event) {
      events.mappingProblem(event);
      changed({ filter: { file: event.file }, count: event.problems.length, outcome: "failed" });
    },
  };
}
