/** Reports what is where: counters, and what waits, is held or in flight, counted in one step per scope. */

import type { Redis } from "ioredis";
import type { DestinationStatus, QueueStatus, SourceStatus } from "../../status/queue.ts";
import { iso } from "../../time.ts";
import type { Jobs } from "../batch/jobs.ts";
import { redisNow } from "../redis/clock.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { readRedis } from "../redis/redis.ts";
import { entryTime } from "../redis/stream.ts";
import type { Routes } from "../store/routes.ts";
import {
  type DestinationCount,
  hashOf,
  listOf,
  numberOf,
  type SourceCount,
  type StreamName,
} from "./count.ts";
import { destinationStatus, totalsOf } from "./destination-status.ts";
import { createFreshness } from "./freshness.ts";
import { createRecent } from "./recent.ts";
import { type CountedScope, createScopeCounts, type ScopeMembers } from "./scope-counts.ts";
import { type SourceShare, type StatusSource, sourceStatus } from "./source-status.ts";
import { readTroubled } from "./troubled.ts";

export interface StatusOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  sources: ReadonlyMap<string, StatusSource>;
  routes: Routes;
  jobs: Jobs;
}

export type QueryStatus = (within?: ReadonlySet<string>) => Promise<QueueStatus>;

export function createStatus(options: StatusOptions): QueryStatus {
  const { redis, destinations, sources } = options;
  const counts = createScopeCounts(redis, () => membersOf(destinations, sources));
  const freshness = createFreshness(options);
  const recentIn = createRecent(options);
  const statusOfSources = sourcesReader(sources);

  async function ofDestination(
    counted: DestinationCount,
    scope: CountedScope,
    now: number,
  ): Promise<DestinationStatus | null> {
    const destination = destinations.get(counted.name);
    // Removed from the configuration since the scope was counted.
    if (!destination) return null;
    const { waiting, inFlight } = totalsOf(counted);
    const newestAccepted = numberOf(hashOf(counted.facts).newestAccepted);
    const moment = { now, newestAccepted, pending: waiting + inFlight > 0 };
    const units = await freshness.of(destination, moment, scope.count);
    const held = listOf<SourceCount>(scope.count.sources)
      .filter(({ name }) => sources.get(name)?.destination === counted.name)
      .reduce((sum, each) => sum + each.held, 0);
    return destinationStatus(destination, counted, { gate: scope.count.gate, now }, units, held);
  }

  return async function queryStatus(within) {
    const [counted, now, redisStatus, jobs] = await Promise.all([
      counts.read(),
      redisNow(redis),
      readRedis(redis),
      options.jobs.counts(),
    ]);
    const scopes = membersOf(destinations, sources);
    // Without this the latest twenty of all would be those of the busiest tenant.
    const shown = counted.filter(
      ({ scope }) =>
        within === undefined || scopes.get(scope)?.destinations.some((name) => within.has(name)) === true,
    );
    const recent = await recentIn(shown);
    const [q, d, l] = [
      streamTotals(shown, "quarantine"),
      streamTotals(shown, "dead"),
      streamTotals(shown, "ledger"),
    ];
    return {
      at: iso(Date.now()),
      sources: statusOfSources(counted, now),
      destinations: (
        await Promise.all(
          counted.flatMap((scope) =>
            listOf<DestinationCount>(scope.count.destinations).map((each) => ofDestination(each, scope, now)),
          ),
        )
      ).filter((each) => each !== null),
      redis: redisStatus,
      jobs,
      quarantine: { count: q.n, bytes: q.bytes, oldestAt: q.first, recent: recent.quarantine },
      deadLetters: { count: d.n, bytes: d.bytes, recent: recent.deadLetters },
      ledger: { batches: l.n, bytes: l.bytes, reachesBackTo: l.first, recent: recent.ledger },
      orphans: counted.flatMap(({ count }) =>
        Object.entries(count.orphans).flatMap(([destination, n]) =>
          Number(n) > 0 ? [{ destination, waiting: Number(n) }] : [],
        ),
      ),
      unmapped: recent.unmapped,
    };
  };
}

function membersOf(
  destinations: ReadonlyMap<string, QueueDestination>,
  sources: ReadonlyMap<string, StatusSource>,
): ReadonlyMap<string, ScopeMembers> {
  const members = new Map<string, { sources: string[]; destinations: string[] }>();
  for (const { name, keyPrefix } of destinations.values()) {
    const own = members.get(keyPrefix) ?? { sources: [], destinations: [] };
    own.destinations.push(name);
    members.set(keyPrefix, own);
  }
  for (const { name, home } of sources.values()) members.get(home)?.sources.push(name);
  return members;
}

/** A source's status is worked out anew only where one of its scopes was counted again, or a minute has passed. */
function sourcesReader(sources: ReadonlyMap<string, StatusSource>) {
  const known = new Map<string, { minute: number; counts: readonly object[]; status: SourceStatus }>();

  function of(source: StatusSource, shares: readonly (SourceShare & { count: object })[], now: number) {
    const minute = Math.floor(now / 60_000);
    const before = known.get(source.name);
    const isSame =
      before?.minute === minute &&
      before.counts.length === shares.length &&
      shares.every(({ count }, i) => count === before.counts[i]);
    if (before && isSame) return before.status;
    const status = sourceStatus(source, shares, now);
    known.set(source.name, { minute, counts: shares.map(({ count }) => count), status });
    return status;
  }

  return (scopes: readonly CountedScope[], now: number): SourceStatus[] => {
    const sharesOf = new Map<string, (SourceShare & { count: object })[]>();
    for (const { count, pulses } of scopes) {
      for (const each of listOf<SourceCount>(count.sources)) {
        const pulse = pulses.get(each.name);
        if (!pulse) continue;
        const { name, held, waiting, inFlight } = each;
        const troubled = readTroubled(listOf<string>(each.trouble));
        const shares = sharesOf.get(name) ?? [];
        shares.push({ held, waiting, inFlight, pulse, troubled, count });
        sharesOf.set(name, shares);
      }
    }
    for (const name of known.keys()) if (!sources.has(name)) known.delete(name);
    return [...sources.values()].map((source) => of(source, sharesOf.get(source.name) ?? [], now));
  };
}

/** Of one stream in several scopes: entries, bytes, and when the oldest entry was added. */
function streamTotals(scopes: readonly CountedScope[], name: StreamName) {
  let n = 0;
  let bytes = 0;
  let first = Number.POSITIVE_INFINITY;
  for (const { count } of scopes) {
    const length = count.lengths[name];
    n += length.n;
    bytes += numberOf(hashOf(count.sizes)[name]);
    if (length.first !== "") first = Math.min(first, entryTime(length.first));
  }
  return { n, bytes, first: Number.isFinite(first) ? iso(first) : null };
}
