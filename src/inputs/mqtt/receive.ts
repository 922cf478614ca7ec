/** Hands each message of a broker to ingest, once for each source it is for, and has it acknowledged when it is stored. */

import type { IPublishPacket, MqttClient } from "mqtt";
import { asAuthenticated, type Message } from "../../adapters/kit/adapter.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import { createRetryOrder, ingestWithRetry } from "../../ingest/retry.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { Inflight } from "./inflight.ts";
import type { Redelivery } from "./redelivery.ts";
import type { Route, Routing } from "./routing.ts";
import type { UnreadTopics } from "./unread-topics.ts";

export interface ReceiverDeps {
  routing: Routing;
  inflight: Inflight;
  acknowledgements: Acknowledgements;
  redelivery: Redelivery<number>;
  ingest: Ingest;
  broker: string;
  unread: UnreadTopics;
  /** Of a message's payload; a larger one is counted, acknowledged and not read. */
  maximumPacketBytes: number;
  onError: (error: unknown) => void;
}

export interface Receiver {
  /** Resolves when the message has been handled. `stream`: that of the connection it came by. */
  receive(packet: IPublishPacket, stream: MqttClient["stream"]): Promise<unknown>;
  /** Ends all retries. */
  stopRetrying(): void;
  counts(): {
    messages: number;
    /** Matched no source: left over from filters that were configured once, and still in the session. */
    unrouted: number;
    /** QoS 0 messages that were given up; the broker does not send them again. */
    givenUp: number;
  };
}

/** MQTT has neither headers nor a query. */
const NONE = {};

export function createReceiver(deps: ReceiverDeps): Receiver {
  const { routing, inflight, acknowledgements, redelivery, ingest } = deps;
  const order = createRetryOrder();
  const retriesEnded = new AbortController();
  const counts = { messages: 0, unrouted: 0, givenUp: 0 };

  function receive(packet: IPublishPacket, stream: MqttClient["stream"]): Promise<unknown> {
    const { topic, payload, qos, messageId, retain, dup } = packet;
    counts.messages += 1;
    const body = typeof payload === "string" ? Buffer.from(payload) : payload;
    const now = Date.now();
    const receivedAt =
      messageId === undefined ? now : redelivery.firstReceivedAt(messageId, { topic, body, dup }, now);
    const message: Message = {
      body,
      receivedAt: receivedAt ?? now,
      headers: NONE,
      query: NONE,
      topic,
      retained: retain,
      resent: receivedAt === null,
    };
    const { routes, mayComeTwice } = routing.of(topic);
    if (routes.length === 0) {
      counts.unrouted += 1;
      deps.unread.unrouted(deps.broker, topic);
    }
    // The second copy comes right behind the first and shares its result, so that a source gets the message once.
    const copy = mayComeTwice ? inflight.copyInFlight(topic, body) : null;
    return inflight.add({
      topic,
      payload: body,
      arrivedAtMs: now,
      sentAgain: qos > 0,
      handle: (giveUp) => copy ?? ingestForAll(routes, message, giveUp, qos),
      acknowledge: () => {
        if (qos === 1 && messageId !== undefined) acknowledgements.add(messageId, stream);
      },
    });
  }

  function ingestForAll(
    routes: readonly Route[],
    message: Message,
    giveUp: () => boolean,
    qos: number,
  ): Promise<unknown> {
    const [only] = routes;
    return only && routes.length === 1
      ? ingestFor(only, message, giveUp, qos)
      : Promise.all(routes.map((route) => ingestFor(route, message, giveUp, qos)));
  }

  async function ingestFor(
    { source, key }: Route,
    message: Message,
    giveUp: () => boolean,
    qos: number,
  ): Promise<void> {
    if (message.body.length > deps.maximumPacketBytes) {
      ingest.refuse(source, "too_large");
      return;
    }
    const result = await ingestWithRetry({
      ingest,
      source,
      message: asAuthenticated(message),
      giveUp,
      onError: deps.onError,
      inOrder: { order, key },
      ended: retriesEnded.signal,
      onGivenUp() {
        // With another QoS the broker sends the message again, and it counts then.
        if (qos > 0) return;
        counts.givenUp += 1;
        ingest.refuse(source, "given_up");
      },
    });
    deps.unread.handled(source, message.topic ?? "", result);
  }

  return { receive, stopRetrying: () => retriesEnded.abort(), counts: () => counts };
}
