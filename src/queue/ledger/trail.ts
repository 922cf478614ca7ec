/** Stores what operators did, bounded by number and age, so that it outlives restarts and every process shows the same. */

import type { Redis } from "ioredis";
import { redisNow } from "../redis/clock.ts";
import { keyOf, SHARED_KEYS } from "../redis/keys.ts";
import { loadScript, runScript } from "../redis/script.ts";

/** An entry is a few hundred bytes: 3 MB at most. */
const MAX_ENTRIES = 10_000;
/** What unauthenticated senders cause is apart, so that a flood of guesses pushes out nothing but guesses. */
const MAX_UNAUTHENTICATED = 1000;
/** A quarter of a year: what an audit asks about. */
const MAX_AGE_MS = 90 * 86_400_000;
/** Entries read at a time. */
const PAGE = 500;

const ADD = loadScript("trail-add");

/** Whose doing it was. */
export type TrailOf = "operators" | "unauthenticated";

export type TrailStore = ReturnType<typeof createTrailStore>;

export function createTrailStore(redis: Redis, prefix: string) {
  const key = (by: TrailOf) => keyOf(prefix, SHARED_KEYS.trail, by);

  async function* newestFirst(by: TrailOf): AsyncGenerator<string> {
    const oldest = (await redisNow(redis)) - MAX_AGE_MS;
    let end = "+";
    for (;;) {
      const page = await redis.xrevrange(key(by), end, String(oldest), "COUNT", PAGE);
      for (const [, fields] of page) yield fields[1] ?? "";
      const last = page.at(-1);
      if (page.length < PAGE || !last) return;
      end = `(${last[0]}`;
    }
  }

  return {
    /** One line of JSON. */
    async add(by: TrailOf, entry: string): Promise<void> {
      const max = by === "unauthenticated" ? MAX_UNAUTHENTICATED : MAX_ENTRIES;
      await runScript(redis, ADD, [key(by)], [max, MAX_AGE_MS, entry]);
    },
    /** Lines of JSON, the last written first. */
    newestFirst,
  };
}
