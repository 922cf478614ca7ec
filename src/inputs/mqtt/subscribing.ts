/** Subscribes to the filters of all sources of a broker, and tries again while the broker refuses. */

import type { MqttClient } from "mqtt";
import type { ConnectionStanding } from "./connection-state.ts";

/** Rights are often given a moment after the login, so the first wait is short; doubled each time. */
const RETRY_FIRST_MS = 1000;
/** An operator who has just corrected the rights watches the page for about as long. */
const RETRY_MAX_MS = 60_000;

export interface Subscribing {
  subscribe(): void;
  /** The connection is gone, or is being left: the next attempt does not come. */
  cancelRetry(): void;
}

export function createSubscribing({
  client,
  filters,
  protocolVersion,
  standing,
  isLeaving,
}: {
  client: Pick<MqttClient, "connected" | "stream" | "subscribe">;
  filters: readonly string[];
  protocolVersion: 4 | 5;
  standing: Pick<ConnectionStanding, "subscribed" | "refused">;
  /** The answer to a subscription no longer matters. */
  isLeaving: () => boolean;
}): Subscribing {
  // rh 1: a retained message comes with a new subscription, and not again at each reconnect.
  const options = protocolVersion === 5 ? { qos: 1 as const, rh: 1 } : { qos: 1 as const };
  let retry: NodeJS.Timeout | undefined;

  function subscribe(retryAfterMs: number): void {
    const { stream } = client;
    client.subscribe([...filters], options, (error, granted) => {
      // A lost connection has an event of its own, and the next one subscribes again.
      if (isLeaving() || !client.connected || client.stream !== stream) return;
      if (error) {
        standing.refused(`subscription refused: ${error.message}`);
        retry = setTimeout(subscribe, retryAfterMs, Math.min(2 * retryAfterMs, RETRY_MAX_MS));
      } else standing.subscribed(granted ?? []);
    });
  }

  return {
    subscribe: () => subscribe(RETRY_FIRST_MS),
    cancelRetry: () => clearTimeout(retry),
  };
}
