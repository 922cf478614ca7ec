/** Computes how fresh a destination's units are: the age of what was last accepted of each, and which have gone silent. */

import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import type { Freshness, SilentUnit } from "../../status/queue.ts";
import { iso } from "../../time.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import type { Routes } from "../store/routes.ts";

export interface UnitFreshness {
  freshness: Freshness | null;
  silent: SilentUnit[];
}

/** What else is known of the destination at that moment; times are Redis's, UTC milliseconds since 1970. */
export interface Moment {
  now: number;
  /** Fix time of the newest position accepted of any unit; 0: none. */
  newestAccepted: number;
  /** Something is on its way there. */
  pending: boolean;
}

export interface FreshnessReader {
  /** `mark`: another one than before means that something may have been accepted. */
  of(destination: QueueDestination, moment: Moment, mark: unknown): Promise<UnitFreshness>;
}

const MAX_SILENT_LISTED = 50;
/** Silence of one unit beside the destination's newest fix that is worth reporting. */
const SILENT_AFTER_MS = 900_000;
/** A unit that has paused for long before, at night for example, is silent only after half as long again. */
const TIMES_LONGEST_PAUSE = 1.5;
/** After a day the vehicle is parked for good, on holiday, or sold; it is not news any more. */
const NO_LONGER_SILENT_MS = 86_400_000;
/** A unit without a position for longer is not stale but parked. */
const FRESHNESS_WINDOW_MS = 3_600_000;
/** Reading every unit's last fix is the only costly part of the status: the more units, the more rarely. */
const READ_EVERY_MS = 2000;
const MS_PER_UNIT = 1;
const MAX_READ_EVERY_MS = 15_000;
/** From this age on at half of the units it is worth asking which of them are sending. */
const SUSPICIOUS_MS = 30_000;
/** A unit whose device has sent something within this time is not parked. */
const SENDING_MS = 300_000;
/** About 100 bytes each. Beyond it the unit that was silent for longest is forgotten. */
const MAX_UNITS = 100_000;

interface Units {
  readAt: number;
  mark: unknown;
  /** Of units whose devices have sent lately; null where nobody needs to know. */
  sending: Freshness["sending"];
  /** How far the middle one of them was behind at this reading, milliseconds. */
  behindMs: number;
  /** The latest fix first. */
  fixes: readonly { unit: string; fixTime: number }[];
}

export interface FreshnessOptions {
  redis: Redis;
  sources: ReadonlyMap<string, { name: string; destination: string; home: string }>;
  routes: Pick<Routes, "of">;
}

