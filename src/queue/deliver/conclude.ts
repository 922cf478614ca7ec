/** Ends an attempt: the settlement in Redis, the ledger entry, and the events. */

import type { Redis } from "ioredis";
import type { Attempt } from "../../servicetitan/outcome.ts";
import type { BatchName } from "../batch/jobs.ts";
import { encodeEntry } from "../ledger/entry.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { DISPOSITION, type Disposition } from "../redis/disposition.ts";
import type { BufferRecord } from "../redis/record.ts";
import { type DeliveryEvents, emitAttempt, emitGates, emitSettlement, named } from "./delivery-events.ts";
import { type SettleResult, settle } from "./settle.ts";
import type { Settlement } from "./settlement.ts";
import { untilRedisAnswers } from "./until-redis-answers.ts";

/** What was posted, or would have been, and what it came to. */
export interface Sent {
  /** Positions of the pings the settlement is about, in its order. */
  sending: number[];
  settlement: Settlement;
  /** Null: nothing was posted and no token was asked for. */
  attempt: Attempt | null;
  bytes: number;
  /** When the batch was formed and when it was posted, UTC milliseconds since 1970, by Redis's clock. */
  formedAt: number | null;
  /** Null: nothing was posted. */
  sentAt: number | null;
}

/** The batch that was sent; `token` fences out its other owners. */
export interface OwnedBatch {
  destination: QueueDestination;
  name: BatchName;
  records: readonly BufferRecord[];
  token: string;
}

export interface ConcludeOptions {
  redis: Redis;
  events: DeliveryEvents;
  ledgerMaxAgeMs: number;
}

export async function conclude(
  { redis, events, ledgerMaxAgeMs }: ConcludeOptions,
  { destination, name, records, token }: OwnedBatch,
  sent: Sent,
): Promise<void> {
  const { attempt, sending, bytes, formedAt, sentAt } = sent;
  const settlement = inBatchOrder(sent, records.length);
  const outcome = attempt?.outcome.kind ?? "not_sent";
  const ledger = encodeEntry(
    {
      batchId: name.batchId,
      destination: destination.name,
      outcome,
      status: attempt?.status ?? null,
      tookMs: Math.round(attempt?.tookMs ?? 0),
      traceId: attempt?.traceId ?? null,
      formedAt,
      sentAt,
      words: attempt?.detail || null,
    },
    records,
    settlement.dispositions,
    { posted: sentAt === null ? [] : sending, deadLetters: settlement.deadLetters },
  );
  const { batchId, lane } = name;
  const label = attempt ? outcome : null;
  const result = await untilRedisAnswers(() =>
    settle(redis, destination, {
      batchId,
      lane,
      token,
      settlement,
      label,
      ledger,
      isTold: sentAt !== null,
      ledgerMaxAgeMs,
    }),
  );
  if (attempt) emitAttempt(events, destination, name, records, sending, { settlement, attempt, bytes });
  if (result.kind === "fenced") {
    events.sweepFound({ what: "settled_elsewhere", count: 1 });
    return;
  }
  if (attempt) emitGates(events, destination, settlement);
  emitSettlement(events, destination, name, records, settlement);
  emitDecidedInRedis(events, destination, name, result);
}

/** The settlement is about what was sent, in that order; Redis needs the batch's own order. What was not sent expired. */
function inBatchOrder({ sending, settlement }: Sent, length: number): Settlement {
  const dispositions = Array.from({ length }, (): Disposition => DISPOSITION.expired);
  sending.forEach((position, i) => {
    dispositions[position] = settlement.dispositions[i] ?? DISPOSITION.returned;
  });
  const deadLetters = settlement.deadLetters.map((letter) => ({ ...letter, at: sending[letter.at] ?? 0 }));
  return { ...settlement, dispositions, deadLetters };
}

function emitDecidedInRedis(
  events: DeliveryEvents,
  destination: QueueDestination,
  name: BatchName,
  { deadLettered, shutAs }: Extract<SettleResult, { kind: "settled" }>,
): void {
  if (deadLettered.pings > 0) events.pingsDeadLettered({ ...named(name), ...deadLettered });
  if (shutAs === null) return;
  events.gateChanged({
    scope: destination.keyPrefix,
    destination: destination.name,
    state: "blocked",
    reason: shutAs,
    untilMs: null,
  });
}
