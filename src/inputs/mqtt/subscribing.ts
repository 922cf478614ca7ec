/** Subscribes to the filters of all sources of a broker, and tries again while the broker refuses. */

import type { MqttClient } from "mqtt";
import type { ConnectionStanding } from "./connection-state.ts";

/** Rights are often given a moment after the login, so the first wait is short; doubled each time. */
const RETRY_FIRST_MS = 1000;
/** An operator who has just corrected the rights watches the page for about as long. */
const RETRY_MAX_MS = 60_000;

export interface Subscribing {
  subscribe(): void;
  /** The filters have changed: subscribes to the new ones on this connection, and leaves those that are gone. */
  changed(before: readonly string[]): void;
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
  client: Pick<MqttClient, "connected" | "stream" | "subscribe" | "unsubscribe">;
  filters: () => readonly string[];
  protocolVersion: 4 | 5;
  standing: Pick<ConnectionStanding, "subscribed" | "refused" | "unsubscribed">;
  /** The answer to a subscription no longer matters. */
  isLeaving: () => boolean;
}): Subscribing {
  // rh 1: a retained message comes with a new subscription, and not again at each reconnect.
  const options = protocolVersion === 5 ? { qos: 1 as const, rh: 1 } : { qos: 1 as const };
  let retry: NodeJS.Timeout | undefined;

  function subscribe(retryAfterMs: number, wanted = filters()): void {
    const { stream } = client;
    if (wanted.length === 0) {
      standing.subscribed([]);
      return;
    }
    client.subscribe([...wanted], options, (error, granted) => {
      // A lost connection has an event of its own, and the next one subscribes again.
      if (isLeaving() || !client.connected || client.stream !== stream) return;
      if (error) {
        standing.refused(`subscription refused: ${error.message}`);
        clearTimeout(retry);
        retry = setTimeout(subscribe, retryAfterMs, Math.min(2 * retryAfterMs, RETRY_MAX_MS));
      } else standing.subscribed(granted ?? []);
    });
  }

  return {
    subscribe: () => subscribe(RETRY_FIRST_MS),
    changed(before) {
      const now = filters();
      const added = now.filter((filter) => !before.includes(filter));
      const gone = before.filter((filter) => !now.includes(filter));
      // Without an answer on this connection, the next one subscribes to everything.
      if (added.length > 0) standing.unsubscribed();
      if (!client.connected) return;
      if (added.length > 0) subscribe(RETRY_FIRST_MS, added);
      // What a filter leaves behind in the session comes unrouted, and is counted.
      if (gone.length > 0) client.unsubscribe(gone, () => {});
    },
    cancelRetry: () => clearTimeout(retry),
  };
}
