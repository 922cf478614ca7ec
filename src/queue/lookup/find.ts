/** Finds single pings, units and quarantined messages. */

import type { Redis } from "ioredis";
import { type FoundPing, findPings } from "../ledger/ledger.ts";
import type { Quarantine, QuarantinedMessage } from "../ledger/quarantine.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { locateUnit, type UnitLocation } from "./locate.ts";

export interface PingQuery {
  destination: string;
  unit: string;
  /** Fix times, UTC milliseconds since 1970. */
  from: number;
  to: number;
  /** Of more pings only those settled last. */
  limit?: number;
}

export interface Finder {
  findPings(query: PingQuery): Promise<FoundPing[]>;
  /** What of a unit has not come to an end yet; null for a destination that is not configured. */
  locateUnit(destination: string, unit: string): Promise<UnitLocation | null>;
  /**
   * One message of the quarantine, whole. `source` separates messages that got one id in two scopes; messages of other
   * sources than those of `within` count as not there.
   */
  quarantined(
    id: string,
    source: string | null,
    within?: ReadonlySet<string>,
  ): Promise<QuarantinedMessage | null>;
}

export interface FinderOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  sources: ReadonlyMap<string, { name: string; destination: string; home: string }>;
  quarantine: Quarantine;
  ledgerMaxAgeMs: number;
}

export function createFinder(options: FinderOptions): Finder {
  const { redis, destinations, sources, quarantine, ledgerMaxAgeMs } = options;
  return {
    async findPings({ destination: name, unit, from, to, limit = Number.POSITIVE_INFINITY }) {
      const destination = destinations.get(name);
      if (!destination) return [];
      const { keyPrefix: scope, maxAgeMs } = destination;
      const maxDelayMs = Number.isFinite(maxAgeMs) ? maxAgeMs : ledgerMaxAgeMs;
      return findPings(redis, { scope, destination: name, unit, from, to, maxDelayMs, limit });
    },
    async locateUnit(name, unit) {
      const destination = destinations.get(name);
      if (!destination) return null;
      const own = [...sources.values()]
        .filter((source) => source.destination === name)
        .map((source) => source.name);
      return locateUnit(redis, destination, unit, own);
    },
    async quarantined(id, source, within) {
      for (const scope of new Set([...sources.values()].map(({ home }) => home))) {
        const found = await quarantine.find(scope, id);
        if (!found || within?.has(found.source) === false) continue;
        if (source === null || found.source === source) return found;
      }
      return null;
    },
  };
}
