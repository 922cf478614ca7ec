/** Offers a message to intake until it is kept, where its sender cannot be told "not now": MQTT, and pages we asked for. */

import { setTimeout as pause } from "node:timers/promises";
import type { Message } from "./adapters/adapter.ts";
import type { Intake, IntakeResult, Source } from "./intake.ts";

/** First wait; doubled each time. */
const FIRST_RETRY_MS = 100;
/** Longest wait: how late a message may notice that storage is back. */
const MAX_RETRY_MS = 5000;

/**
 * The result that ends the message's way, or null when `giveUp` said so first. Kept, understood, refused and quarantined
 * are all ends: none of them would be different another time.
 */
export async function offer({
  intake,
  source,
  message,
  giveUp,
  onError,
}: {
  intake: Intake;
  source: Source;
  message: Message;
  giveUp: () => boolean;
  /** Intake threw, which it should not; the message is offered again. */
  onError: (error: unknown) => void;
}): Promise<IntakeResult | null> {
  for (let retryMs = FIRST_RETRY_MS; !giveUp(); retryMs = Math.min(2 * retryMs, MAX_RETRY_MS)) {
    try {
      const result = await intake.accept(source, message);
      if (result.kind !== "unkept" && !(result.kind === "failed" && !result.quarantined)) return result;
    } catch (error) {
      onError(error);
    }
    // Jitter, or a whole window of messages would come back in one moment.
    await pause(retryMs * (0.5 + Math.random() / 2), undefined, { ref: false });
  }
  return null;
}