export function createFreshness({ redis, sources, routes }: FreshnessOptions): FreshnessReader {
  const known = new Map<string, Units>();
  // A bound by size takes its memory as it is used; `max` takes all of it at once.
  const pauses = new LRUCache<string, { fixTime: number; longestMs: number }>({
    maxSize: MAX_UNITS,
    sizeCalculation: () => 1,
  });

  async function unitsOf(
    { name, keyPrefix }: QueueDestination,
    { now, pending }: Moment,
    mark: unknown,
  ): Promise<Units> {
    const before = known.get(name);
    const every = Math.min(MAX_READ_EVERY_MS, READ_EVERY_MS + MS_PER_UNIT * (before?.fixes.length ?? 0));
    // A clock set back must not freeze the figure.
    if (before && (before.mark === mark || Math.abs(now - before.readAt) < every)) return before;
    const accepted = await redis.hgetall(keyOf(keyPrefix, SCOPE_KEYS.accepted, name));
    const fixes = Object.entries(accepted)
      .map(([unit, fixTime]) => ({ unit, fixTime: Number(fixTime) }))
      .sort((a, b) => b.fixTime - a.fixTime);
    for (const { unit, fixTime } of fixes) notePause(`${name}\0${unit}`, fixTime);
    const half = fixes[Math.floor(fixes.length / 2)]?.fixTime ?? now;
    const lags = now - half > SUSPICIOUS_MS ? await lagsOf(name, now, new Map(Object.entries(accepted))) : [];
    const behindMs = lags[Math.ceil(lags.length / 2) - 1] ?? 0;
    // What came a moment ago may be on its way: one that is behind is so at two readings.
    const p50AgeMs = pending ? Math.min(behindMs, before?.behindMs ?? 0) : behindMs;
    const sending = lags.length === 0 ? null : { units: lags.length, p50AgeMs };
    const units = { readAt: now, mark, fixes, sending, behindMs };
    known.set(name, units);
    return units;
  }

  /**
   * How old the newest accepted position was when the device last sent, the least first. Parked vehicles send nothing, or
   * once in a few minutes, and grow old without being stale.
   */
  async function lagsOf(
    destination: string,
    now: number,
    accepted: ReadonlyMap<string, string>,
  ): Promise<number[]> {
    const lags: number[] = [];
    for (const source of sources.values()) {
      if (source.destination !== destination) continue;
      const seen = await redis.hgetall(keyOf(source.home, SCOPE_KEYS.seen, source.name));
      for (const [device, receivedAt] of Object.entries(seen)) {
        if (Number(receivedAt) < now - SENDING_MS) continue;
        for (const route of routes.of(source.name, device)) {
          const fixTime = route.destination === destination ? accepted.get(route.unit) : undefined;
          if (fixTime !== undefined) lags.push(Math.max(0, Number(receivedAt) - Number(fixTime)));
        }
      }
    }
    return lags.sort((a, b) => a - b);
  }

  function notePause(key: string, fixTime: number): void {
    const before = pauses.get(key);
    if (before?.fixTime === fixTime) return;
    const longestMs = before ? Math.max(before.longestMs, fixTime - before.fixTime) : 0;
    pauses.set(key, { fixTime, longestMs });
  }

  return {
    async of(destination, moment, mark) {
      const { fixes, sending } = await unitsOf(destination, moment, mark);
      const longestPauseOf = (unit: string) => pauses.get(`${destination.name}\0${unit}`)?.longestMs ?? 0;
      return {
        freshness: freshnessOf(
          fixes.map(({ fixTime }) => fixTime),
          moment,
          sending,
        ),
        silent: silentOf(fixes, moment, longestPauseOf),
      };
    },
  };
}

/**
 * Of the units that have reported within the last hour. While something is pending, that hour ends with the newest
 * position accepted: in an outage no unit may drop out of the figure because nothing is accepted any more.
 */
export function freshnessOf(
  fixTimes: readonly number[],
  { now, newestAccepted, pending }: Moment,
  sending: Freshness["sending"] = null,
): Freshness | null {
  const since = (pending ? Math.min(now, newestAccepted) : now) - FRESHNESS_WINDOW_MS;
  const newestFirst = fixTimes.filter((fixTime) => fixTime > since).sort((a, b) => b - a);
  const units = newestFirst.length;
  if (units === 0) return null;
  // Nearest rank: an age that a unit really has. A fix may be a little ahead of us.
  const ageAt = (share: number) => Math.max(0, now - (newestFirst[Math.ceil(share * units) - 1] ?? now));
  return {
    units,
    p50AgeMs: ageAt(0.5),
    p95AgeMs: ageAt(0.95),
    maxAgeMs: ageAt(1),
    sending,
  };
}

function silentOf(
  units: readonly { unit: string; fixTime: number }[],
  { now, newestAccepted }: Moment,
  longestPauseOf: (unit: string) => number,
): SilentUnit[] {
  const isSilent = ({ unit, fixTime }: { unit: string; fixTime: number }) =>
    fixTime < newestAccepted - SILENT_AFTER_MS &&
    fixTime > now - NO_LONGER_SILENT_MS &&
    now - fixTime > TIMES_LONGEST_PAUSE * longestPauseOf(unit);
  return units
    .filter(isSilent)
    .reverse()
    .slice(0, MAX_SILENT_LISTED)
    .map(({ unit, fixTime }) => ({
      unit,
      lastFixAt: iso(fixTime),
      ageMs: now - fixTime,
    }));
}
