/** Repeats a request to Redis while Redis is away, for work that must not be left half done. */

import { setTimeout as sleep } from "node:timers/promises";

/** Redis is restarted or failed over within this time; after it the process that finds the batch sends it once more. */
const PATIENCE_MS = 60_000;
/** Sooner than a sweep or a stalled job gives the batch to another process, once Redis is back. */
const ASK_AGAIN_MS = 250;

/**
 * A batch that is left alone is found by other processes only seconds later, and one that ServiceTitan has answered is then
 * sent once more; so delivery waits for a Redis that does not answer. The batch's token makes repeating safe, whether the
 * first request got through or another process owns the batch by now.
 */
export async function untilRedisAnswers<T>(request: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await sleep(ASK_AGAIN_MS);
  }
}
