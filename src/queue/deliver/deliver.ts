/** Delivers one batch: token, leave, POST at the slot's moment, settlement, ledger; and whatever happens, one line of log. */

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { Client, Prepared } from "../../servicetitan/client.ts";
import type { Attempt } from "../../servicetitan/outcome.ts";
import { externalIdOf, toPing } from "../../servicetitan/ping.ts";
import type { CutBatch } from "../batch/batch.ts";
import type { BatchName, DeliveryEnd } from "../batch/jobs.ts";
import { encodeEntry } from "../ledger/ledger.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { keys } from "../redis/keys.ts";
import { type BufferRecord, decodeRecord } from "../redis/record.ts";
import {
  type DeliveryEvents,
  fixTimeAt,
  named,
  tellAttempt,
  tellGates,
  tellSettlement,
} from "./delivery-events.ts";
import { settle } from "./settle.ts";
import { type Fate, notSent, type Settlement, settlementOf } from "./settlement.ts";
import { askLeave, type BatchPast, slotUsedLate } from "./slot.ts";

export interface DeliveryOptions {
  redis: Redis;
  client: Client;
  destinations: ReadonlyMap<string, QueueDestination>;
  ledgerMaxAgeMs: number;
  events: DeliveryEvents;
  freed(batch: BatchName): void;
}

/** A batch read and put in the order it is sent in. */
interface Load {
  records: BufferRecord[];
  newFlags: string;
  /** Positions in `records`, by fix time: a unit's pings travel oldest first. */
  order: number[];
}

interface Post {
  past: BatchPast;
  timeoutMs: number;
  beforeSend: () => boolean;
  /** UTC milliseconds since 1970. */
  redisNow: number;
}

/**
 * A request this late does not leave but takes another slot. Up to here there is half a second left for
 * `slotUsedLate` to be heard: the second of the window, less this and the time slots are given ahead.
 */
const MAX_LATE_MS = 250;
/** Redis is restarted or failed over within this time; after it the batch is sent once more by whoever finds it. */
const PATIENCE_MS = 60_000;
/** Sooner than a sweep or a stalled job gives the batch to somebody else, once Redis is back. */
const ASK_AGAIN_MS = 250;
/** Records of batches this process cut, until their job comes by: saves reading them again. */
const MAX_HANDED_OVER = 500;

