/**
 * Remembers what a message completed until it is stored: its parts are used up, and without this a position would be
 * lost whose sender got 503. It costs about 500 bytes a message, for the five vendors that split positions, over HTTP.
 */

import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { RawReading } from "../reading.ts";

/** How long after a 503 its sender may come again: vendors begin after a second or a few. */
const RESEND_MS = 30_000;
/** Beyond it the oldest is dropped, and its position with it. */
const MAX_MESSAGES = 10_000;

/** What the assembler must know of a message; the object itself stands for the message that is retried. */
export interface Sent {
  receivedAt: number;
  retained: boolean;
  resent?: boolean;
}

/** What a message said, and what came of it. */
interface Assembled {
  rawReadings: RawReading[];
  assembled: RawReading[];
}

export function createDeferredParts() {
  /** A message that is retried is the same object. */
  const byMessage = new WeakMap<object, Assembled>();
  /** A message that its sender sends again is another object: only what it says is the same. */
  let byContent: LRUCache<string, { receivedAt: number; assembled: RawReading[] }> | null = null;

  return {
    /** What came of the same message before; null when there is none. */
    assembledBefore(
      source: string,
      rawReadings: RawReading[],
      message: Sent,
    ): { assembled: RawReading[]; isResent: boolean } | null {
      const retried = byMessage.get(message);
      if (retried) return { assembled: retried.assembled, isResent: false };
      const before = byContent?.size ? byContent.peek(keyOf(source, rawReadings)) : undefined;
      if (!before || Math.abs(message.receivedAt - before.receivedAt) > RESEND_MS) return null;
      byMessage.set(message, { rawReadings, assembled: before.assembled });
      return { assembled: before.assembled, isResent: true };
    },
    assembled(message: Sent, result: Assembled): void {
      byMessage.set(message, result);
    },
    remember(source: string, message: Sent): void {
      const result = byMessage.get(message);
      if (!result) return;
      byContent ??= new LRUCache({ max: MAX_MESSAGES });
      byContent.set(keyOf(source, result.rawReadings), {
        receivedAt: message.receivedAt,
        assembled: result.assembled,
      });
    },
    drop(source: string, message: Sent): void {
      const result = byContent?.size ? byMessage.get(message) : undefined;
      if (result) byContent?.delete(keyOf(source, result.rawReadings));
    },
  };
}

/** Decoding is pure: what is sent again says the same, letter for letter. */
function keyOf(source: string, rawReadings: RawReading[]): string {
  const hash = createHash("sha256").update(source).update("\0");
  return hash.update(JSON.stringify(rawReadings)).digest("base64url");
}
