/** How one connection to a broker stands: whether it is up, why not, and since when. */

import type { Events } from "../../events/events.ts";
import type { BrokerState } from "../../status/process.ts";

export interface ConnectionState {
  broker: string;
  connected: boolean;
  /** The broker has accepted our filters; from then on it keeps messages for us while we are away. */
  subscribed: boolean;
  /** The broker is there and says no: to the login, or to a subscription. */
  refused: boolean;
  /** Since when it is connected, or not: UTC milliseconds since 1970. */
  sinceMs: number;
  /** The last thing that went wrong; null once the broker has accepted the subscriptions. */
  lastError: string | null;
}

export interface ConnectionStanding {
  /** The connection is up; `sessionPresent`: with what the broker has kept for us. */
  connected(sessionPresent: boolean): void;
  /** The broker has accepted our filters, with these QoS. */
  subscribed(granted: readonly { qos: number }[]): void;
  /** Our filters have changed, and the broker has not answered yet. */
  unsubscribed(): void;
  refused(reason: string): void;
  failed(error: Error): void;
  /** The broker says why it ends the connection. */
  ended(reasonCode: number): void;
  disconnected(): void;
  reportDisconnect(): void;
  get(): Readonly<ConnectionState>;
}

export function createConnectionStanding(
  broker: string,
  events: Pick<Events, "brokerConnected" | "brokerDisconnected" | "brokerRefused">,
): ConnectionStanding {
  const state: ConnectionState = {
    broker,
    connected: false,
    subscribed: false,
    refused: false,
    sinceMs: Date.now(),
    lastError: null,
  };

  function reportRefusal(reason: string): void {
    state.lastError = reason;
    events.brokerRefused({ broker, reason });
  }

  function refused(reason: string): void {
    state.refused = true;
    reportRefusal(reason);
  }

  return {
    connected(sessionPresent) {
      state.connected = true;
      state.sinceMs = Date.now();
      events.brokerConnected({ broker, sessionPresent });
      // A resumed session has its filters; in our first connection they may be those of an older configuration.
      state.subscribed &&= sessionPresent;
      state.refused = false;
    },
    subscribed(granted) {
      state.subscribed = true;
      state.refused = false;
      state.lastError = null;
      if (granted.some(({ qos }) => qos === 0)) reportRefusal("the broker grants QoS 0 only");
    },
    unsubscribed() {
      state.subscribed = false;
    },
    refused,
    failed(error) {
      if (/^Connection refused: /.test(error.message)) refused(error.message);
      else {
        state.refused = false;
        state.lastError = error.message || ("code" in error ? String(error.code) : error.name);
      }
    },
    ended(reasonCode) {
      state.lastError = `broker ended the connection (reason ${reasonCode})`;
    },
    disconnected() {
      if (state.connected) state.sinceMs = Date.now();
      state.connected = false;
    },
    reportDisconnect: () =>
      events.brokerDisconnected({ broker, reason: state.lastError ?? "connection_closed" }),
    get: () => state,
  };
}

/** As the operator sees it: a connection without its subscription is not connected yet. */
export function brokerStateOf({
  unacked,
  ...connection
}: ConnectionState & Pick<BrokerState, "unacked">): BrokerState {
  const { broker, connected, subscribed, refused, sinceMs, lastError } = connection;
  const works = connected && subscribed;
  return {
    name: broker,
    kind: "client",
    state: works
      ? "connected"
      : refused
        ? "refused"
        : connected || lastError === null
          ? "connecting"
          : "disconnected",
    sinceMs,
    reason: works ? null : (lastError ?? (connected ? "the broker has not answered the subscription" : null)),
    unacked,
    clients: null,
  };
}
