/** Instants as text and by GPS weeks, and waits: with an end, and growing from one attempt to the next. */

/** ISO 8601, UTC, milliseconds. */
export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** A receiver's count of weeks has ten bits (IS-GPS-200, 20.3.3.3.1.1), so its date may be off by as much, once or twice. */
const ROLLOVERS_MS = [1, 2].map((times) => times * 1024 * 7 * 86_400_000);

/** What counts as current for a rollover where no age is too old. */
export const CURRENT_MS = 86_400_000;

/** By how much an age is too great because the count of weeks began again; null where that is not why. */
export function rolloverIn(ageMs: number, oldestMs: number, aheadMs: number): number | null {
  return ROLLOVERS_MS.find((by) => ageMs - by <= oldestMs && ageMs - by >= -aheadMs) ?? null;
}

/** A time put right where it cannot be right as it is: older than so long or before `earliest`, and current if put right. */
export function unrolled(
  time: number,
  { now, olderThanMs, earliest, aheadMs }: Record<"now" | "olderThanMs" | "earliest" | "aheadMs", number>,
): number {
  if (now - time <= olderThanMs && time >= earliest) return time;
  return (
    time + (rolloverIn(now - time, Number.isFinite(olderThanMs) ? olderThanMs : CURRENT_MS, aheadMs) ?? 0)
  );
}

/** Rejects when there is no answer in time; the work behind the answer goes on. */
export async function withTimeout<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

export interface Backoff {
  /** The wait after the first failure; it doubles with each further one. */
  firstMs: number;
  maxMs: number;
  /** The share of a wait that is drawn at random, 0 to 1, so that those who failed together come back apart. */
  jitter: number;
}

/** How long to wait when `failures` attempts failed before this one. */
export function backoffMs(failures: number, { firstMs, maxMs, jitter }: Backoff): number {
  return Math.min(firstMs * 2 ** failures, maxMs) * (1 - jitter * Math.random());
}
