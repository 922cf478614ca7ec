/** Connects to one broker while this process holds the lease of its session: a session has one user. */

import type { Ingest } from "../../ingest/ingest.ts";
import type { BrokerState } from "../../status/process.ts";
import { type AcquireLease, whileLeased } from "../while-leased.ts";
import { type Piece, whileWanted } from "../while-wanted.ts";
import { type BrokerConnection, connectBroker, type MqttEvents } from "./client.ts";
import { brokerStateOf } from "./connection-state.ts";
import type { BrokerSettings } from "./library.ts";
import { createRedelivery } from "./redelivery.ts";
import type { Subscription } from "./routing.ts";

/** What a broker's connection follows. */
export interface WantedBroker {
  /** Differs where the connection has to be made anew. */
  identity: string;
  receiveMaximum: number;
  /** Asked each time the lease becomes ours. Certificates are files: where one cannot be read, this throws. */
  settings: () => BrokerSettings;
  subscriptions: readonly Subscription[];
}

export interface LeasedBroker extends Piece<WantedBroker> {
  state(): BrokerState;
}

export interface LeasedBrokerOptions {
  name: string;
  wanted: WantedBroker;
  acquireLease: AcquireLease;
  ingest: Ingest;
  events: MqttEvents;
}

export interface LeasedBrokers {
  /** By name: those that are connected to from now on. */
  update(wanted: ReadonlyMap<string, WantedBroker>): void;
  states(): BrokerState[];
  close(withinMs: number): Promise<void>;
}

export function leasedBrokers(deps: Omit<LeasedBrokerOptions, "name" | "wanted">): LeasedBrokers {
  const brokers = whileWanted<WantedBroker, LeasedBroker>({
    begin: (name, wanted) => leasedBroker({ ...deps, name, wanted }),
    onError: (name, error) => deps.events.failed({ where: `broker ${name}`, error }),
  });
  return {
    update: brokers.update,
    states: () => brokers.works().map((broker) => broker.state()),
    close: brokers.close,
  };
}

export function leasedBroker(options: LeasedBrokerOptions): LeasedBroker {
  const { name, acquireLease, ingest, events } = options;
  let { wanted } = options;
  const redelivery = createRedelivery<number>(wanted.receiveMaximum);
  const onError = (error: unknown): void => events.failed({ where: `broker ${name}`, error });
  /** The last connection that was left: it still retries QoS 0 messages, which the broker does not send again. */
  let left: BrokerConnection | null = null;

  const leased = whileLeased<BrokerConnection>(acquireLease, `broker:${name}`, {
    start: () =>
      connectBroker({
        broker: name,
        settings: wanted.settings(),
        subscriptions: wanted.subscriptions,
        ingest,
        events,
        redelivery,
        closed: () => leased.leaveUnlessOwner(),
      }),
    leave(connection) {
      connection.leave();
      // One at a time, because a session that changes hands again and again would fill the memory.
      left?.close(0).catch(onError);
      left = connection;
    },
    // A connection is kept as long as the broker keeps it: while Redis is away for every process no other one takes it
    // over, and QoS 0 would be lost. If another process does reach Redis, the broker ends our connection, and we do not
    // fight for the session.
    outlivesLease: (connection) => connection.state().connected,
    onError,
  });

  return {
    state() {
      const state = leased.state();
      if (state.kind === "working") return brokerStateOf(state.work.state());
      return {
        name,
        kind: "client",
        state: state.kind === "failed" ? "disconnected" : "standby",
        sinceMs: state.sinceMs,
        reason: state.reason,
        unacked: left?.state().unacked ?? 0,
        clients: null,
      };
    },
    change(next) {
      if (next.identity !== wanted.identity) return false;
      wanted = next;
      const state = leased.state();
      if (state.kind === "working") state.work.resubscribe(next.subscriptions);
      return true;
    },
    close: (withinMs) =>
      leased.close((connection) => Promise.all([connection?.close(withinMs), left?.close(withinMs)])),
  };
}
