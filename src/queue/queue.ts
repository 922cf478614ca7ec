/** Builds the queue: store, lanes, jobs, delivery, upkeep, and what ops may look up. */

import type { Redis } from "ioredis";
import type { Events } from "../events/events.ts";
import type { Store } from "../ingest/store.ts";
import type { Client } from "../servicetitan/client.ts";
import type { QueueStatus } from "../status/queue.ts";
import { createJobs, type Jobs } from "./batch/jobs.ts";
import { createLanes } from "./batch/lanes.ts";
import { createDelivery } from "./deliver/deliver.ts";
import type { DeliveryEvents } from "./deliver/delivery-events.ts";
import { type CaptureStore, createCaptureStore } from "./ledger/captures.ts";
import { createNewest, type Newest } from "./ledger/newest.ts";
import { createQuarantine } from "./ledger/quarantine.ts";
import { createRedrive, type Redrive } from "./ledger/redrive.ts";
import { createTrailStore, type TrailStore } from "./ledger/trail.ts";
import { createFinder, type Finder } from "./lookup/find.ts";
import type { StatusSource } from "./lookup/source-status.ts";
import { createStatus } from "./lookup/status.ts";
import { createTimeline, type Timelines } from "./lookup/timeline.ts";
import { isConnectionError, watchConnections, whyRedisIsAway } from "./redis/away.ts";
import { type ClockCheck, createClockCheck } from "./redis/clock.ts";
import { type CursorStore, createCursorStore } from "./redis/cursors.ts";
import type { QueueDestination } from "./redis/destination.ts";
import { createEndedSessions, type EndedSessions } from "./redis/ended-sessions.ts";
import { keyOf, SHARED_KEYS } from "./redis/keys.ts";
import { holdLease, type Lease, type LeaseEvents } from "./redis/lease.ts";
import { type Announcement, announce } from "./redis/processes.ts";
import { connectRedis, type RedisSettings, readRedis } from "./redis/redis.ts";
import { createReports, type OwnReport, type Reports } from "./redis/reports.ts";
import { createTenantStore, type TenantStore } from "./redis/tenant-store.ts";
import { reviewHeld } from "./store/held.ts";
import { createRoutes, laneOf, type RoutesOptions } from "./store/routes.ts";
import { createStore } from "./store/store.ts";
import { createEraser, type Eraser } from "./upkeep/erase.ts";
import { startEviction } from "./upkeep/evict.ts";
import { type StreamBudget, startSweep } from "./upkeep/sweep.ts";

export interface QueueSource extends StatusSource {
  maxImpliedMps: number | undefined;
  minIntervalMs: number | undefined;
  maxAgeMs: number;
  /** How many devices its tenant may have, and the tenant's sources; absent: no limit. */
  devices?: { most: number; of: readonly string[] } | undefined;
}

export type QueueEvents = DeliveryEvents &
  Pick<Events, "storeTook" | "batchFormed" | "redisProblem" | "redisRecovered" | "failed">;

export interface QueueOptions {
  redis: RedisSettings & { prefix: string };
  /** What these two hold changes with the configuration; `reconfigured` is called after each change. */
  sources: ReadonlyMap<string, QueueSource>;
  destinations: ReadonlyMap<string, QueueDestination>;
  mapping: RoutesOptions["mapping"];
  /** Devices that the mapping names for a source, seen or not. */
  mappedDevices?: (source: string) => Iterable<string>;
  client: Client;
  concurrency: number;
  lockMs: number;
  stalledCheckMs: number;
  groupCommitMs: number;
  ledgerMaxAgeMs: number;
  budgets: readonly StreamBudget[];
  /** What becomes of the senders while Redis is away, in words that end a sentence. */
  whileRedisIsAway: string;
  events: QueueEvents;
}

