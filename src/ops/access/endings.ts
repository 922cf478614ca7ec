/** Ends sessions for every process: ended sessions are in Redis, and in memory for as long as Redis does not answer. */

import type { EndedSessions } from "../../queue/redis/ended-sessions.ts";
import { withTimeout } from "../../time.ts";
import type { Session } from "./session.ts";

/** The page asks every 2 s, and must work while Redis hangs. */
const ANSWER_WITHIN_MS = 500;
/** Redis is not asked again for this long after it gave no answer: one page is ten requests. */
const RETRY_AFTER_MS = 1000;

export interface Endings {
  end(session: Session): void;
  /**
   * While Redis is away, only logouts made in this process or seen before are known. No harm comes of it: the page shows
   * no position then and nothing can be changed, since everything is in Redis.
   */
  isEnded(session: Session): Promise<boolean>;
}

export function createEndings(store: EndedSessions, now: () => number): Endings {
  /** Id → when the session would have ended by itself. Only holders of a token can add entries. */
  const ended = new Map<string, number>();
  const unwritten = new Set<Session>();
  let isRetrying = false;
  let retryAt = 0;

  function write(session: Session): void {
    unwritten.add(session);
    store.end(session.id, session.endsAtMs).then(
      () => unwritten.delete(session),
      () => {
        if (isRetrying) return;
        isRetrying = true;
        setTimeout(writeAgain, RETRY_AFTER_MS).unref();
      },
    );
  }

  function writeAgain(): void {
    isRetrying = false;
    for (const session of unwritten) {
      if (session.endsAtMs > now()) write(session);
      else unwritten.delete(session);
    }
  }

  return {
    end(session) {
      for (const [id, until] of ended) if (until <= now()) ended.delete(id);
      ended.set(session.id, session.endsAtMs);
      write(session);
    },
    async isEnded(session) {
      if (ended.has(session.id)) return true;
      if (now() < retryAt) return false;
      try {
        const isEnded = await withTimeout(ANSWER_WITHIN_MS, store.isEnded(session.id));
        if (isEnded) ended.set(session.id, session.endsAtMs);
        return isEnded;
      } catch {
        retryAt = now() + RETRY_AFTER_MS;
        return false;
      }
    },
  };
}
