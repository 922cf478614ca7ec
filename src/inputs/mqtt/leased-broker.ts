/** A broker session has one user: of all gateway processes the one that holds the lease connects, the others stand by. */

import type { Config } from "../../config/config.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import type { Source } from "../../ingest/source.ts";
import type { Queue } from "../../queue/queue.ts";
import type { Standing } from "../../queue/redis/lease.ts";
import type { BrokerState } from "../../status.ts";
import { iso } from "../../time.ts";
import { brokerSettingsOf, subscriptionsOf } from "../../wiring.ts";
import {
  type BrokerConnection,
  type BrokerState as ConnectionState,
  connectBroker,
  type MqttEvents,
} from "./client.ts";
import { createFirstArrivals } from "./redelivery.ts";

export interface LeasedBroker {
  state(): BrokerState;
  close(withinMs: number): Promise<void>;
}

export function leasedBroker(
  name: string,
  parts: {
    config: Pick<Config, "mqtt" | "sources">;
    queue: Pick<Queue, "lease">;
    sources: ReadonlyMap<string, Source>;
    ingest: Ingest;
    events: MqttEvents;
  },
): LeasedBroker {
  const { config, queue, sources, ingest, events } = parts;
  const settings = config.mqtt.brokers[name];
  if (!settings) throw new Error(`Broker "${name}" is not configured.`);
  const firstArrivals = createFirstArrivals<number>(settings.receiveMaximum);
  let connection: BrokerConnection | null = null;
  /** The last one that was left: it still offers what nobody sends again. */
  let left: BrokerConnection | null = null;
  /** While the lease is ours. */
  let mayConnect = false;
  let standingBySince = Date.now();

  function leave(): void {
    if (connection === null) return;
    connection.leave();
    // One at a time, or a session that changes hands again and again would fill the memory.
    left?.close(0).catch((error: unknown) => events.failed({ where: `broker ${name}`, error }));
    left = connection;
    connection = null;
    standingBySince = Date.now();
  }

  const lease = queue.lease(`broker:${name}`, {
    acquired() {
      // Still there after Redis was away: nobody else has taken the session.
      connection ??= connectBroker({
        broker: name,
        settings: brokerSettingsOf(settings),
        subscriptions: subscriptionsOf(config, sources, name),
        ingest,
        events,
        firstArrivals,
        closed() {
          if (!mayConnect) leave();
        },
      });
      mayConnect = true;
    },
    expired() {
      mayConnect = false;
      // A connection is kept as long as the broker keeps it: while Redis is away for everybody nobody takes it over, and
      // QoS 0 would be lost. If another process does reach Redis, the broker ends ours, and the session is not fought for.
      if (!connection?.state().connected) leave();
    },
    lost() {
      mayConnect = false;
      leave();
    },
    failed: (error) => events.failed({ where: `broker ${name}`, error }),
  });
  return {
    state: () =>
      connection
        ? clientState(connection.state())
        : waiting(name, standingBySince, lease.standing(), left?.state().unacked ?? 0),
    async close(withinMs) {
      await Promise.all([connection?.close(withinMs), left?.close(withinMs)]);
      await lease.close();
    },
  };
}

export function clientState(connection: ConnectionState): BrokerState {
  const { broker, connected, subscribed, refused, since, lastError, unacked } = connection;
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
    since: iso(since),
    reason: works ? null : (lastError ?? (connected ? "the broker has not answered the subscription" : null)),
    unacked,
    clients: null,
  };
}

function waiting(name: string, sinceMs: number, { kind, reason }: Standing, unacked: number): BrokerState {
  const state = kind === "failed" ? "disconnected" : "standby";
  return {
    name,
    kind: "client",
    state,
    since: iso(sinceMs),
    reason,
    unacked,
    clients: null,
  };
}
