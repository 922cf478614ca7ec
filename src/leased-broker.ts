/** A broker session has one user: of all gateway processes the one that holds the lease connects, the others stand by. */

import type { Config } from "./config.ts";
import type { Events } from "./events.ts";
import type { Intake, Source } from "./intake.ts";
import { type BrokerConnection, type BrokerState as ConnectionState, connectBroker } from "./mqtt.ts";
import { brokerSettingsOf, subscriptionsOf } from "./parts.ts";
import type { Standing } from "./queue/lease.ts";
import type { Queue } from "./queue/queue.ts";
import type { BrokerState } from "./status.ts";

export interface LeasedBroker {
  state(): BrokerState;
  close(withinMs: number): Promise<void>;
}

export function leasedBroker(
  name: string,
  parts: {
    config: Config;
    queue: Queue;
    sources: ReadonlyMap<string, Source>;
    intake: Intake;
    events: Events;
  },
): LeasedBroker {
  const { config, queue, sources, intake, events } = parts;
  const settings = config.mqtt.brokers[name];
  if (!settings) throw new Error(`Broker "${name}" is not configured.`);
  let connection: BrokerConnection | null = null;
  let standingBySince = Date.now();
  const lease = queue.lease(`broker:${name}`, {
    acquired() {
      const subscriptions = subscriptionsOf(config, sources, name);
      connection = connectBroker({
        broker: name,
        settings: brokerSettingsOf(settings),
        subscriptions,
        intake,
        events,
      });
    },
    lost() {
      standingBySince = Date.now();
      // What is not acknowledged comes again to whoever connects next.
      connection?.close(0).catch((error: unknown) => events.failed({ where: `broker ${name}`, error }));
      connection = null;
    },
    failed: (error) => events.failed({ where: `broker ${name}`, error }),
  });
  return {
    state: () =>
      connection ? clientState(connection.state()) : waiting(name, standingBySince, lease.standing()),
    async close(withinMs) {
      await connection?.close(withinMs);
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
    since: new Date(since).toISOString(),
    reason: works ? null : (lastError ?? (connected ? "the broker has not answered the subscription" : null)),
    unkept: unacked,
    clients: null,
  };
}

function waiting(name: string, sinceMs: number, { kind, reason }: Standing): BrokerState {
  const state = kind === "failed" ? "disconnected" : "standby";
  return {
    name,
    kind: "client",
    state,
    since: new Date(sinceMs).toISOString(),
    reason,
    unkept: 0,
    clients: null,
  };
}
