/** Compares this machine's clock with Redis's: gates, slots and expiry use Redis's, arrival and age use ours. */

import type { Redis } from "ioredis";

export interface ClockCheck {
  /** Redis's time, and how old it is at most. */
  observe(redisMs: number, roundTripMs: number): void;
  /** What is wrong, in words; null while the clocks agree. */
  problem(): string | null;
}

/** UTC milliseconds since 1970, by Redis's clock. */
export async function redisNow(redis: Redis): Promise<number> {
  const [seconds, microseconds] = (await redis.time()).map(Number);
  return (seconds ?? 0) * 1000 + Math.floor((microseconds ?? 0) / 1000);
}

/** Half of what a fix may be ahead of us: from here on good fixes are about to be rejected as being in the future. */
const MAX_SKEW_MS = 60_000;

export function createClockCheck(report: (problem: string) => void, now = Date.now): ClockCheck {
  let problem: string | null = null;
  return {
    observe(redisMs, roundTripMs) {
      const skewMs = now() - roundTripMs / 2 - redisMs;
      // A slow answer says little; the next one comes in a second.
      if (roundTripMs > MAX_SKEW_MS / 2) return;
      const before = problem;
      problem = Math.abs(skewMs) > MAX_SKEW_MS ? inWords(skewMs) : null;
      if (problem !== null && problem !== before) report(problem);
    },
    problem: () => problem,
  };
}

function inWords(skewMs: number): string {
  const minutes = Math.round(Math.abs(skewMs) / 60_000);
  const where = `${minutes} min ${skewMs > 0 ? "ahead of" : "behind"} that of Redis`;
  return `clock: this machine's is about ${where}; ages are wrong and fixes may be turned down. Synchronise both by NTP.`;
}
