/** Offers a message to ingest until it is kept, where its sender cannot be told "not now": MQTT, and pages we asked for. */

import { setTimeout as pause } from "node:timers/promises";
import type { Message } from "../adapters/kit/adapter.ts";
import type { Ingest, IngestResult, Source } from "./ingest.ts";

/** First wait; doubled each time. */
const FIRST_RETRY_MS = 100;
/** Longest wait: how late a message may notice that storage is back, well within the 5 s that are promised. */
const MAX_RETRY_MS = 2000;

/** What has to be offered again holds up what came later from the same device: it is kept in the order it came. */
export interface RetryOrder {
  /** Those that wait for one before them, in order of arrival, by key; a key is there while one is offered again. */
  waiting: Map<string, { arrival: number; resume: () => void }[]>;
  arrivals: number;
}

export function createRetryOrder(): RetryOrder {
  return { waiting: new Map(), arrivals: 0 };
}

export interface Offer {
  ingest: Pick<Ingest, "ingestAuthenticated">;
  /** Of a sender that needs no proof: the broker connection, the device's login or our own question is one. */
  source: Source;
  message: Message;
  giveUp: () => boolean;
  /** Aborted when `giveUp` has changed for everything on offer: nothing rests on. */
  ended?: AbortSignal;
  /** Called once if it is given up. */
  onGivenUp?: () => void;
  /** Ingest threw, which it should not; the message is offered again. */
  onError: (error: unknown) => void;
  /** Where several may be on offer at once: whose order counts, and the key of the device. */
  inOrder?: { order: RetryOrder; key: string };
}

/**
 * The result that ends the message's way, or null when `giveUp` said so first. Kept, understood, refused and quarantined
 * are all ends: none of them would be different another time.
 */
export async function offer(what: Offer): Promise<IngestResult | null> {
  const { ingest, source, message, giveUp, inOrder } = what;
  const arrival = inOrder ? inOrder.order.arrivals++ : 0;
  // While all is well nobody waits: messages of one device go to Redis together and in order.
  if (!inOrder?.order.waiting.has(inOrder.key) && !giveUp()) {
    try {
      const result = await ingest.ingestAuthenticated(source, message);
      if (isEnd(result)) return result;
    } catch (error) {
      what.onError(error);
    }
  }
  const result = inOrder ? await retryInTurn(what, inOrder, arrival) : await retry(what, FIRST_RETRY_MS);
  if (result === null) what.onGivenUp?.();
  return result;
}

async function retryInTurn(
  what: Offer,
  { order, key }: NonNullable<Offer["inOrder"]>,
  arrival: number,
): Promise<IngestResult | null> {
  const others = order.waiting.get(key);
  const behind = others ?? [];
  let restMs = 0;
  if (others) {
    // Those that were on offer together come back together, and later ones may have begun to wait before them.
    const at = others.findIndex((other) => other.arrival > arrival);
    await new Promise<void>((resume) => others.splice(at < 0 ? others.length : at, 0, { arrival, resume }));
  } else {
    order.waiting.set(key, behind);
    restMs = FIRST_RETRY_MS;
  }
  try {
    return await retry(what, restMs);
  } finally {
    const next = behind.shift();
    if (next) next.resume();
    else order.waiting.delete(key);
  }
}

/** Rests first, for as long as that, and twice as long each time. */
async function retry(what: Offer, firstRestMs: number): Promise<IngestResult | null> {
  const { ingest, source, message, giveUp, ended } = what;
  let restMs = firstRestMs;
  while (!giveUp()) {
    if (restMs > 0) await restFor(restMs, ended);
    if (giveUp()) return null;
    try {
      const result = await ingest.ingestAuthenticated(source, message);
      if (isEnd(result)) return result;
    } catch (error) {
      what.onError(error);
    }
    restMs = Math.min(Math.max(2 * restMs, FIRST_RETRY_MS), MAX_RETRY_MS);
  }
  return null;
}

/** What can be stored another time, and what failed without so much as a quarantine, is no end. */
function isEnd(result: IngestResult): boolean {
  return result.kind !== "deferred" && !(result.kind === "failed" && !result.quarantined);
}

/** Jitter, or a whole window of messages would come back in one moment. */
async function restFor(restMs: number, ended: AbortSignal | undefined): Promise<void> {
  const jittered = restMs * (0.5 + Math.random() / 2);
  await pause(jittered, undefined, ended ? { ref: false, signal: ended } : { ref: false }).catch(() => {});
}
