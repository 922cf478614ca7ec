/** Remembers which sessions of the ops endpoint were ended before their time, for every process. */

import type { Redis } from "ioredis";

export type EndedSessions = ReturnType<typeof createEndedSessions>;

export function createEndedSessions(redis: Redis, prefix: string) {
  const keyOf = (id: string) => `${prefix}:ended-session:${id}`;
  return {
    /** Until the session would have ended by itself, UTC milliseconds since 1970. */
    async end(id: string, untilMs: number): Promise<void> {
      await redis.set(keyOf(id), "1", "PXAT", untilMs);
    },
    async isEnded(id: string): Promise<boolean> {
      return (await redis.exists(keyOf(id))) === 1;
    },
  };
}
