/** Acquires what one POST needs: the batch for itself, open gates, and a throttle slot. */

import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";

const ACQUIRE_SLOT = loadScript("acquire-slot");
const SLOT_USED_LATE = loadScript("slot-used-late");

/** Slots are given at most this far ahead: longer, and a pause or a newer ping could come between. */
const HORIZON_MS = 250;

/**
 * After this long without an answer to a probe another lane may probe, so that the end of an outage in which requests hang
 * is noticed before one of them times out. After a timeout a probe itself gets no longer either, or every lane would hang
 * in one; but each sixteenth gets the full time, for a ServiceTitan that has become slow.
 */
const PROBE_MS = 4000;

/**
 * So long a claim keeps others away: its owner is about to send, or has just sent. After an outage of Redis two processes
 * may come for one batch in the same moment, and both would send it. Shorter than the lock of a job (`queue.lockMs`), so
 * that a batch whose owner crashed is not kept waiting.
 */
const CLAIM_MS = 1000;

/** What happened to a batch before; all zero for one that was just formed. */
export interface BatchPast {
  /** It has been sent before and ServiceTitan did not say what became of these pings. */
  asked: boolean;
  /** How often in a row it was answered 500. */
  serverErrors: number;
  /** It is a piece of a refused batch: how many requests the destination had accepted when that was refused. */
  root: string | null;
}

/** `formedAt`: when the batch was formed, UTC milliseconds since 1970, by Redis's clock. */
export type Slot =
  /** Send in `waitMs` and not before; later than the destination's `slotSlackMs` only with a call of `slotUsedLate`. */
  | {
      kind: "send";
      waitMs: number;
      past: BatchPast;
      formedAt: number | null;
      slot: number;
      timeoutMs: number;
    }
  /** No slot soon, or another process has just claimed the batch: ask again after `waitMs`. */
  | { kind: "wait"; waitMs: number }
  /** A gate is shut: the batch goes back to the backlog. */
  | { kind: "closed"; past: BatchPast; formedAt: number | null }
  /** Another process has settled the batch. */
  | { kind: "gone" };

/** What the batch is acquired for: to be sent, or only to be settled without having been sent. */
export type SlotPurpose = "sending" | "settling";

/** Throws when Redis does not answer. */
export async function acquireSlot(
  redis: Redis,
  destination: QueueDestination,
  batch: { id: string; lane: number },
  token: string,
  purpose: SlotPurpose,
): Promise<Slot> {
  const args = {
    destination: destination.name,
    lane: batch.lane,
    batchId: batch.id,
    token,
    ratePerSecond: destination.ratePerSecond,
    windowMs: destination.windowMs,
    horizonMs: purpose === "sending" ? HORIZON_MS : null,
    probeMs: PROBE_MS,
    claimMs: CLAIM_MS,
  };
  const reply = await runScript(redis, ACQUIRE_SLOT, [destination.keyPrefix], [namedArgs(args)]);
  const [kind, waitMs, asked, serverErrors, root, formed, slot, isShort] = reply;
  const formedAt = formed === "" ? null : Number(formed);
  const past = {
    asked: asked === "1",
    serverErrors: Number(serverErrors),
    root: root === "" ? null : String(root),
  };
  switch (kind) {
    case "send": {
      const { requestTimeoutMs } = destination.target;
      const timeoutMs = Number(isShort) === 1 ? Math.min(requestTimeoutMs, PROBE_MS) : requestTimeoutMs;
      return { kind, waitMs: Number(waitMs), past, formedAt, slot: Number(slot), timeoutMs };
    }
    case "wait":
      return { kind, waitMs: Number(waitMs) };
    case "closed":
      return { kind, past, formedAt };
    case "gone":
      return { kind };
    default:
      throw new Error(`Unexpected answer of acquire-slot.lua: ${String(kind)}`);
  }
}

/**
 * A request that was sent late is nearer to the next ones than the window allows. Reported when it is sent, it makes the
 * throttle keep the next ones away. Slots are given at most HORIZON_MS ahead, so there is time for the report.
 */
export async function slotUsedLate(
  redis: Redis,
  { keyPrefix }: QueueDestination,
  slot: number,
  lateMs: number,
): Promise<void> {
  await runScript(redis, SLOT_USED_LATE, [keyPrefix], [slot, Math.ceil(lateMs)]);
}