export interface Queue extends Finder, Timelines {
  store: Store;
  /** `within`: lists and sums are those of these destinations' scopes; everything else is of all. */
  queryStatus(within?: ReadonlySet<string>): Promise<QueueStatus>;
  /** Takes dead letters and quarantined messages back into the pipeline. */
  redrive: Redrive;
  newest: Newest;
  /** The mapping changed: routes are computed anew and held readings reviewed. */
  mappingChanged(): Promise<void>;
  /** What `sources` and `destinations` hold has changed: routes are computed anew. `concurrency`: of deliveries. */
  reconfigured(concurrency: number): void;
  /** Whether the last message could be stored, and Redis is connected. */
  isStoring(): boolean;
  /** Reasons against accepting messages now; empty when there are none. */
  readiness(): Promise<string[]>;
  /** Competes for the lease of that name among all processes on this Redis and prefix. */
  lease(name: string, events: LeaseEvents): Lease;
  /** Where pull sources go on reading. */
  cursors: CursorStore;
  /** What operators did. */
  trail: TrailStore;
  endedSessions: EndedSessions;
  /** Tenants that came through the API. */
  tenants: TenantStore;
  /** Takes out what is stored of a tenant, or of one of its units. */
  erase: Eraser;
  /** The captures that operators asked for. */
  captures: CaptureStore;
  /** Announces to the other processes which sources this one knows, and asks them. */
  announce(sources: Iterable<string>): Announcement;
  /** Tells the other processes what only this one knows, and asks what they know. */
  reports(own: () => OwnReport): Reports;
  /** Forms no more batches, lets deliveries in flight end, writes what is still to be counted. */
  close(): Promise<void>;
}

/** Held readings are reviewed this often even without a change of the mapping: they also grow too old. */
const REVIEW_HELD_EVERY_MS = 10_000;

export function createQueue(options: QueueOptions): Queue {
  const { destinations, sources, events, ledgerMaxAgeMs } = options;
  const { prefix } = options.redis;
  const failedAt = (where: string) => (error: unknown) => events.failed({ where, error });
  const { ingestRedis, workRedis } = connect(options);
  const clock = createClockCheck((problem) => events.redisProblem({ problem }));

  const routes = createRoutes({ destinations, sources, mapping: options.mapping });
  const quarantine = createQuarantine({
    redis: ingestRedis,
    bytes: options.budgets.find(({ name }) => name === "quarantine")?.bytes ?? Number.POSITIVE_INFINITY,
    trimmed: ({ count }) => events.sweepFound({ what: "quarantine_without_room", count }),
  });
  const { jobs, lanes } = createDeliveryLoop(options, workRedis, failedAt);
  const store = createStore({
    redis: ingestRedis,
    sources,
    routes,
    quarantine,
    groupCommitMs: options.groupCommitMs,
    arrived: lanes.arrived,
    committed: ({ tookMs }) => events.storeTook(tookMs),
  });
  const review = () => reviewHeld({ redis: workRedis, sources, routes, arrived: lanes.arrived });
  const upkeep = startUpkeep({ options, redis: workRedis, jobs, lanes, clock, review, failedAt });
  const queryStatus = createStatus({ redis: ingestRedis, destinations, sources, routes, jobs });

  return {
    ...createFinder({ redis: ingestRedis, destinations, sources, quarantine, ledgerMaxAgeMs }),
    ...createTimeline({
      redis: ingestRedis,
      destinations,
      sources,
      mapping: options.mapping,
      mappedDevices: options.mappedDevices ?? (() => []),
      ledgerMaxAgeMs,
    }),
    store,
    async queryStatus(within) {
      const status = await queryStatus(within).catch((error: unknown) => {
        if (ingestRedis.status === "ready") throw error;
        throw new Error(whyRedisIsAway(ingestRedis, error), { cause: error });
      });
      const problem = clock.problem();
      if (problem === null) return status;
      return { ...status, redis: { ...status.redis, problems: [...status.redis.problems, problem] } };
    },
    newest: createNewest({ redis: ingestRedis, destinations }),
    redrive: createRedrive({
      redis: workRedis,
      destinations,
      backlogOf(name, unit, source) {
        const lanesOf = destinations.get(name)?.lanes ?? 1;
        return `${name}|${laneOf(unit, lanesOf)}|${source}`;
      },
      routesOf: routes.of,
      arrived: lanes.arrived,
    }),
    async mappingChanged() {
      routes.recompute();
      await review();
    },
    reconfigured(concurrency) {
      routes.recompute();
      jobs.allow(concurrency);
    },
    isStoring: () => ingestRedis.status === "ready" && !store.isAway(),
    async readiness() {
      const { reachable, writable, problems } = await readRedis(ingestRedis);
      if (!reachable || !writable) return problems;
      const problem = clock.problem();
      // Every fix would be validated against a wrong clock: another process should accept it, or its sender retry.
      return problem === null ? [] : [problem];
    },
    lease: (name, leaseEvents) => holdLease(ingestRedis, keyOf(prefix, SHARED_KEYS.lease, name), leaseEvents),
    cursors: createCursorStore(ingestRedis, prefix),
    trail: createTrailStore(ingestRedis, prefix),
    endedSessions: createEndedSessions(ingestRedis, prefix),
    tenants: createTenantStore(ingestRedis, prefix),
    erase: createEraser({ redis: workRedis, destinations, ledgerMaxAgeMs }),
    captures: createCaptureStore(ingestRedis, prefix),
    reports: (own) => createReports(ingestRedis, prefix, { own }),
    announce: (names) => announce(ingestRedis, prefix, names),
    async close() {
      lanes.stop();
      upkeep.stop();
      await jobs.close();
      await store.drain().catch(failedAt("closing"));
      ingestRedis.disconnect();
      workRedis.disconnect();
    },
  };
}

