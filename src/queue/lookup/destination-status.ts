/** The status of one destination: its gates, what waits and is in flight per lane, and how fresh its units are. */

import type { DestinationStatus, GateStatus, LaneStatus } from "../../status/queue.ts";
import { iso } from "../../time.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { scopeIn } from "../redis/keys.ts";
import { type DestinationCount, hashOf, type LaneCount, listOf, numberOf, type ScopeCount } from "./count.ts";
import type { UnitFreshness } from "./freshness.ts";

/** What the destination's lanes hold, summed. */
export interface LaneTotals {
  waiting: number;
  inFlight: number;
  /** When the oldest ping that waits arrived; infinite where nothing waits. */
  oldest: number;
}

export function totalsOf({ lanes }: DestinationCount): LaneTotals {
  const counted = listOf<LaneCount>(lanes);
  return {
    waiting: counted.reduce((sum, lane) => sum + lane.waiting, 0),
    inFlight: counted.reduce((sum, lane) => sum + lane.inFlight, 0),
    oldest: Math.min(...counted.map((lane) => lane.oldest ?? Number.POSITIVE_INFINITY)),
  };
}

/** `held`: readings of the destination's own sources that wait for a mapping row. */
export function destinationStatus(
  destination: QueueDestination,
  counted: DestinationCount,
  { gate, now }: Pick<ScopeCount, "gate" | "now">,
  { freshness, silent }: UnitFreshness,
  held: number,
): DestinationStatus {
  const { waiting, inFlight, oldest } = totalsOf(counted);
  const facts = hashOf(counted.facts);
  // By arrival: a clock that runs ahead would hide that nothing is accepted. Older gateways left only the fix.
  const newestArrival = numberOf(facts.newestAcceptedArrival ?? facts.newestAccepted);
  return {
    name: counted.name,
    scope: scopeIn(destination.keyPrefix),
    tenant: destination.target.tenant,
    provider: destination.target.provider,
    scopeGate: gateStatus(hashOf(gate), destination),
    gate: gateStatus(hashOf(counted.gate), destination),
    waiting,
    inFlight,
    held,
    oldestWaitingAgeMs: Number.isFinite(oldest) ? Math.max(0, now - oldest) : null,
    newestAcceptedAgeMs: newestArrival === 0 ? null : Math.max(0, now - newestArrival),
    freshness,
    bufferBytes: numberOf(facts.bytes),
    bufferLimitBytes: destination.bufferBytes,
    unitsKnown: counted.units,
    silentUnits: silent,
    lanes: listOf<LaneCount>(counted.lanes)
      .sort((a, b) => a.lane - b.lane)
      .map((lane) => laneStatus(lane, now)),
    deadLetters: numberOf(facts.deadLetters),
    lastOutcome: facts.lastOutcome ?? null,
    lastOutcomeAt: facts.lastOutcomeAt ? iso(numberOf(facts.lastOutcomeAt)) : null,
  };
}

function laneStatus(
  { lane, waiting, inFlight, batchId, sentAt, formedAt }: LaneCount,
  now: number,
): LaneStatus {
  const ageOf = (at: number | undefined) => (at === undefined ? null : Math.max(0, now - at));
  return {
    lane,
    waiting,
    inFlight,
    batchId: batchId ?? null,
    unansweredMs: ageOf(sentAt),
    batchAgeMs: ageOf(formedAt),
  };
}

function gateStatus(gate: Record<string, string>, { ratePerSecond }: QueueDestination): GateStatus {
  const { state, reason, until, ramp } = gate;
  const known = state === "paused" || state === "probing" || state === "ramping" ? state : "open";
  return {
    state: known,
    reason: known === "open" ? null : (reason ?? null),
    untilMs: until === undefined ? null : Number(until),
    ratePerSecond: known === "ramping" ? Number(ramp) : known === "open" ? ratePerSecond : 0,
  };
}
