/** How much guessing each door allows, and how long a sender that guessed wrong waits. */

import type { Pace } from "./guess-accounts.ts";

/** Closed: each is a metric label. */
export const DOORS = ["ops", "webhook", "mqtt"] as const;
export type Door = (typeof DOORS)[number];

/** How one door treats senders whose credentials are wrong. */
export interface GuessPolicy {
  /** Of one address with one name. */
  pair: Pace;
  /** Of one address with all names. */
  address: Pace;
  /** Of one name from all addresses that are not trusted with it; also of all addresses for which there is no account left. */
  name: Pace;
  /** Of an address that is trusted with the name: much wider, because a guesser there must not shut out the right sender. */
  trusted: Pace;
  /** A sender that would have to wait longer is refused. */
  maxWaitMs: number;
  /** Right credentials wipe out what was wrong before them, from their address with their name. */
  forgives: boolean;
}

const MINUTE_MS = 60_000;

/**
 * Operators and devices send one secret now and then: after a few wrong ones about one a minute is checked. A webhook's
 * sender is wrong a thousand times a minute while its secret is being changed, and must get through at once when it is
 * right again: of its messages five a second are checked.
 */
export const GUESS_POLICIES: Record<Door, GuessPolicy> = {
  ops: {
    // The next waits are 0.1, 0.4 and 1.6 s; then nothing is checked for 6, 26 and 60 s.
    pair: { free: 10, firstMs: 100, longestMs: MINUTE_MS, forgetMs: MINUTE_MS },
    address: { free: 10, firstMs: 100, longestMs: MINUTE_MS, forgetMs: MINUTE_MS },
    name: { free: 50, firstMs: 100, longestMs: 100, forgetMs: 200 },
    // Behind a proxy all have one address: its operators get through among the noise of others.
    trusted: { free: 10, firstMs: 50, longestMs: 50, forgetMs: 1000 },
    maxWaitMs: 2000,
    // Without names, another operator's right token would give a guesser behind the same proxy a new budget.
    forgives: false,
  },
  mqtt: {
    pair: { free: 5, firstMs: 100, longestMs: MINUTE_MS, forgetMs: MINUTE_MS },
    // Trackers of one mobile network share an address, and some of them have an old password for ever.
    address: { free: 100, firstMs: 50, longestMs: 50, forgetMs: 100 },
    name: { free: 20, firstMs: 100, longestMs: 100, forgetMs: 200 },
    trusted: { free: 20, firstMs: 1000, longestMs: 1000, forgetMs: 5000 },
    // Half of the time a device has to log in.
    maxWaitMs: 5000,
    forgives: true,
  },
  webhook: {
    pair: { free: 20, firstMs: 200, longestMs: 200, forgetMs: 1000 },
    // One vendor sends for hundreds of sources from one address.
    address: { free: 200, firstMs: 20, longestMs: 20, forgetMs: 40 },
    name: { free: 100, firstMs: 20, longestMs: 20, forgetMs: 40 },
    // Half of a vendor's machines may still have the old secret.
    trusted: { free: 1000, firstMs: 10, longestMs: 10, forgetMs: 20 },
    // Vendors wait for an answer for 3 s and more.
    maxWaitMs: 1000,
    forgives: true,
  },
};