type FailedAt = (where: string) => (error: unknown) => void;

/** Two connections, because ingest fails fast while Redis is away, and work waits for it. */
function connect({ redis, whileRedisIsAway, events }: QueueOptions) {
  const ingestRedis = connectRedis(redis, "ingest");
  const workRedis = connectRedis(redis, "jobs");
  watchConnections([ingestRedis, workRedis], whileRedisIsAway, events);
  return { ingestRedis, workRedis };
}

/** Lanes form batches, jobs wake a worker for each, delivery sends it; then its lane is asked for the next one. */
function createDeliveryLoop(options: QueueOptions, redis: Redis, failedAt: FailedAt) {
  const { destinations, events } = options;
  const delivery = createDelivery({
    redis,
    client: options.client,
    destinations,
    ledgerMaxAgeMs: options.ledgerMaxAgeMs,
    events,
    freed: (batch) => lanes.freed(batch),
  });
  const jobs = createJobs({
    redis,
    // BullMQ's keys hold ids only and have a hash tag of their own.
    prefix: `{${options.redis.prefix}-jobs}`,
    concurrency: options.concurrency,
    lockMs: options.lockMs,
    stalledCheckMs: options.stalledCheckMs,
    deliver: delivery.deliver,
    failed(error) {
      // Our own connections to the same Redis tell it.
      if (!isConnectionError(error)) failedAt("delivery")(error);
    },
  });
  const lanes = createLanes({
    redis,
    destinations,
    failed: failedAt("batch"),
    async batchFormed(batch) {
      const { id: batchId, destination, lane, records } = batch;
      delivery.rememberBatch(batch);
      const bytes = records.reduce((sum, record) => sum + record.length, 0);
      events.batchFormed({ destination, lane, batchId, pings: records.length, bytes });
      await jobs.wake({ destination, lane, batchId });
    },
  });
  return { jobs, lanes };
}

interface UpkeepDeps {
  options: QueueOptions;
  redis: Redis;
  jobs: Jobs;
  lanes: ReturnType<typeof createLanes>;
  clock: ClockCheck;
  review(): Promise<void>;
  failedAt: FailedAt;
}

/** Sweep, eviction, and the review of held readings. */
function startUpkeep({ options, redis, jobs, lanes, clock, review, failedAt }: UpkeepDeps): { stop(): void } {
  const { destinations, sources, events } = options;
  const sweep = startSweep({
    redis,
    destinations,
    budgets: options.budgets,
    laneNeedsBatch: lanes.needsBatch,
    batchSilent(destination, lane, batchId) {
      jobs.wake({ destination, lane, batchId }).catch(failedAt("sweep"));
    },
    clockRead: clock.observe,
    emptied: ({ scope }) => events.redisProblem({ problem: `emptied: what ${scope} held is gone` }),
    trimmed: ({ stream, noRoom, tooOld }) => {
      if (noRoom > 0) events.sweepFound({ what: `${stream}_without_room`, count: noRoom });
      if (tooOld > 0) events.sweepFound({ what: `${stream}_too_old`, count: tooOld });
    },
    failed: failedAt("sweep"),
  });
  const eviction = startEviction({
    redis,
    sources,
    destinations,
    timelineMaxAgeMs: options.ledgerMaxAgeMs,
    failed: failedAt("sweep"),
  });
  const timer = setInterval(() => review().catch(failedAt("held")), REVIEW_HELD_EVERY_MS);
  return {
    stop() {
      sweep.stop();
      eviction.stop();
      clearInterval(timer);
    },
  };
}