export function createDelivery(options: DeliveryOptions) {
  const { redis, client, destinations, events } = options;
  const handedOver = new Map<string, CutBatch>();

  function handOver(batch: CutBatch): void {
    handedOver.set(batch.id, batch);
    if (handedOver.size <= MAX_HANDED_OVER) return;
    // The oldest one's job was most likely taken by another process.
    for (const id of handedOver.keys()) {
      handedOver.delete(id);
      return;
    }
  }

  async function deliver(name: BatchName): Promise<DeliveryEnd> {
    const destination = destinations.get(name.destination);
    // New in the configuration of another process, or taken out of it while pings waited: they stay where they are.
    if (!destination) return "unknown_destination";
    try {
      const load = await loadOf(destination, name.batchId);
      if (load) await send(destination, name, load);
    } finally {
      options.freed(name);
    }
    return "done";
  }

  async function loadOf(destination: QueueDestination, id: string): Promise<Load | null> {
    const known = handedOver.get(id);
    handedOver.delete(id);
    let texts = known?.records;
    let newFlags = known?.newFlags;
    if (!texts) {
      const [records, flags] = await Promise.all([
        redis.lrange(keys.batch(destination.scope, id), 0, -1),
        redis.hget(keys.batchFacts(destination.scope, id), "new"),
      ]);
      texts = records;
      newFlags = flags ?? "";
    }
    if (texts.length === 0) return null;
    const records = texts.map(decodeRecord);
    const order = records.map((_, i) => i).sort((a, b) => fixTimeAt(records, a) - fixTimeAt(records, b));
    return { records, newFlags: newFlags ?? "", order };
  }

  async function send(destination: QueueDestination, name: BatchName, load: Load): Promise<void> {
    const token = randomUUID();
    const batch = { id: name.batchId, lane: name.lane };
    let renewed = false;
    for (;;) {
      const prepared = await client.prepare(destination.target);
      if ("outcome" in prepared) {
        const leave = await patiently(() => askLeave(redis, destination, batch, token, "settling"));
        if (leave.kind !== "closed") return;
        const all = { externalIds: idsOf(load.records, load.order), past: leave.past, bytes: 0 };
        const settlement = settlementOf(prepared.outcome, all);
        return conclude(destination, name, load, token, {
          sending: load.order,
          settlement,
          attempt: prepared,
          bytes: 0,
        });
      }
      let askedAt = 0;
      const leave = await patiently(() => {
        askedAt = performance.now();
        return askLeave(redis, destination, batch, token, "sending");
      });
      if (leave.kind === "gone") return;
      if (leave.kind === "closed") {
        const settlement = notSent({ externalIds: idsOf(load.records, load.order), past: leave.past });
        return conclude(destination, name, load, token, {
          sending: load.order,
          settlement,
          attempt: null,
          bytes: 0,
        });
      }
      // Redis worked out the wait at some moment after we asked, so the slot begins within this reply's round trip.
      if (leave.waitMs > 0) await sleep(leave.waitMs);
      if (leave.kind === "wait") continue;
      let missed = false;
      const sinceSlot = () => performance.now() - askedAt - leave.waitMs;
      const beforeSend = () => {
        const lateMs = sinceSlot();
        missed = lateMs > MAX_LATE_MS;
        if (!missed && lateMs > destination.slotSlackMs) {
          // If Redis does not hear of it, the settlement will not be heard either, and its failure is told.
          slotUsedLate(redis, destination, leave.slot, lateMs).catch(() => {});
        }
        return !missed;
      };
      const { past, timeoutMs } = leave;
      const redisNow = leave.slot + sinceSlot();
      const made = await post(destination, load, prepared, { past, timeoutMs, beforeSend, redisNow });
      if (missed) continue;
      const { attempt } = made;
      if (attempt && !renewed && attempt.tokenWasCached && deservesFreshToken(attempt)) {
        // Not a hidden retry: the second POST asks for leave, takes a slot of its own, and both are told.
        renewed = true;
        client.renew(destination.target, prepared);
        const settlement = {
          ...made.settlement,
          decision: "renew_token",
          destination: { kind: "none" },
        } as const;
        tellAttempt(events, destination, name, load.records, made.sending, { ...made, attempt, settlement });
        continue;
      }
      return conclude(destination, name, load, token, made);
    }
  }

  /**
   * The POST itself, right after the slot is granted. What grew too old meanwhile is left out: by Redis's clock, for a
   * machine whose own is fast would let everybody's pings go.
   */
  async function post(
    destination: QueueDestination,
    { records, newFlags, order }: Load,
    prepared: Prepared,
    { past, timeoutMs, beforeSend, redisNow }: Post,
  ): Promise<Sent> {
    const oldestWanted = redisNow - destination.maxAgeMs;
    const sending = order.filter((i) => fixTimeAt(records, i) >= oldestWanted);
    if (sending.length === 0) {
      const settlement: Settlement = { ...notSent({ externalIds: [], past }), decision: "expire" };
      return { sending, settlement, attempt: null, bytes: 0 };
    }
    const externalIds = idsOf(records, sending);
    const body = bodyOf(destination, records, newFlags, sending);
    const attempt = await client.send(destination.target, prepared, body, externalIds, {
      timeoutMs,
      beforeSend,
    });
    const bytes = Buffer.byteLength(body);
    const settlement = settlementOf(attempt.outcome, { externalIds, past, bytes });
    return { sending, settlement, attempt, bytes };
  }

  async function conclude(
    destination: QueueDestination,
    name: BatchName,
    { records }: Load,
    token: string,
    { sending, settlement, attempt, bytes }: Sent,
  ): Promise<void> {
    // The settlement speaks of what was sent, in that order; Redis wants the batch's own order. Not sent = expired.
    const fates = records.map((): Fate => "e");
    sending.forEach((position, i) => {
      fates[position] = settlement.fates[i] ?? "b";
    });
    const deadLetters = settlement.deadLetters.map((letter) => ({ ...letter, at: sending[letter.at] ?? 0 }));
    const outcome = attempt?.outcome.kind ?? "not_sent";
    const ledger = encodeEntry(
      {
        batchId: name.batchId,
        destination: destination.name,
        outcome,
        status: attempt?.status ?? null,
        tookMs: Math.round(attempt?.tookMs ?? 0),
        traceId: attempt?.traceId ?? null,
      },
      records,
      fates,
    );
    const request = {
      batchId: name.batchId,
      lane: name.lane,
      token,
      settlement: { ...settlement, fates, deadLetters },
      label: attempt ? outcome : "",
      ledger,
      ledgerMaxAgeMs: options.ledgerMaxAgeMs,
    };
    const result = await patiently(() => settle(redis, destination, request));
    if (attempt) tellAttempt(events, destination, name, records, sending, { settlement, attempt, bytes });
    if (result.kind === "fenced") {
      events.sweepFound({ what: "settled_elsewhere", count: 1 });
      return;
    }
    if (attempt) tellGates(events, destination, settlement);
    tellSettlement(events, destination, name, records, fates, settlement);
    if (result.convicted.pings > 0) events.pingsDeadLettered({ ...named(name), ...result.convicted });
    if (result.shutAs) {
      events.gateChanged({
        scope: destination.scope,
        destination: destination.name,
        state: "blocked",
        reason: result.shutAs,
        untilMs: null,
      });
    }
  }

  /**
   * A batch left to itself is found by others only seconds later, and one that ServiceTitan has answered is then sent
   * once more; so a Redis that does not answer is waited for. The token keeps a second asking from changing anything,
   * whether the first one came through or another holds the batch by now.
   */
  async function patiently<T>(ask: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (performance.now() > deadline) throw error;
      }
      await sleep(ASK_AGAIN_MS);
    }
  }

  return { deliver, handOver };
}

