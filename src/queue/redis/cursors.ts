/** Stores where each pull source continues to read, so that the next process does not begin again. */

import type { Redis } from "ioredis";
import { keyOf, SHARED_KEYS } from "./keys.ts";
import { loadScript, runScript } from "./script.ts";

const REPLACE = loadScript("cursor-replace");

export type CursorStore = ReturnType<typeof createCursorStore>;

export function createCursorStore(redis: Redis, prefix: string) {
  const key = (source: string) => keyOf(prefix, SHARED_KEYS.cursor, source);
  return {
    /** What was stored last; null when nothing was. */
    load: (source: string): Promise<string | null> => redis.get(key(source)),
    /** Stores `after` if what is there is still `before`; false when another process has stored since. */
    async replace(source: string, before: string | null, after: string): Promise<boolean> {
      const [replaced] = await runScript(redis, REPLACE, [key(source)], [before ?? "", after]);
      return Number(replaced) === 1;
    },
  };
}
