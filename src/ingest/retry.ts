/** Ingests a message again until it is stored, where its sender cannot be asked to come again: MQTT, and pages we asked for. */

import { setTimeout as pause } from "node:timers/promises";
import type { Authenticated } from "../adapters/kit/adapter.ts";
import { type Backoff, backoffMs } from "../time.ts";
import type { Ingest } from "./ingest.ts";
import type { IngestResult } from "./result.ts";
import type { Source } from "./source.ts";

/**
 * `maxMs`: how late a message may notice that storage is back, well within the 5 s that are promised. Half of each wait
 * is drawn, or a whole window of messages would come back at the same moment.
 */
const BACKOFF: Backoff = { firstMs: 100, maxMs: 2000, jitter: 0.5 };

/** A message that is retried holds up later ones of the same device: they are stored in the order in which they came. */
export interface RetryOrder {
  /** By device: messages that wait for an earlier one, in order of arrival. A device is there while one is retried. */
  waiting: Map<string, { arrival: number; resume: () => void }[]>;
  arrivals: number;
}

export function createRetryOrder(): RetryOrder {
  return { waiting: new Map(), arrivals: 0 };
}

export interface Retry {
  ingest: Pick<Ingest, "ingest">;
  source: Source;
  message: Authenticated;
  giveUp: () => boolean;
  /** Aborted when `giveUp` has changed for everything under way: no wait goes on. */
  ended?: AbortSignal;
  /** Called once if it is given up. */
  onGivenUp?: () => void;
  /** Ingest threw, which it should not; the message is offered again. */
  onError: (error: unknown) => void;
  /** Where several may be under way at once: the order that counts, and the key of the device. */
  inOrder?: { order: RetryOrder; key: string };
}

/**
 * The result that ends the message's way, or null when `giveUp` said so first. Stored, ignored, malformed, refused and
 * quarantined are all ends: none of them would be different another time.
 */
export async function ingestWithRetry(what: Retry): Promise<IngestResult | null> {
  const { ingest, source, message, giveUp, inOrder } = what;
  const arrival = inOrder ? inOrder.order.arrivals++ : 0;
  // While all is well no message waits: messages of one device go to Redis together and in order.
  if (!inOrder?.order.waiting.has(inOrder.key) && !giveUp()) {
    try {
      const result = await ingest.ingest(source, message);
      if (isEnd(result)) return result;
    } catch (error) {
      what.onError(error);
    }
  }
  const result = inOrder ? await retryInTurn(what, inOrder, arrival) : await retryLoop(what, 1);
  if (result === null) what.onGivenUp?.();
  return result;
}

async function retryInTurn(
  what: Retry,
  { order, key }: NonNullable<Retry["inOrder"]>,
  arrival: number,
): Promise<IngestResult | null> {
  const others = order.waiting.get(key);
  const behind = others ?? [];
  let failures = 0;
  if (others) {
    // Messages that were under way together fail together, and a later one may have begun to wait first.
    const at = others.findIndex((other) => other.arrival > arrival);
    await new Promise<void>((resume) => others.splice(at < 0 ? others.length : at, 0, { arrival, resume }));
  } else {
    order.waiting.set(key, behind);
    failures = 1;
  }
  try {
    return await retryLoop(what, failures);
  } finally {
    const next = behind.shift();
    if (next) next.resume();
    else order.waiting.delete(key);
  }
}

/** Waits before each attempt but one that is the message's first. */
async function retryLoop(what: Retry, failed: number): Promise<IngestResult | null> {
  const { ingest, source, message, giveUp, ended } = what;
  for (let failures = failed; !giveUp(); failures++) {
    if (failures > 0) await waitFor(backoffMs(failures - 1, BACKOFF), ended);
    if (giveUp()) return null;
    try {
      const result = await ingest.ingest(source, message);
      if (isEnd(result)) return result;
    } catch (error) {
      what.onError(error);
    }
  }
  return null;
}

/** A message that can be stored another time, or failed without reaching the quarantine, is not at its end. */
function isEnd(result: IngestResult): boolean {
  // The source is gone: nobody will take the message any more.
  if (result.kind === "deferred") return result.reason === "source_removed";
  return !(result.kind === "failed" && !result.quarantined);
}

async function waitFor(ms: number, ended: AbortSignal | undefined): Promise<void> {
  await pause(ms, undefined, ended ? { ref: false, signal: ended } : { ref: false }).catch(() => {});
}
