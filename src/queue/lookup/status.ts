/** Reports what is where: counters, and what waits, is held or in flight, counted in one step per scope. */

import type { Redis } from "ioredis";
import type { DestinationStatus, QueueStatus } from "../../status.ts";
import { iso } from "../../time.ts";
import type { Jobs } from "../batch/jobs.ts";
import type { Quarantine } from "../ledger/quarantine.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { readRedis } from "../redis/redis.ts";
import { entryTime } from "../redis/stream.ts";
import type { Routes } from "../store/routes.ts";
import {
  countScope,
  type DestinationCount,
  listOf,
  mapOf,
  numberOf,
  type ScopeCount,
  type SourceCount,
} from "./count.ts";
import { destinationStatus, totalsOf } from "./destination-status.ts";
import { createFreshness } from "./freshness.ts";
import { deadLettersRecent, ledgerRecent, quarantineRecent, unmappedDevices } from "./recent.ts";
import { type StatusSource, sourceStatus } from "./source-status.ts";

export interface StatusOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  sources: ReadonlyMap<string, StatusSource>;
  routes: Routes;
  quarantine: Quarantine;
  jobs: Jobs;
}

export function createStatus(options: StatusOptions): (within?: ReadonlySet<string>) => Promise<QueueStatus> {
  const { redis, destinations, sources, quarantine } = options;
  const scopes = [...new Set([...destinations.values()].map(({ keyPrefix }) => keyPrefix))];
  const freshnessOf = createFreshness(redis);
  const destinationsIn = (scope: string) =>
    [...destinations.values()].filter(({ keyPrefix }) => keyPrefix === scope).map(({ name }) => name);

  async function ofDestination(counted: DestinationCount, scope: ScopeCount): Promise<DestinationStatus> {
    const destination = destinations.get(counted.name);
    if (!destination) throw new Error(`Destination "${counted.name}" is not configured.`);
    const { waiting, inFlight } = totalsOf(counted);
    const freshness = await freshnessOf(destination, {
      now: scope.now,
      newestAccepted: numberOf(mapOf(counted.facts).newestAccepted),
      pending: waiting + inFlight > 0,
    });
    const held = listOf<SourceCount>(scope.sources)
      .filter(({ name }) => sources.get(name)?.destination === counted.name)
      .reduce((sum, each) => sum + each.held, 0);
    return destinationStatus(destination, counted, scope, freshness, held);
  }

  return async function queryStatus(within?: ReadonlySet<string>): Promise<QueueStatus> {
    // Without this the latest twenty of all would be those of the busiest tenant.
    const shown = scopes.filter(
      (scope) => within === undefined || destinationsIn(scope).some((name) => within.has(name)),
    );
    const [counts, redisStatus, jobs, quarantined, deadLetters, ledger, unmapped] = await Promise.all([
      Promise.all(scopes.map((scope) => countScope(redis, scope, sources.keys(), destinationsIn(scope)))),
      readRedis(redis),
      options.jobs.counts(),
      quarantineRecent(quarantine, shown),
      deadLettersRecent(redis, shown),
      ledgerRecent(redis, shown),
      unmappedDevices(redis, sources.values(), options.routes),
    ]);
    const countsShown = counts.filter((_, i) => shown.includes(scopes[i] ?? ""));
    const [q, d, l] = [
      streamTotals(countsShown, "quarantine"),
      streamTotals(countsShown, "dead"),
      streamTotals(countsShown, "ledger"),
    ];
    return {
      at: new Date().toISOString(),
      sources: [...sources.values()].map((source) => sourceStatus(source, counts)),
      destinations: await Promise.all(
        counts.flatMap((scope) =>
          listOf<DestinationCount>(scope.destinations).map((counted) => ofDestination(counted, scope)),
        ),
      ),
      redis: redisStatus,
      jobs,
      quarantine: { count: q.n, bytes: q.bytes, oldestAt: q.first, recent: quarantined },
      deadLetters: { count: d.n, bytes: d.bytes, recent: deadLetters },
      ledger: { batches: l.n, bytes: l.bytes, reachesBackTo: l.first, recent: ledger },
      orphans: counts.flatMap(({ orphans }) =>
        Object.entries(mapOf(orphans)).flatMap(([destination, n]) =>
          Number(n) > 0 ? [{ destination, waiting: Number(n) }] : [],
        ),
      ),
      unmapped,
    };
  };
}

/** Of one stream in several scopes: entries, bytes, and when the oldest entry was added. */
function streamTotals(scopes: readonly ScopeCount[], name: "ledger" | "dead" | "quarantine") {
  let n = 0;
  let bytes = 0;
  let first = Number.POSITIVE_INFINITY;
  for (const { lengths, sizes } of scopes) {
    n += lengths[name].n;
    bytes += numberOf(mapOf(sizes)[name]);
    if (lengths[name].first !== "") first = Math.min(first, entryTime(lengths[name].first));
  }
  return { n, bytes, first: Number.isFinite(first) ? iso(first) : null };
}
