/** Ends sessions for every process: what was ended is in Redis, and here for as long as Redis does not answer. */

import type { EndedSessions } from "../../queue/redis/ended-sessions.ts";
import { withTimeout } from "../../time.ts";
import type { Session } from "./session.ts";

/** The page asks every 2 s and is drawn even while Redis hangs. */
const ANSWER_WITHIN_MS = 500;
/** A Redis that did not answer is not asked again for this long: one page is ten requests. */
const LEAVE_ALONE_MS = 1000;

export interface Endings {
  end(session: Session): void;
  /**
   * While Redis is away only the logouts made in this process, or seen before, are known. The page shows no position then,
   * and nothing can be changed, since all of it is in Redis.
   */
  isEnded(session: Session): Promise<boolean>;
}

export function createEndings(store: EndedSessions, now: () => number): Endings {
  /** Id → when the session would have ended by itself. Only who held a token can add to it. */
  const ended = new Map<string, number>();
  const unwritten = new Set<Session>();
  let isRetrying = false;
  let leaveAloneUntil = 0;

  function write(session: Session): void {
    unwritten.add(session);
    store.end(session.id, session.endsAtMs).then(
      () => unwritten.delete(session),
      () => {
        if (isRetrying) return;
        isRetrying = true;
        setTimeout(writeAgain, LEAVE_ALONE_MS).unref();
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
      if (now() < leaveAloneUntil) return false;
      try {
        const isEnded = await withTimeout(ANSWER_WITHIN_MS, store.isEnded(session.id));
        if (isEnded) ended.set(session.id, session.endsAtMs);
        return isEnded;
      } catch {
        leaveAloneUntil = now() + LEAVE_ALONE_MS;
        return false;
      }
    },
  };
}
