/** Builds the queue from its parts: keep, lanes, jobs, delivery, sweep, and the questions ops may ask. */

import type { Events } from "../events.ts";
import type { Store } from "../ingest/store.ts";
import type { Client } from "../servicetitan/client.ts";
import type { QueueStatus } from "../status.ts";
import { createJobs } from "./batch/jobs.ts";
import { createLanes } from "./batch/lanes.ts";
import { createDelivery } from "./deliver/deliver.ts";
import type { DeliveryEvents } from "./deliver/delivery-events.ts";
import { type FoundPing, findPings } from "./ledger/ledger.ts";
import { createQuarantine, type QuarantinedMessage } from "./ledger/quarantine.ts";
import { createRedrive, type Redrive } from "./ledger/redrive.ts";
import { createTrailStore, type TrailStore } from "./ledger/trail.ts";
import { lookFor, type Whereabouts } from "./lookup/locate.ts";
import { createStatus, type StatusSource } from "./lookup/status.ts";
import { createClockCheck } from "./redis/clock.ts";
import { type CursorStore, createCursorStore } from "./redis/cursors.ts";
import type { QueueDestination } from "./redis/destination.ts";
import { createEndedSessions, type EndedSessions } from "./redis/ended-sessions.ts";
import { holdLease, type Lease, type LeaseEvents } from "./redis/lease.ts";
import { type Announcement, announce } from "./redis/processes.ts";
import { connectRedis, type RedisSettings, readRedis } from "./redis/redis.ts";
import { reviewHeld } from "./store/held.ts";
import { createRoutes, laneOf, type RoutesOptions } from "./store/routes.ts";
import { createStore } from "./store/store.ts";
import { startForgetting } from "./upkeep/evict.ts";
import { type StreamBudget, startSweep } from "./upkeep/sweep.ts";

export interface QueueSource extends StatusSource {
  maxImpliedMps: number | undefined;
  minIntervalMs: number | undefined;
  maxAgeMs: number;
}

export type QueueEvents = DeliveryEvents &
  Pick<Events, "storeTook" | "batchFormed" | "redisProblem" | "redisRecovered" | "failed">;

export interface QueueOptions {
  redis: RedisSettings & { prefix: string };
  sources: ReadonlyMap<string, QueueSource>;
  destinations: ReadonlyMap<string, QueueDestination>;
  mapping: RoutesOptions["mapping"];
  client: Client;
  concurrency: number;
  lockMs: number;
  stalledCheckMs: number;
  groupCommitMs: number;
  ledgerMaxAgeMs: number;
  budgets: readonly StreamBudget[];
  events: QueueEvents;
}

export interface PingQuestion {
  destination: string;
  unit: string;
  /** Fix times, UTC milliseconds since 1970. */
  from: number;
  to: number;
  /** Of more pings only those settled last. */
  limit?: number;
}

export interface Queue {
  store: Store;
  /** `within`: lists and sums are those of these destinations' scopes; everything else is of all. */
  queryStatus(within?: ReadonlySet<string>): Promise<QueueStatus>;
  findPings(question: PingQuestion): Promise<FoundPing[]>;
  /** What of a unit has not come to an end yet; null for a destination that is not configured. */
  lookFor(destination: string, unit: string): Promise<Whereabouts | null>;
  /**
   * One message of the quarantine, whole. `source` tells apart what got one id in two scopes; other sources than those of
   * `within` count as not there.
   */
  quarantined(
    id: string,
    source: string | null,
    within?: ReadonlySet<string>,
  ): Promise<QuarantinedMessage | null>;
  /** Sends dead letters and quarantined messages on their way again. */
  redrive: Redrive;
  /** The mapping changed: routes are worked out anew and held readings looked through. */
  mappingChanged(): Promise<void>;
  /** What there is to say against taking messages now; empty when there is nothing. */
  readiness(): Promise<string[]>;
  /** Holds the lease of that name among all processes on this Redis and prefix. */
  lease(name: string, events: LeaseEvents): Lease;
  /** Where pull sources go on reading. */
  cursors: CursorStore;
  /** What operators did. */
  trail: TrailStore;
  endedSessions: EndedSessions;
  /** Tells the other processes which sources this one knows, and asks them. */
  announce(sources: Iterable<string>): Announcement;
  /** Stops cutting, lets deliveries under way end, writes what is still to be counted. */
  close(): Promise<void>;
}

/** Held readings are looked through this often even without a change of the mapping: they also grow too old. */
const HELD_EVERY_MS = 10_000;

