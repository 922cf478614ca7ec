/** Instants as text, and waits: with an end, and growing from one attempt to the next. */

/** ISO 8601, UTC, milliseconds. */
export function iso(ms: number): string {
  return new Date(ms).toISOString();
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
