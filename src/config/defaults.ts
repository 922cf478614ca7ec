/** Defaults that follow from other settings. */

import type { Config, DestinationConfig, Settings } from "./config.ts";

/** Fewer would save nothing: an idle slot costs nothing. */
const MIN_CONCURRENCY = 100;
/** Ways in close first (at most http.answerWithinMs), and the answer to the last request has to reach Redis. */
const ENDING_MS = 5000;
/** Whoever waits longer for one answer does not wait for it at an end; and setTimeout has a bound. */
const MAX_SHUTDOWN_MS = 3_600_000;

export function withDefaults(settings: Settings): Omit<Config, "proxy"> {
  const destinations = Object.values(settings.destinations);
  const slowestMs = Math.max(...destinations.map(({ requestTimeoutMs }) => requestTimeoutMs));
  const {
    queue: { concurrency = Math.max(MIN_CONCURRENCY, lanesOf(destinations)) },
    // A request that is cut off may have been accepted, and is then sent twice.
    shutdownMs = Math.min(slowestMs + ENDING_MS, MAX_SHUTDOWN_MS),
  } = settings;
  return { ...settings, queue: { ...settings.queue, concurrency }, shutdownMs };
}

/** Each has at most one batch under way, whatever becomes of it: with as many slots nobody waits for another's. */
export function lanesOf(destinations: Iterable<Pick<DestinationConfig, "lanes">>): number {
  return [...destinations].reduce((sum, { lanes }) => sum + lanes, 0);
}
