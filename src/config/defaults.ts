/** Defaults that follow from other settings. */

import type { Config, DestinationConfig, Settings } from "./config.ts";

/** A lower number would save nothing: an idle slot costs nothing. */
const MIN_CONCURRENCY = 100;
/** Inputs close first (at most http.answerWithinMs), and the answer to the last request has to reach Redis. */
const ENDING_MS = 5000;
/** Of a destination that may still come. */
const DEFAULT_TIMEOUT_MS = 20_000;
/** A shutdown does not wait for a single answer that takes longer; and setTimeout has a bound. */
const MAX_SHUTDOWN_MS = 3_600_000;

export function withDefaults(settings: Settings): Omit<Config, "proxy" | "tenants"> {
  const destinations = Object.values(settings.destinations);
  const slowestMs = Math.max(
    ...(destinations.length > 0
      ? destinations.map(({ requestTimeoutMs }) => requestTimeoutMs)
      : [DEFAULT_TIMEOUT_MS]),
  );
  const {
    queue: { concurrency = Math.max(MIN_CONCURRENCY, lanesOf(destinations)) },
    // A request that is cut off may have been accepted, and is then sent twice.
    shutdownMs = Math.min(slowestMs + ENDING_MS, MAX_SHUTDOWN_MS),
  } = settings;
  return { ...settings, queue: { ...settings.queue, concurrency }, shutdownMs };
}

/** Each lane has at most one batch under way: with as many slots as lanes, no batch waits for another lane's. */
export function lanesOf(destinations: Iterable<Pick<DestinationConfig, "lanes">>): number {
  return [...destinations].reduce((sum, { lanes }) => sum + lanes, 0);
}
