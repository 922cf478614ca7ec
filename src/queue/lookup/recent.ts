/** The latest entries of each list that the status shows; what has been read once is not read again. */

import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import type { QueueStatus } from "../../status/queue.ts";
import { iso } from "../../time.ts";
import { recentDeadLetters } from "../ledger/dead-letters.ts";
import { recentEntries } from "../ledger/ledger.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { entryTime } from "../redis/stream.ts";
import type { Routes } from "../store/routes.ts";
import { listOf, type SourceCount, type StreamName } from "./count.ts";
import { type RecentQuarantined, recentQuarantined } from "./recent-quarantine.ts";
import type { CountedScope } from "./scope-counts.ts";
import type { StatusSource } from "./source-status.ts";

const RECENT = 20;
const MAX_UNMAPPED_LISTED = 200;
/** A device reports every few seconds, and each time the list changes; people add rows by the minute. */
const READ_UNMAPPED_EVERY_MS = 5000;
/** The lists of this many scopes are remembered, at most 20 entries each. */
const MAX_REMEMBERED = 200;

export interface RecentLists {
  quarantine: QueueStatus["quarantine"]["recent"];
  deadLetters: QueueStatus["deadLetters"]["recent"];
  ledger: QueueStatus["ledger"]["recent"];
  unmapped: QueueStatus["unmapped"];
}

/** Any entry of a list with the time by which it is sorted. */
interface Timed {
  at: number;
  entry: unknown;
}

export interface RecentOptions {
  redis: Redis;
  sources: ReadonlyMap<string, StatusSource>;
  routes: Routes;
}

export function createRecent(
  options: RecentOptions,
): (scopes: readonly CountedScope[]) => Promise<RecentLists> {
  const readers = readersOf(options);
  const ofQuarantine = latestOf("quarantine", readers.quarantine);
  const ofDeadLetters = latestOf("dead", readers.dead);
  const ofLedger = latestOf("ledger", readers.ledger);
  const unmappedIn = unmappedReader(options);

  return async (scopes) => {
    const [quarantine, deadLetters, ledger, unmapped] = await Promise.all([
      ofQuarantine(scopes),
      ofDeadLetters(scopes),
      ofLedger(scopes),
      unmappedIn(scopes),
    ]);
    return { quarantine, deadLetters, ledger, unmapped };
  };
}

function readersOf({ redis }: RecentOptions) {
  return {
    quarantine: (scope: string, before: readonly RecentQuarantined[]) =>
      recentQuarantined(redis, scope, RECENT, before),
    async dead(scope: string) {
      const letters = await recentDeadLetters(redis, scope, RECENT);
      return letters.map(({ id, at, destination, unit, externalId, reason, message }) => ({
        at,
        entry: { id, at: iso(at), destination, unit, externalId, reason, message },
      }));
    },
    async ledger(scope: string) {
      const entries = await recentEntries(redis, scope, RECENT);
      return entries.map(({ at, destination, batchId, pings, outcome, status, tookMs }) => ({
        at,
        entry: { at: iso(at), destination, batchId, pings: pings.length, outcome, status, tookMs },
      }));
    },
  };
}

/**
 * The latest twenty of several scopes are among the latest twenty of those twenty scopes whose last entry is youngest. A
 * scope's list is read again only where its length, its first or its last entry is another one; `read` gets what it gave then.
 */
function latestOf<Item extends Timed>(
  stream: StreamName,
  read: (scope: string, before: readonly Item[]) => Promise<Item[]>,
): (scopes: readonly CountedScope[]) => Promise<Item["entry"][]> {
  const known = new LRUCache<string, { mark: string; entries: Item[] }>({ max: MAX_REMEMBERED });

  async function entriesOf({ scope, count }: CountedScope): Promise<Item[]> {
    const { n, first, last } = count.lengths[stream];
    const mark = `${first} ${last} ${n}`;
    const before = known.get(scope);
    if (before?.mark === mark) return before.entries;
    const entries = await read(scope, before?.entries ?? []);
    known.set(scope, { mark, entries });
    return entries;
  }

  return async (scopes) => {
    const youngest = scopes
      .filter(({ count }) => count.lengths[stream].last !== "")
      .sort((a, b) => entryTime(b.count.lengths[stream].last) - entryTime(a.count.lengths[stream].last))
      .slice(0, RECENT);
    const lists = await Promise.all(youngest.map(entriesOf));
    return lists
      .flat()
      .sort((a, b) => b.at - a.at)
      .slice(0, RECENT)
      .map(({ entry }) => entry);
  };
}

/** Devices without a mapping row, of sources that have any. */
function unmappedReader({ redis, sources, routes }: RecentOptions) {
  const known = new Map<string, { readAt: number; devices: QueueStatus["unmapped"] }>();

  async function read({ name, home, unmapped: policy }: StatusSource): Promise<QueueStatus["unmapped"]> {
    const devices = await redis.hgetall(keyOf(home, SCOPE_KEYS.unmapped, name));
    return Object.entries(devices).map(([device, fixTime]) => ({
      source: name,
      device,
      lastFixAt: iso(Number(fixTime)),
      policy,
    }));
  }

  async function of(source: StatusSource): Promise<QueueStatus["unmapped"]> {
    const before = known.get(source.name);
    const at = performance.now();
    if (before && at - before.readAt < READ_UNMAPPED_EVERY_MS) return before.devices;
    const devices = await read(source);
    known.set(source.name, { readAt: at, devices });
    return devices;
  }

  return async (scopes: readonly CountedScope[]): Promise<QueueStatus["unmapped"]> => {
    const withSome = scopes.flatMap(({ scope, count }) =>
      listOf<SourceCount>(count.sources).flatMap(({ name, unmapped }) => {
        const source = sources.get(name);
        return source && source.home === scope && unmapped > 0 ? [source] : [];
      }),
    );
    const lists = await Promise.all(withSome.map(of));
    // A row may have been added since the device last reported.
    return lists
      .flat()
      .filter(({ source, device }) => routes.of(source, device).some((route) => route.unmapped !== null))
      .slice(0, MAX_UNMAPPED_LISTED);
  };
}
