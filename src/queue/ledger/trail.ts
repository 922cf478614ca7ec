/** Keeps what operators did, bounded by number and age, so that it outlives restarts and every process shows the same. */

import type { Redis } from "ioredis";
import { redisNow } from "../redis/clock.ts";

/** An entry is a few hundred bytes: 3 MB at most. */
const MAX_ENTRIES = 10_000;
/** Entries of unauthenticated senders have a list of their own, so that a flood of guesses pushes out only guesses. */
const MAX_UNAUTHENTICATED = 1000;
/** A quarter of a year: what an audit asks about. */
const MAX_AGE_MS = 90 * 86_400_000;
/** Entries read at a time. */
const PAGE = 500;

/** ARGV: how many, the age in milliseconds, the entry. Redis's clock names the entries, and so it decides about their age. */
const ADD = `
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', 'e', ARGV[3])
local now = redis.call('TIME')
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', now[1] * 1000 - ARGV[2]))
return 1
`;

export type TrailStore = ReturnType<typeof createTrailStore>;

export function createTrailStore(redis: Redis, prefix: string) {
  const keyOf = (by: "operators" | "unauthenticated") => `${prefix}:trail:${by}`;

  async function* newestFirst(by: "operators" | "unauthenticated"): AsyncGenerator<string> {
    const oldest = (await redisNow(redis)) - MAX_AGE_MS;
    let end = "+";
    for (;;) {
      const page = await redis.xrevrange(keyOf(by), end, String(oldest), "COUNT", PAGE);
      for (const [, fields] of page) yield fields[1] ?? "";
      const last = page.at(-1);
      if (page.length < PAGE || !last) return;
      end = `(${last[0]}`;
    }
  }

  return {
    /** One line of JSON. */
    async add(by: "operators" | "unauthenticated", entry: string): Promise<void> {
      const max = by === "unauthenticated" ? MAX_UNAUTHENTICATED : MAX_ENTRIES;
      await redis.eval(ADD, 1, keyOf(by), max, MAX_AGE_MS, entry);
    },
    /** Lines of JSON, the last written first. */
    newestFirst,
  };
}
