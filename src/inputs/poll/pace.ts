/** How long a poller waits before it asks again. */

import { type Backoff, backoffMs } from "../../time.ts";

/** `maxMs`: how late we may notice that a vendor is back. The whole wait is random, so that pollers spread. */
const BACKOFF: Backoff = { firstMs: 1000, maxMs: 60_000, jitter: 1 };
/** A longer wait is asked for by mistake. */
const MAX_RETRY_AFTER_MS = 3_600_000;

export interface PollPace {
  succeeded(): void;
  failed(): void;
  /** After as many failures as there were in a row. */
  backoffMs(): number;
  /** What the vendor asks for, within bounds. */
  askedMs(waitMs: number): number;
  /** After an answer "too often": what the vendor asks for, or null where it does not say. */
  throttledMs(waitMs: number | null): number;
}

/** `minGapMs`: what the vendor wants between any two requests. */
export function createPollPace(minGapMs: number): PollPace {
  let failures = 0;
  const ownMs = () => Math.max(backoffMs(Math.max(failures - 1, 0), BACKOFF), minGapMs);
  const askedMs = (waitMs: number) => Math.min(Math.max(waitMs, minGapMs), MAX_RETRY_AFTER_MS);
  return {
    succeeded() {
      failures = 0;
    },
    failed() {
      failures += 1;
    },
    backoffMs: ownMs,
    askedMs,
    throttledMs: (waitMs) => (waitMs === null ? ownMs() : askedMs(waitMs)),
  };
}
