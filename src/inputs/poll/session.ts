/** What a vendor's earlier answers have given us to ask with: a login, another host. It is lost when it no longer works. */

/** The account may have moved to another host, which only a new login shows. */
const MAX_FAILURES = 3;

export interface PollSession {
  /** Null in a new process, and after the session was forgotten. */
  get(): unknown;
  /** The vendor has given one on the way to the fixes. */
  began(session: unknown): void;
  /** It has fetched a page, and may have been changed by it. */
  worked(session: unknown): void;
  /** The vendor refuses it. True when it had worked, so that it has expired; false when it was refused as soon as given. */
  expired(session: unknown): boolean;
  /** Got no answer; after several times in a row it is forgotten. */
  failed(): void;
  forget(): void;
}

export function createPollSession(): PollSession {
  let session: unknown = null;
  let hasWorked = false;
  /** Since the session last got an answer. */
  let failures = 0;

  function forget(): void {
    session = null;
    hasWorked = false;
    failures = 0;
  }

  return {
    get: () => session,
    began(next) {
      session = next;
      failures = 0;
    },
    worked(next) {
      session = next;
      hasWorked = true;
      failures = 0;
    },
    expired(next) {
      const hadWorked = hasWorked;
      session = next;
      hasWorked = false;
      return hadWorked;
    },
    failed() {
      failures += 1;
      if (failures >= MAX_FAILURES) forget();
    },
    forget,
  };
}
