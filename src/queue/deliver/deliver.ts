/** Delivers one batch: token, slot, POST at the slot's moment, settlement; one attempt is one POST is one outcome. */

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import type { Client, Prepared } from "../../servicetitan/client.ts";
import type { Attempt } from "../../servicetitan/outcome.ts";
import type { BatchName, DeliveryEnd } from "../batch/jobs.ts";
import type { Batch } from "../batch/next-batch.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { conclude, type OwnedBatch, type Sent } from "./conclude.ts";
import { type DeliveryEvents, emitAttempt } from "./delivery-events.ts";
import { bodyOf, fixTimeAt, idsOf, type Load, loadOf, readBatch } from "./load.ts";
import { notSent, type Settlement, settlementOf } from "./settlement.ts";
import { acquireSlot, type BatchPast, type Slot, type SlotPurpose, slotUsedLate } from "./slot.ts";
import { untilRedisAnswers } from "./until-redis-answers.ts";

export interface DeliveryOptions {
  redis: Redis;
  client: Client;
  destinations: ReadonlyMap<string, QueueDestination>;
  ledgerMaxAgeMs: number;
  events: DeliveryEvents;
  freed(batch: BatchName): void;
}

/** A batch on its way: what is sent, and the token that fences out its other owners. */
interface Shipment extends OwnedBatch {
  load: Load;
}

/** A slot that may be used, and when Redis was asked for it. */
interface GrantedSlot extends Extract<Slot, { kind: "send" }> {
  /** By performance.now(). */
  requestedAt: number;
}

/**
 * A request this late is not sent but gets another slot. Up to here there is half a second left for `slotUsedLate` to
 * arrive: the second of the window, less this and the time slots are given ahead.
 */
const MAX_LATE_MS = 250;
/** Records of batches this process formed, until their job comes by: saves reading them again. */
const MAX_FORMED_HERE = 500;

export function createDelivery(options: DeliveryOptions) {
  const { redis, destinations } = options;
  // Of more batches the oldest goes, whose job most likely went to another process.
  const formedHere = new LRUCache<string, Batch>({ max: MAX_FORMED_HERE });

  async function deliver(name: BatchName): Promise<DeliveryEnd> {
    const destination = destinations.get(name.destination);
    // New in the configuration of another process, or removed from it while pings waited: they stay where they are.
    if (!destination) return "unknown_destination";
    try {
      const remembered = formedHere.get(name.batchId);
      formedHere.delete(name.batchId);
      const load = loadOf(remembered ?? (await readBatch(redis, destination, name.batchId)));
      if (load) await send(options, { destination, name, load, records: load.records, token: randomUUID() });
    } finally {
      options.freed(name);
    }
    return "done";
  }

  return { deliver, rememberBatch: (batch: Batch) => void formedHere.set(batch.id, batch) };
}

/** Repeats token, slot and POST until one attempt settles the batch, or another process owns it. */
async function send(options: DeliveryOptions, shipment: Shipment): Promise<void> {
  const { client, events } = options;
  const { destination, name, records } = shipment;
  let isRenewed = false;
  for (;;) {
    const prepared = await client.prepare(destination.target);
    if ("outcome" in prepared) return concludeWithoutToken(options, shipment, prepared);
    const slot = await requestSlot(options.redis, shipment, "sending");
    if (slot.kind === "gone") return;
    if (slot.kind === "closed") return conclude(options, shipment, unsent(shipment, slot));
    // Redis computed the wait at some moment after the request, so the slot begins within this reply's round trip.
    if (slot.waitMs > 0) await sleep(slot.waitMs);
    if (slot.kind === "wait") continue;
    const sent = await post(options, shipment, prepared, slot);
    if (sent === "missed") continue;
    const { attempt } = sent;
    if (attempt && !isRenewed && attempt.tokenWasCached && deservesFreshToken(attempt)) {
      // Not a hidden retry: the second POST has a slot of its own, and both are reported.
      isRenewed = true;
      client.renew(destination.target, prepared);
      const settlement = { ...sent.settlement, decision: "renew_token", gate: { kind: "none" } } as const;
      emitAttempt(events, destination, name, records, sent.sending, { ...sent, attempt, settlement });
      continue;
    }
    return conclude(options, shipment, sent);
  }
}