export function createQueue(options: QueueOptions): Queue {
  const { destinations, sources, client, events } = options;
  const ingestRedis = connectRedis(options.redis, "ingest");
  const workRedis = connectRedis(options.redis, "jobs");
  let awaySince: number | null = null;
  ingestRedis.on("error", (error) => {
    awaySince ??= performance.now();
    events.redisProblem({ problem: "connection", error });
  });
  ingestRedis.on("ready", () => {
    if (awaySince !== null) events.redisRecovered({ afterMs: performance.now() - awaySince });
    awaySince = null;
  });
  workRedis.on("error", (error) => events.redisProblem({ problem: "connection", error }));
  const clock = createClockCheck((problem) => events.redisProblem({ problem }));
  const failedAt = (where: string) => (error: unknown) => events.failed({ where, error });

  const routes = createRoutes({ destinations, sources, mapping: options.mapping });
  const quarantine = createQuarantine({
    redis: ingestRedis,
    bytes: options.budgets.find(({ name }) => name === "quarantine")?.bytes ?? Number.POSITIVE_INFINITY,
    trimmed: ({ count }) => events.sweepFound({ what: "quarantine_without_room", count }),
  });
  const delivery = createDelivery({
    redis: workRedis,
    client,
    destinations,
    ledgerMaxAgeMs: options.ledgerMaxAgeMs,
    events,
    freed: (batch) => lanes.freed(batch),
  });
  const jobs = createJobs({
    redis: workRedis,
    // BullMQ's keys hold ids only and have a hash tag of their own.
    prefix: `{${options.redis.prefix}-jobs}`,
    concurrency: options.concurrency,
    lockMs: options.lockMs,
    stalledCheckMs: options.stalledCheckMs,
    deliver: delivery.deliver,
    failed: failedAt("delivery"),
  });
  const lanes = createLanes({
    redis: workRedis,
    destinations,
    failed: failedAt("cut"),
    async cutDone(batch) {
      delivery.handOver(batch);
      events.batchFormed(batchEvent(batch));
      await jobs.wake({ destination: batch.destination, lane: batch.lane, batchId: batch.id });
    },
  });
  const store = createStore({
    redis: ingestRedis,
    sources,
    routes,
    quarantine,
    groupCommitMs: options.groupCommitMs,
    arrived: lanes.arrived,
    committed: ({ tookMs }) => events.storeTook(tookMs),
  });
  const sweep = startSweep({
    redis: workRedis,
    destinations,
    budgets: options.budgets,
    found: lanes.found,
    silent(destination, lane, batchId) {
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

  const queryStatus = createStatus({ redis: ingestRedis, destinations, sources, routes, quarantine, jobs });
  const everySource = [...sources.values()];
  const forgetting = startForgetting({
    redis: workRedis,
    sources: everySource,
    destinations: destinations.values(),
    failed: failedAt("sweep"),
  });
  const review = () => reviewHeld({ redis: workRedis, sources: everySource, routes, arrived: lanes.arrived });
  const heldTimer = setInterval(() => review().catch(failedAt("held")), HELD_EVERY_MS);

  return {
    store,
    async queryStatus(within) {
      const status = await queryStatus(within);
      const problem = clock.problem();
      if (problem === null) return status;
      return { ...status, redis: { ...status.redis, problems: [...status.redis.problems, problem] } };
    },
    async findPings({ destination: name, unit, from, to, limit = Number.POSITIVE_INFINITY }) {
      const destination = destinations.get(name);
      if (!destination) return [];
      const maxDelayMs = Number.isFinite(destination.maxAgeMs)
        ? destination.maxAgeMs
        : options.ledgerMaxAgeMs;
      return findPings(ingestRedis, {
        scope: destination.scope,
        destination: name,
        unit,
        from,
        to,
        maxDelayMs,
        limit,
      });
    },
    async lookFor(name, unit) {
      const destination = destinations.get(name);
      if (!destination) return null;
      const own = everySource.filter((source) => source.destination === name).map((source) => source.name);
      return lookFor(ingestRedis, destination, unit, own);
    },
    async quarantined(id, source, within) {
      for (const scope of new Set(everySource.map(({ home }) => home))) {
        const found = await quarantine.find(scope, id);
        if (!found || within?.has(found.source) === false) continue;
        if (source === null || found.source === source) return found;
      }
      return null;
    },
    redrive: createRedrive({
      redis: workRedis,
      destinations,
      lineOf(name, unit, source) {
        const lanes = destinations.get(name)?.lanes ?? 1;
        return `${name}|${laneOf(unit, lanes)}|${source}`;
      },
      routesOf: routes.of,
      arrived: lanes.arrived,
    }),
    async mappingChanged() {
      routes.forget();
      await review();
    },
    async readiness() {
      const { reachable, writable, problems } = await readRedis(ingestRedis);
      if (!reachable || !writable) return problems;
      const problem = clock.problem();
      // Every fix would be judged by a wrong clock: better another process takes it, or the sender keeps it.
      return problem === null ? [] : [problem];
    },
    lease: (name, leaseEvents) =>
      holdLease(ingestRedis, `${options.redis.prefix}:lease:${name}`, leaseEvents),
    cursors: createCursorStore(ingestRedis, options.redis.prefix),
    trail: createTrailStore(ingestRedis, options.redis.prefix),
    endedSessions: createEndedSessions(ingestRedis, options.redis.prefix),
    announce: (names) => announce(ingestRedis, options.redis.prefix, names),
    async close() {
      lanes.stop();
      sweep.stop();
      forgetting.stop();
      clearInterval(heldTimer);
      await jobs.close();
      await store.drain().catch(failedAt("closing"));
      ingestRedis.disconnect();
      workRedis.disconnect();
    },
  };
}

function batchEvent({
  id,
  destination,
  lane,
  records,
}: {
  id: string;
  destination: string;
  lane: number;
  records: string[];
}) {
  const bytes = records.reduce((sum, record) => sum + record.length, 0);
  return { destination, lane, batchId: id, pings: records.length, bytes };
}
