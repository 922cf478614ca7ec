/** Offers a message to intake until it is kept, where its sender cannot be told "not now": MQTT, and pages we asked for. */

import { setTimeout as pause } from "node:timers/promises";
import type { Message } from "./adapters/adapter.ts";
import type { Intake, IntakeResult, Source } from "./intake.ts";

/** First wait; doubled each time. */
const FIRST_RETRY_MS = 100;
/** Longest wait: how late a message may notice that storage is back, well within the 5 s that are promised. */
const MAX_RETRY_MS = 2000;

/** What has to be offered again holds up what came later from the same device: it is kept in the order it came. */
export interface OfferOrder {
  /** Those that wait for one before them, in order of arrival, by key; a key is there while one is offered again. */
  waiting: Map<string, { arrival: number; goOn: () => void }[]>;
  arrivals: number;
}

export function createOfferOrder(): OfferOrder {
  return { waiting: new Map(), arrivals: 0 };
}

export interface Offer {
  intake: Intake;
  source: Source;
  message: Message;
  giveUp: () => boolean;
  /** Intake threw, which it should not; the message is offered again. */
  onError: (error: unknown) => void;
  /** Where several may be on offer at once: whose order counts, and the key of the device. */
  inOrder?: { order: OfferOrder; key: string };
}

/**
 * The result that ends the message's way, or null when `giveUp` said so first. Kept, understood, refused and quarantined
 * are all ends: none of them would be different another time.
 */
export async function offer(what: Offer): Promise<IntakeResult | null> {
  const { giveUp, inOrder } = what;
  if (!inOrder) return offerAgain(what, FIRST_RETRY_MS);
  const { order, key } = inOrder;
  const arrival = order.arrivals++;
  // While all is well nobody waits: messages of one device go to Redis together and in order.
  if (!order.waiting.has(key) && !giveUp()) {
    const result = await offerOnce(what);
    if (result !== null) return result;
  }
  const others = order.waiting.get(key);
  const behind = others ?? [];
  if (others) {
    // Those that were on offer together come back together, and later ones may have begun to wait before them.
    const at = others.findIndex((other) => other.arrival > arrival);
    await new Promise<void>((goOn) => others.splice(at < 0 ? others.length : at, 0, { arrival, goOn }));
  } else {
    order.waiting.set(key, behind);
    await restBefore(FIRST_RETRY_MS);
  }
  try {
    return await offerAgain(what, 2 * FIRST_RETRY_MS);
  } finally {
    const next = behind.shift();
    if (next) next.goOn();
    else order.waiting.delete(key);
  }
}

async function offerAgain(what: Offer, firstRestMs: number): Promise<IntakeResult | null> {
  for (let restMs = firstRestMs; !what.giveUp(); restMs = Math.min(2 * restMs, MAX_RETRY_MS)) {
    const result = await offerOnce(what);
    if (result !== null) return result;
    await restBefore(restMs);
  }
  return null;
}

/** Null: it has to be offered again. */
async function offerOnce({ intake, source, message, onError }: Offer): Promise<IntakeResult | null> {
  try {
    const result = await intake.accept(source, message);
    if (result.kind !== "unkept" && !(result.kind === "failed" && !result.quarantined)) return result;
  } catch (error) {
    onError(error);
  }
  return null;
}

/** Jitter, or a whole window of messages would come back in one moment. */
async function restBefore(restMs: number): Promise<void> {
  await pause(restMs * (0.5 + Math.random() / 2), undefined, { ref: false });
}
