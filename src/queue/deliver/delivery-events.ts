/** What delivery reports: each attempt in one event, each gate that shuts, and where the pings of a batch went. */

import type { Events } from "../../events/events.ts";
import type { Attempt } from "../../servicetitan/outcome.ts";
import type { BatchName } from "../batch/jobs.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { DISPOSITION, type Disposition } from "../redis/disposition.ts";
import type { BufferRecord } from "../redis/record.ts";
import { fixTimeAt } from "./load.ts";
import type { Settlement } from "./settlement.ts";

export type DeliveryEvents = Pick<
  Events,
  "attemptMade" | "batchSettled" | "pingsDeadLettered" | "gateChanged" | "deliveryLatency" | "sweepFound"
>;

export function emitAttempt(
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
    scope: destination.keyPrefix,
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

export function emitGates(
  events: DeliveryEvents,
  destination: QueueDestination,
  settlement: Settlement,
): void {
  for (const [change, name, state] of [
    [settlement.scopeGate, null, "paused"],
    [settlement.gate, destination.name, "blocked"],
  ] as const) {
    if (change.kind !== "shut") continue;
    events.gateChanged({
      scope: destination.keyPrefix,
      destination: name,
      state,
      reason: change.reason,
      untilMs: change.waitMs === null ? null : Date.now() + change.waitMs,
    });
  }
}

export function emitSettlement(
  events: DeliveryEvents,
  destination: QueueDestination,
  name: BatchName,
  records: readonly BufferRecord[],
  { dispositions, deadLetters }: Settlement,
): void {
  const now = Date.now();
  const { delivered, deadLettered, expired, returned, firstPiece, secondPiece, isolated } = DISPOSITION;
  const countOf = (...wanted: Disposition[]) => dispositions.filter((each) => wanted.includes(each)).length;
  dispositions.forEach((disposition, i) => {
    const record = records[i];
    if (disposition !== delivered || !record) return;
    events.deliveryLatency(destination.name, now - record.reading.receivedAt);
  });
  events.batchSettled({
    ...named(name),
    delivered: countOf(delivered),
    deadLettered: countOf(deadLettered),
    expired: countOf(expired),
    superseded: 0,
    returned: countOf(returned, firstPiece, secondPiece, isolated),
  });
  for (const { reason, message } of deadLetters) {
    events.pingsDeadLettered({ ...named(name), pings: 1, reason, message });
  }
}

export function named({ destination, batchId, lane }: BatchName) {
  return { destination, batchId, lane };
}
