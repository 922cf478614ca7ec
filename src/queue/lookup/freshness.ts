/** Computes how fresh a destination's units are: the age of what was last accepted of each, and which have gone silent. */

import type { Redis } from "ioredis";
import type { Freshness, SilentUnit } from "../../status.ts";
import { iso } from "../../time.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";

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

const MAX_SILENT_LISTED = 50;
/** Silence of one unit beside the destination's newest fix that is worth reporting. */
const SILENT_AFTER_MS = 900_000;
/** After a day the vehicle is parked for good, on holiday, or sold; it is not news any more. */
const NO_LONGER_SILENT_MS = 86_400_000;
/** A unit without a position for longer is not stale but parked. */
const FRESHNESS_WINDOW_MS = 3_600_000;
/** Reading every unit's last fix is the only costly part of the status; the page asks every 2 s. */
const READ_EVERY_MS = 15_000;

export function createFreshness(
  redis: Redis,
): (destination: QueueDestination, moment: Moment) => Promise<UnitFreshness> {
  const known = new Map<string, { at: number; units: UnitFreshness }>();
  return async (destination, moment) => {
    const before = known.get(destination.name);
    // A clock set back must not freeze the figure.
    if (before && Math.abs(moment.now - before.at) < READ_EVERY_MS) return before.units;
    const accepted = await redis.hgetall(keyOf(destination.keyPrefix, SCOPE_KEYS.accepted, destination.name));
    const fixes = Object.entries(accepted).map(([unit, fixTime]) => ({ unit, fixTime: Number(fixTime) }));
    const units = {
      freshness: freshnessOf(
        fixes.map(({ fixTime }) => fixTime),
        moment,
      ),
      silent: silentOf(fixes, moment),
    };
    known.set(destination.name, { at: moment.now, units });
    return units;
  };
}

/**
 * Of the units that have reported within the last hour. While something is pending, that hour ends with the newest
 * position accepted: in an outage no unit may drop out of the figure because nothing is accepted any more.
 */
export function freshnessOf(
  fixTimes: readonly number[],
  { now, newestAccepted, pending }: Moment,
): Freshness | null {
  const since = (pending ? Math.min(now, newestAccepted) : now) - FRESHNESS_WINDOW_MS;
  const newestFirst = fixTimes.filter((fixTime) => fixTime > since).sort((a, b) => b - a);
  const units = newestFirst.length;
  if (units === 0) return null;
  // Nearest rank: an age that a unit really has. A fix may be a little ahead of us.
  const ageAt = (share: number) => Math.max(0, now - (newestFirst[Math.ceil(share * units) - 1] ?? now));
  return { units, p50AgeMs: ageAt(0.5), p95AgeMs: ageAt(0.95), maxAgeMs: ageAt(1) };
}

function silentOf(
  units: readonly { unit: string; fixTime: number }[],
  { now, newestAccepted }: Moment,
): SilentUnit[] {
  return units
    .filter(
      ({ fixTime }) => fixTime < newestAccepted - SILENT_AFTER_MS && fixTime > now - NO_LONGER_SILENT_MS,
    )
    .sort((a, b) => a.fixTime - b.fixTime)
    .slice(0, MAX_SILENT_LISTED)
    .map(({ unit, fixTime }) => ({
      unit,
      lastFixAt: iso(fixTime),
      ageMs: now - fixTime,
    }));
}
