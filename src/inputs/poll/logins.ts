/** Bounds the logins of one poller: vendors count them, lock an account after refused ones, and call many of them misuse. */

const HOUR_MS = 3_600_000;
/** One refusal may be a fault of the vendor's; a second one in a row is about our account. */
const REFUSALS = 2;

export interface PollLogins {
  /** False where one more in this hour would be too many. */
  mayTry(now: number): boolean;
  /** The vendor gave a token, or refused it. */
  made(now: number): void;
  /** True where it was refused before as well, so that only a person helps. */
  refused(): boolean;
  accepted(): void;
}

export function createPollLogins(perHour = Number.POSITIVE_INFINITY): PollLogins {
  let times: number[] = [];
  let refusals = 0;
  return {
    mayTry(now) {
      times = times.filter((at) => now - at < HOUR_MS);
      return times.length < perHour;
    },
    made(now) {
      times.push(now);
    },
    refused() {
      refusals += 1;
      return refusals >= REFUSALS;
    },
    accepted() {
      refusals = 0;
    },
  };
}
