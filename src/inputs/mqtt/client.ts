/** Connects to MQTT brokers: every message goes to ingest, and is acknowledged when it is stored, in order of arrival. */

import { setTimeout as pause } from "node:timers/promises";
import mqtt from "mqtt";
import type { Events } from "../../events/events.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import { createAcknowledgements } from "./acknowledgements.ts";
import { createBackpressure } from "./backpressure.ts";
import { type ConnectionState, createConnectionStanding } from "./connection-state.ts";
import { createInflight } from "./inflight.ts";
import { ACK_LATER, type BrokerSettings, clientOptions } from "./library.ts";
import { createReceiver } from "./receive.ts";
import { createRedelivery, type Redelivery } from "./redelivery.ts";
import { createRouting, type Subscription } from "./routing.ts";
import { createSubscribing } from "./subscribing.ts";
import { createUnreadTopics } from "./unread-topics.ts";

export type MqttEvents = Pick<
  Events,
  "brokerConnected" | "brokerDisconnected" | "brokerRefused" | "messagesGivenUp" | "failed" | "incident"
>;

export interface BrokerConnection {
  state(): ConnectionState & {
    messages: number;
    unrouted: number;
    unacked: number;
    /** Arrival of the message that holds up all acknowledgements, UTC milliseconds since 1970. */
    oldestUnackedAtMs: number | null;
  };
  /** Other sources, or other topics, from now on; the connection stays. */
  resubscribe(subscriptions: readonly Subscription[]): void;
  /** Finishes what has arrived, for at most this long, and leaves; the session stays with the broker. */
  close(withinMs: number): Promise<void>;
  /**
   * Leaves at once, because the session may be another process's by now, which gets what is not acknowledged. QoS 0
   * messages, which the broker does not send again, are still retried until `close`.
   */
  leave(): void;
}

export interface ConnectionOptions {
  broker: string;
  settings: BrokerSettings;
  subscriptions: readonly Subscription[];
  ingest: Ingest;
  events: MqttEvents;
  /** Of this session; to be given where it outlives the connection. */
  redelivery?: Redelivery<number>;
  /** A connection has ended, or could not be made: a process that must not connect again leaves now. */
  closed?: () => void;
}

export function connectBroker({
  broker,
  settings,
  subscriptions,
  ingest,
  events,
  redelivery = createRedelivery(settings.receiveMaximum),
  closed = () => {},
}: ConnectionOptions): BrokerConnection {
  const { receiveMaximum, keepaliveS, protocolVersion, maximumPacketBytes } = settings;
  /** Messages are no longer handled. */
  let isLeaving = false;
  /** Everything that arrived before is finished: what is still parsed is ignored at once. */
  let hasFinished = false;

  const client = mqtt.connect(settings.url, clientOptions(settings));
  const standing = createConnectionStanding(broker, events);
  const routing = createRouting(subscriptions);
  const backpressure = createBackpressure(client, keepaliveS);
  const acknowledgements = createAcknowledgements(client);
  const subscribing = createSubscribing({
    ...{ client, filters: routing.filters, protocolVersion, standing },
    isLeaving: () => isLeaving,
  });
  const inflight = createInflight({
    max: receiveMaximum,
    onSpace() {
      if (!isLeaving) backpressure.release();
    },
  });
  const receiver = createReceiver({
    ...{ routing, inflight, acknowledgements, redelivery, ingest, maximumPacketBytes, broker },
    unread: createUnreadTopics(events),
    onError: (error) => events.failed({ where: `mqtt ${broker}`, error }),
  });

  // In the same turn as connect: with a later one, 1 of 200 waiting messages was acknowledged by the default handler.
  client.handleMessage = (packet, done) => {
    const { qos } = packet;
    // Messages that come while leaving are ignored: the broker sends them again at the next start, but for QoS 0, which
    // are lost as if we had left already.
    if (isLeaving) {
      if (hasFinished) parseOn(qos, done);
      else backpressure.hold(() => parseOn(qos, done));
      return;
    }
    const handled = receiver.receive(packet, client.stream);
    // QoS 2 comes only from a subscription of another program with our client id; the library has to finish it.
    if (qos === 2) void handled.then(() => done());
    // Over the window: QoS 0, or a broker that knows no window. Parsing stops until there is space again.
    else if (inflight.isFull()) backpressure.hold(() => parseOn(qos, done));
    else parseOn(qos, done);
  };
  client.on("connect", ({ sessionPresent }) => {
    standing.connected(sessionPresent);
    if (!standing.get().subscribed) subscribing.subscribe();
  });
  client.on("error", standing.failed);
  client.on("disconnect", ({ reasonCode }) => standing.ended(reasonCode ?? 0));
  client.on("close", () => {
    inflight.disconnected();
    subscribing.cancelRetry();
    standing.disconnected();
    if (isLeaving) return;
    standing.reportDisconnect();
    closed();
  });

  async function close(withinMs: number): Promise<void> {
    const timeUp = pause(withinMs, undefined, { ref: false });
    isLeaving = true;
    subscribing.cancelRetry();
    await Promise.race([inflight.idle(), timeUp]);
    await giveUp();
    hasFinished = true;
    backpressure.release();
    acknowledgements.writeAll();
    // Acknowledgements and the DISCONNECT go first; a peer that reads neither is cut off.
    await Promise.race([client.endAsync(), timeUp]);
    client.stream.destroy();
  }

  async function giveUp(): Promise<void> {
    inflight.giveUp();
    receiver.stopRetrying();
    // Messages that wait for a retry notice it in this turn of the event loop; those at Redis when it answers.
    await new Promise((resolve) => setImmediate(resolve));
    const undecided = inflight.qos0Pending();
    const { givenUp } = receiver.counts();
    if (givenUp + undecided > 0) events.messagesGivenUp({ broker, messages: givenUp, undecided });
  }

  function leave(): void {
    isLeaving = true;
    hasFinished = true;
    subscribing.cancelRetry();
    client.end(true);
    client.stream.destroy();
    backpressure.release();
    inflight.disconnected();
  }

  return {
    state() {
      const { messages, unrouted } = receiver.counts();
      const unacked = inflight.count();
      return { ...standing.get(), messages, unrouted, unacked, oldestUnackedAtMs: inflight.oldestAtMs() };
    },
    resubscribe(others) {
      const before = routing.filters();
      // Before the broker is asked: what it sends at once has a way to go.
      routing.replace(others);
      subscribing.changed(before);
    },
    close,
    leave,
  };
}

/** Lets the library parse on; with QoS 1 it then leaves the acknowledgement to us. */
function parseOn(qos: number, done: (error?: Error) => void): void {
  if (qos === 0) done();
  else done(ACK_LATER);
}
