/** Keeps where each pull source goes on reading, so that the next process does not begin again. */

import type { Redis } from "ioredis";

/** A process that was stopped and comes back must not set another's cursor back. */
const REPLACE = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`;

export type CursorStore = ReturnType<typeof createCursorStore>;

export function createCursorStore(redis: Redis, prefix: string) {
  const key = (source: string) => `${prefix}:cursor:${source}`;
  return {
    /** What was stored last; null when nothing was. */
    load: (source: string): Promise<string | null> => redis.get(key(source)),
    /** Stores `after` if what is there is still `before`; false when another process has stored since. */
    async replace(source: string, before: string | null, after: string): Promise<boolean> {
      return Number(await redis.eval(REPLACE, 1, key(source), before ?? "", after)) === 1;
    },
  };
}
