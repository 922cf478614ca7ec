/** Turns what is recorded of a device in three places into the events of its timeline. */

import { iso } from "../../time.ts";
import type { FoundPing } from "../ledger/ledger.ts";
import type { TimelineLine } from "./timeline-lines.ts";

/** In the order of the pipeline. Those that take time are told when they are over, but for the last two: they last. */
export const TIMELINE_EVENT_KINDS = [
  // A message that names no device
  "refused",
  "malformed",
  "ignored",
  "handshake",
  // A reading before it is sent
  "rejected",
  "duplicate",
  "conflict",
  "dropped",
  "held",
  "stored",
  "superseded",
  "batched",
  // An attempt that brought the ping to no end, then its ends
  "attempt",
  "delivered",
  "dead_lettered",
  "expired",
  "redriven",
  // Now
  "waiting",
  "in_flight",
] as const;
export type TimelineEventKind = (typeof TIMELINE_EVENT_KINDS)[number];

/** One event, or several of one kind and reason in a row. What is not known, or does not apply, is null. */
export interface TimelineEvent {
  /** ISO, UTC: when it happened, of several when the last did. */
  at: string;
  /** When the first of several happened. */
  since: string | null;
  count: number;
  kind: TimelineEventKind;
  reason: string | null;
  detail: string | null;
  /** Of the reading, or of the last of several. */
  fixAt: string | null;
  /** Its receivedAt − fixTime, milliseconds. */
  offsetMs: number | null;
  destination: string | null;
  batchId: string | null;
  status: number | null;
  traceId: string | null;
  tookMs: number | null;
  /** ServiceTitan's own. */
  words: string | null;
}

const NOTHING_KNOWN = {
  since: null,
  count: 1,
  reason: null,
  detail: null,
  fixAt: null,
  offsetMs: null,
  destination: null,
  batchId: null,
  status: null,
  traceId: null,
  tookMs: null,
  words: null,
};

export function eventOfLine(line: TimelineLine): TimelineEvent {
  return {
    ...NOTHING_KNOWN,
    at: iso(line.lastAt),
    since: line.count > 1 ? iso(line.firstAt) : null,
    count: line.count,
    kind: line.kind === "deadLettered" ? "dead_lettered" : line.kind,
    reason: line.reason || null,
    detail: line.detail || null,
    fixAt: line.fixTime === null ? null : iso(line.fixTime),
    offsetMs: line.offsetMs,
  };
}

/** Its way through one batch: stored, batched, and what the attempt brought. */
export function eventsOfPing({ batch, settledAt, ...ping }: FoundPing): TimelineEvent[] {
  const { batchId, destination, outcome, status, traceId, tookMs } = batch;
  const own = { ...NOTHING_KNOWN, fixAt: iso(ping.fixTime), destination };
  const events: TimelineEvent[] = [];
  // An attempt that was not the last is no second arrival.
  if (ping.fate !== "returned") {
    const offsetMs = ping.receivedAt - ping.fixTime;
    events.push({ ...own, at: iso(ping.receivedAt), kind: "stored", offsetMs });
  }
  if (batch.formedAt) events.push({ ...own, at: iso(batch.formedAt), kind: "batched", batchId });
  const reason = ping.letter?.reason ?? (outcome === ping.fate ? null : outcome);
  events.push({
    ...own,
    at: iso(settledAt),
    kind: ping.fate === "returned" ? "attempt" : ping.fate,
    reason,
    detail: batch.sentAt ? `sent ${iso(batch.sentAt)}` : null,
    batchId,
    status,
    traceId,
    tookMs: status === null && !batch.sentAt ? null : tookMs,
    words: ping.letter?.message || batch.words || null,
  });
  return events;
}

export function eventOfNow(
  kind: "waiting" | "in_flight" | "held",
  now: number,
  about: Partial<Pick<TimelineEvent, "count" | "destination" | "fixAt" | "detail">>,
): TimelineEvent {
  return { ...NOTHING_KNOWN, at: iso(now), kind, reason: "now", ...about };
}

/** The newest first; of one moment, what comes later in the pipeline. */
export function newestFirst(events: readonly TimelineEvent[]): TimelineEvent[] {
  const rank = ({ kind }: TimelineEvent) => TIMELINE_EVENT_KINDS.indexOf(kind);
  return [...events].sort((a, b) => Date.parse(b.at) - Date.parse(a.at) || rank(b) - rank(a));
}