async function requestSlot(
  redis: Redis,
  { destination, name, token }: Shipment,
  purpose: SlotPurpose,
): Promise<Exclude<Slot, { kind: "send" }> | GrantedSlot> {
  const batch = { id: name.batchId, lane: name.lane };
  let requestedAt = 0;
  const slot = await untilRedisAnswers(() => {
    requestedAt = performance.now();
    return acquireSlot(redis, destination, batch, token, purpose);
  });
  return slot.kind === "send" ? { ...slot, requestedAt } : slot;
}

/** Without a token nothing is sent: the outcome of asking for one is what settles the batch. */
async function concludeWithoutToken(options: DeliveryOptions, shipment: Shipment, attempt: Attempt) {
  let slot = await requestSlot(options.redis, shipment, "settling");
  while (slot.kind === "wait") {
    await sleep(slot.waitMs);
    slot = await requestSlot(options.redis, shipment, "settling");
  }
  if (slot.kind !== "closed") return;
  const { records, order } = shipment.load;
  const facts = { externalIds: idsOf(records, order), past: slot.past, bytes: 0 };
  const settlement = settlementOf(attempt.outcome, facts);
  const { formedAt } = slot;
  return conclude(options, shipment, {
    sending: order,
    settlement,
    attempt,
    bytes: 0,
    formedAt,
    sentAt: null,
  });
}

/** A gate was shut before the POST. */
function unsent(
  { load: { records, order } }: Shipment,
  { past, formedAt }: { past: BatchPast; formedAt: number | null },
): Sent {
  const settlement = notSent({ externalIds: idsOf(records, order), past });
  return { sending: order, settlement, attempt: null, bytes: 0, formedAt, sentAt: null };
}

/**
 * The POST itself, right after the slot is granted. What grew too old meanwhile is left out: by Redis's clock, because a
 * machine whose own is fast would let all pings expire. `missed`: it was too late for the slot, and nothing was sent.
 */
async function post(
  { redis, client }: DeliveryOptions,
  { destination, load }: Shipment,
  prepared: Prepared,
  { past, formedAt, timeoutMs, slot, waitMs, requestedAt }: GrantedSlot,
): Promise<Sent | "missed"> {
  let isMissed = false;
  const sinceSlotMs = () => performance.now() - requestedAt - waitMs;
  const beforeSend = () => {
    const lateMs = sinceSlotMs();
    isMissed = lateMs > MAX_LATE_MS;
    if (!isMissed && lateMs > destination.slotSlackMs) {
      // If this does not reach Redis, neither does the settlement, and that failure is reported.
      slotUsedLate(redis, destination, slot, lateMs).catch(() => {});
    }
    return !isMissed;
  };
  const oldestWanted = slot + sinceSlotMs() - destination.maxAgeMs;
  const sending = load.order.filter((i) => fixTimeAt(load.records, i) >= oldestWanted);
  if (sending.length === 0) {
    const settlement: Settlement = { ...notSent({ externalIds: [], past }), decision: "expire" };
    return { sending, settlement, attempt: null, bytes: 0, formedAt, sentAt: null };
  }
  const externalIds = idsOf(load.records, sending);
  const body = bodyOf(destination, load, sending);
  const sentAt = Math.round(slot + Math.max(0, sinceSlotMs()));
  const attempt = await client.send(destination.target, prepared, body, externalIds, {
    timeoutMs,
    beforeSend,
  });
  if (isMissed) return "missed";
  const bytes = Buffer.byteLength(body);
  const settlement = settlementOf(attempt.outcome, { externalIds, past, bytes });
  return { sending, settlement, attempt, bytes, formedAt, sentAt };
}

/** 401, and 403 or 404 too: gateways answer those for a token of before a change of scopes. */
function deservesFreshToken({ outcome }: Attempt): boolean {
  return (
    outcome.kind === "blocked" &&
    (outcome.reason === "unauthorized" || outcome.reason === "forbidden" || outcome.reason === "not_found")
  );
}
