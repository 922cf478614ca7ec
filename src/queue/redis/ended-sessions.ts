/** Remembers which sessions of the ops endpoint were ended before their time, for every process. */

import type { Redis } from "ioredis";
import { keyOf, SHARED_KEYS } from "./keys.ts";

export type EndedSessions = ReturnType<typeof createEndedSessions>;

export function createEndedSessions(redis: Redis, prefix: string) {
  const key = (id: string) => keyOf(prefix, SHARED_KEYS.endedSession, id);
  return {
    /** Until the session would have ended by itself, UTC milliseconds since 1970. */
    async end(id: string, untilMs: number): Promise<void> {
      await redis.set(key(id), "1", "PXAT", untilMs);
    },
    async isEnded(id: string): Promise<boolean> {
      return (await redis.exists(key(id))) === 1;
    },
  };
}