/** What was posted, or would have been, and what it came to. */
interface Sent {
  /** Positions of the pings the settlement speaks of, in its order. */
  sending: number[];
  settlement: Settlement;
  /** Null: nothing was posted and no token was asked for. */
  attempt: Attempt | null;
  bytes: number;
}

function idsOf(records: readonly BufferRecord[], positions: readonly number[]): string[] {
  return positions.flatMap((position) => {
    const record = records[position];
    return record ? [idOf(record)] : [];
  });
}

function idOf({ source, reading }: BufferRecord): string {
  return externalIdOf(source, reading.deviceId, reading.fixTime);
}

function bodyOf(
  { isNew, speedUnit }: QueueDestination,
  records: readonly BufferRecord[],
  newFlags: string,
  positions: readonly number[],
): string {
  const seen = new Set<string>();
  let body = "";
  for (const position of positions) {
    const record = records[position];
    if (!record) continue;
    const { reading, source, unit } = record;
    // Of a new unit's pings in one batch only the first is the first.
    const first = newFlags[position] === "1" && !seen.has(unit.unitId);
    if (first) seen.add(unit.unitId);
    const settings = { speedUnit, isNew: isNew === "always" || (isNew === "first" && first) };
    body += `${body === "" ? "[" : ","}${toPing(reading, source, unit, settings)}`;
  }
  return `${body}]`;
}

/** 401, and 403 or 404 too: gateways answer those for a token of before a change of scopes. */
function deservesFreshToken({ outcome }: Attempt): boolean {
  return (
    outcome.kind === "blocked" &&
    (outcome.reason === "unauthorized" || outcome.reason === "forbidden" || outcome.reason === "not_found")
  );
}
