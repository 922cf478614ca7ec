/** What delivery tells of itself: each attempt in one line, each gate that shuts, and where the pings of a batch went. */

import type { Events } from "../../events.ts";
import type { Attempt } from "../../servicetitan/outcome.ts";
import type { BatchName } from "../batch/jobs.ts";
import type { QueueDestination } from "../redis/destination.ts";
import type { BufferRecord } from "../redis/record.ts";
import type { Fate, Settlement } from "./settlement.ts";

export type DeliveryEvents = Pick<
  Events,
  "attemptMade" | "batchSettled" | "pingsDeadLettered" | "gateChanged" | "deliveryLatency" | "sweepFound"
>;

export function tellAttempt(
  events: DeliveryEvents,
  destination: QueueDestination,
  name: BatchName,
  records: readonly BufferRecord[],
  sending: readonly number[],
  { settlement, attempt, bytes }: { settlement: Settlement; attempt: Attempt; bytes: number },
): void {
  const { outcome } = attempt;
  const now = Date.now();
  events.attemptMade({
    ...named(name),
    scope: destination.scope,
    pings: sending.length,
    bytes,
    outcome: outcome.kind,
    reason: "reason" in outcome ? outcome.reason : null,
    status: attempt.status,
    tookMs: attempt.tookMs,
    traceId: attempt.traceId,
    detail: attempt.detail,
    oldestPingAgeMs: now - fixTimeAt(records, sending[0] ?? 0),
    newestPingAgeMs: now - fixTimeAt(records, sending.at(-1) ?? 0),
    decision: settlement.decision,
  });
}

export function tellGates(
  events: DeliveryEvents,
  destination: QueueDestination,
  settlement: Settlement,
): void {
  for (const [gate, who, state] of [
    [settlement.scope, null, "paused"],
    [settlement.destination, destination.name, "blocked"],
  ] as const) {
    if (gate.kind !== "shut") continue;
    events.gateChanged({
      scope: destination.scope,
      destination: who,
      state,
      reason: gate.reason,
      untilMs: gate.waitMs === null ? null : Date.now() + gate.waitMs,
    });
  }
}

export function tellSettlement(
  events: DeliveryEvents,
  destination: QueueDestination,
  name: BatchName,
  records: readonly BufferRecord[],
  fates: readonly Fate[],
  { deadLetters }: Settlement,
): void {
  const now = Date.now();
  const of = (...wanted: Fate[]) => fates.filter((fate) => wanted.includes(fate)).length;
  fates.forEach((fate, i) => {
    const record = records[i];
    if (fate === "d" && record) events.deliveryLatency(destination.name, now - record.reading.receivedAt);
  });
  events.batchSettled({
    ...named(name),
    delivered: of("d"),
    deadLettered: of("x"),
    expired: of("e"),
    superseded: 0,
    returned: of("b", "1", "2", "q"),
  });
  for (const { reason, message } of deadLetters) {
    events.pingsDeadLettered({ ...named(name), pings: 1, reason, message });
  }
}

export function named({ destination, batchId, lane }: BatchName) {
  return { destination, batchId, lane };
}

export function fixTimeAt(records: readonly BufferRecord[], position: number): number {
  return records[position]?.reading.fixTime ?? 0;
}
