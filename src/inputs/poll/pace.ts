/** How long a poller waits before it asks again. */

/** First wait after a failure, doubled each time; the wait is a random time up to it, so that pollers spread. */
const BACKOFF_MS = 1000;
/** How late we may notice that a vendor is back. */
const MAX_BACKOFF_MS = 60_000;
/** A longer wait is asked for by mistake. */
const MAX_RETRY_AFTER_MS = 3_600_000;

export interface PollPace {
  succeeded(): void;
  failed(): void;
  /** After as many failures as there were in a row. */
  backoffMs(): number;
  /** What the vendor asks for, within bounds. */
  askedMs(waitMs: number): number;
}

/** `minGapMs`: what the vendor wants between any two requests. */
export function createPollPace(minGapMs: number): PollPace {
  let failures = 0;
  return {
    succeeded() {
      failures = 0;
    },
    failed() {
      failures += 1;
    },
    backoffMs() {
      const longest = Math.min(BACKOFF_MS * 2 ** Math.max(failures - 1, 0), MAX_BACKOFF_MS);
      return Math.max(Math.random() * longest, minGapMs);
    },
    askedMs: (waitMs) => Math.min(Math.max(waitMs, minGapMs), MAX_RETRY_AFTER_MS),
  };
}
