/** Connects to MQTT brokers: every message goes to ingest, and is acknowledged when it is kept, in order of arrival. */

import { setTimeout as pause } from "node:timers/promises";
import mqtt, { type IPublishPacket, type MqttClient } from "mqtt";
import { asAuthenticated, type Message } from "../../adapters/kit/adapter.ts";
import type { Events } from "../../events.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import { createRetryOrder, ingestWithRetry } from "../../ingest/retry.ts";
import { createArrivals } from "./inflight.ts";
import { ACK_LATER, type BrokerSettings, clientOptions } from "./library.ts";
import { createFirstArrivals, type FirstArrivals } from "./redelivery.ts";
import { createReceivers, type Receiver, type Subscription } from "./routing.ts";

export type MqttEvents = Pick<
  Events,
  "brokerConnected" | "brokerDisconnected" | "brokerRefused" | "messagesGivenUp" | "failed"
>;

export interface BrokerState {
  broker: string;
  connected: boolean;
  /** The broker has taken our filters; from then on it keeps messages for us while we are away. */
  subscribed: boolean;
  /** The broker is there and says no: to the login, or to a subscription. */
  refused: boolean;
  /** UTC milliseconds since 1970: since when it is connected, or not. */
  since: number;
  /** The last thing that went wrong; null once the broker has taken the subscriptions. */
  lastError: string | null;
  messages: number;
  /** Matched no source: left over from filters that were configured once, and still in the session. */
  unrouted: number;
  unacked: number;
  /** UTC milliseconds since 1970: arrival of the message that holds up all acknowledgements. */
  oldestUnackedAt: number | null;
}

export interface BrokerConnection {
  state(): BrokerState;
  /** Finishes what has arrived, for at most this long, and leaves; the session stays with the broker. */
  close(withinMs: number): Promise<void>;
  /**
   * Leaves at once, since the session may be another's by now, who gets what is not acknowledged. What nobody sends again
   * (QoS 0) is still offered, until `close`.
   */
  leave(): void;
}

/** Rights are often given a moment after the login, so the first wait is short; doubled each time. */
const RESUBSCRIBE_FIRST_MS = 1000;
/** Somebody who has just corrected the rights watches the page for about as long. */
const RESUBSCRIBE_MAX_MS = 60_000;

export function connectBroker({
  broker,
  settings,
  subscriptions,
  ingest,
  events,
  firstArrivals = createFirstArrivals(settings.receiveMaximum),
  closed = () => {},
}: {
  broker: string;
  settings: BrokerSettings;
  subscriptions: readonly Subscription[];
  ingest: Ingest;
  events: MqttEvents;
  /** Of this session; to be given where it outlives the connection. */
  firstArrivals?: FirstArrivals<number>;
  /** A connection has ended, or could not be made: who must not connect again leaves now. */
  closed?: () => void;
}): BrokerConnection {
  const receivers = createReceivers(subscriptions);
  const order = createRetryOrder();
  const givingUp = new AbortController();
  const arrivals = createArrivals({ max: settings.receiveMaximum, onRoom });
  let parked: (() => void)[] = [];
  let heartbeat: NodeJS.Timeout | undefined;
  let connected = false;
  /** Nothing is taken any more. */
  let closing = false;
  /** Everything taken is finished: what is still parsed is let by. */
  let finished = false;
  let subscribed = false;
  let isRefused = false;
  let resubscribe: NodeJS.Timeout | undefined;
  let since = Date.now();
  let lastError: string | null = null;
  /** Packet ids, in order, not yet written. */
  let acknowledged: number[] = [];
  let messages = 0;
  let unrouted = 0;
  let givenUp = 0;

  const client = mqtt.connect(settings.url, clientOptions(settings));
  // In the same turn as connect: with a later one, 1 of 200 waiting messages was acknowledged by the default handler.
  client.handleMessage = (packet, done) => {
    const { qos } = packet;
    // What comes while leaving is not looked at: the broker sends it again at the next start, but for QoS 0, which is
    // lost as if we had left already.
    if (closing) {
      if (finished) resume(qos, done);
      else park(() => resume(qos, done));
      return;
    }
    const handled = arrive(packet);
    // QoS 2 comes only from a subscription of another program with our client id; the library has to finish it.
    if (qos === 2) void handled.then(() => done());
    // Over the window: QoS 0, or a broker that knows no window. Parsing stops until there is room again.
    else if (arrivals.full()) park(() => resume(qos, done));
    else resume(qos, done);
  };

  function arrive({ topic, payload, qos, messageId, retain, dup }: IPublishPacket): Promise<unknown> {
    messages += 1;
    const { stream } = client;
    const body = typeof payload === "string" ? Buffer.from(payload) : payload;
    const now = Date.now();
    const receivedAt = messageId === undefined ? now : firstArrivals.of(messageId, { topic, body, dup }, now);
    const message: Message = {
      body,
      receivedAt: receivedAt ?? now,
      headers: NONE,
      query: NONE,
      topic,
      retained: retain,
      resent: receivedAt === null,
    };
    const { receivers: takers, mayComeTwice } = receivers.of(topic);
    if (takers.length === 0) unrouted += 1;
    // The second copy comes right behind the first; it shares its fate, so that a source gets the message once.
    const twin = mayComeTwice ? arrivals.twinOf(topic, body) : null;
    return arrivals.add({
      topic,
      payload: body,
      arrivedAt: now,
      sentAgain: qos > 0,
      handle: (giveUp) => twin ?? take(takers, message, giveUp, qos),
      acknowledge: () => {
        if (qos === 1 && messageId !== undefined) acknowledge(messageId, stream);
      },
    });
  }

  function take(
    takers: readonly Receiver[],
    message: Message,
    giveUp: () => boolean,
    qos: number,
  ): Promise<unknown> {
    const [only] = takers;
    return only && takers.length === 1
      ? takeFor(only, message, giveUp, qos)
      : Promise.all(takers.map((receiver) => takeFor(receiver, message, giveUp, qos)));
  }

  function takeFor(
    { source, key }: Receiver,
    message: Message,
    giveUp: () => boolean,
    qos: number,
  ): Promise<unknown> {
    if (message.body.length > settings.maximumPacketBytes) {
      ingest.refuse(source, "too_large");
      return Promise.resolve();
    }
    return ingestWithRetry({
      ingest,
      source,
      message: asAuthenticated(message),
      giveUp,
      onError,
      inOrder: { order, key },
      ended: givingUp.signal,
      onGivenUp() {
        // With another QoS the broker sends it again, and it counts then.
        if (qos > 0) return;
        givenUp += 1;
        ingest.refuse(source, "given_up");
      },
    });
  }

  function onError(error: unknown): void {
    events.failed({ where: `mqtt ${broker}`, error });
  }

  function acknowledge(messageId: number, stream: MqttClient["stream"]): void {
    // Another connection is another epoch: packet ids start anew, and the acknowledgement would hit a stranger.
    if (!client.connected || client.stream !== stream) return;
    // Once all that was stored together is settled: a write for each costs four times as much.
    if (acknowledged.length === 0) process.nextTick(writeAcknowledgements, stream);
    acknowledged.push(messageId);
  }

  function writeAcknowledgements(stream: MqttClient["stream"]): void {
    const ids = acknowledged;
    acknowledged = [];
    if (ids.length === 0 || !client.connected || client.stream !== stream) return;
    // Not by the library: what it sends while offline it queues, and sends into the next session.
    stream.write(pubacks(ids));
  }

  function park(resume: () => void): void {
    parked.push(resume);
    // Unparsed lies the broker's PINGRESP too, and the library would take the link for dead. Its steps are half a
    // keepalive long, so ours at a quarter are always in between.
    heartbeat ??= setInterval(() => {
      if (!client.connected) return;
      client.sendPing();
      client.reschedulePing(true);
    }, settings.keepaliveS * 250);
  }

  function onRoom(): void {
    if (!closing && parked.length > 0) unpark();
  }

  function unpark(): void {
    clearInterval(heartbeat);
    heartbeat = undefined;
    const waiting = parked;
    parked = [];
    for (const resume of waiting) resume();
  }

  function subscribe(retryAfterMs: number): void {
    // rh 1: a retained message comes with a new subscription, and not again at each reconnect.
    const options = settings.protocolVersion === 5 ? { qos: 1 as const, rh: 1 } : { qos: 1 as const };
    const { stream } = client;
    client.subscribe([...receivers.filters], options, (error, granted) => {
      // A lost connection is told by its own event, and the next one subscribes again.
      if (closing || !client.connected || client.stream !== stream) return;
      if (error) {
        refused(`subscription refused: ${error.message}`);
        resubscribe = setTimeout(subscribe, retryAfterMs, Math.min(2 * retryAfterMs, RESUBSCRIBE_MAX_MS));
        return;
      }
      subscribed = true;
      isRefused = false;
      lastError = null;
      if (granted?.some(({ qos }) => qos === 0)) tellRefusal("the broker grants QoS 0 only");
    });
  }

  function refused(reason: string): void {
    isRefused = true;
    tellRefusal(reason);
  }

  function tellRefusal(reason: string): void {
    lastError = reason;
    events.brokerRefused({ broker, reason });
  }

  client.on("connect", ({ sessionPresent }) => {
    connected = true;
    since = Date.now();
    events.brokerConnected({ broker, sessionPresent });
    // A resumed session has its filters; in our first connection they may be those of an older configuration.
    subscribed &&= sessionPresent;
    isRefused = false;
    if (!subscribed) subscribe(RESUBSCRIBE_FIRST_MS);
  });
  client.on("error", (error) => {
    if (/^Connection refused: /.test(error.message)) refused(error.message);
    else {
      isRefused = false;
      lastError = error.message || ("code" in error ? String(error.code) : error.name);
    }
  });
  client.on("disconnect", ({ reasonCode }) => {
    lastError = `broker ended the connection (reason ${reasonCode ?? 0})`;
  });
  client.on("close", () => {
    arrivals.disconnected();
    clearTimeout(resubscribe);
    if (connected) since = Date.now();
    connected = false;
    if (closing) return;
    events.brokerDisconnected({ broker, reason: lastError ?? "connection_closed" });
    closed();
  });

  async function close(withinMs: number): Promise<void> {
    const timeUp = pause(withinMs, undefined, { ref: false });
    closing = true;
    clearTimeout(resubscribe);
    await Promise.race([arrivals.idle(), timeUp]);
    await giveUp();
    finished = true;
    unpark();
    writeAcknowledgements(client.stream);
    // Acknowledgements and the DISCONNECT go first; a peer that takes neither is cut off.
    await Promise.race([client.endAsync(), timeUp]);
    client.stream.destroy();
  }

  function leave(): void {
    closing = true;
    finished = true;
    clearTimeout(resubscribe);
    client.end(true);
    client.stream.destroy();
    unpark();
    arrivals.disconnected();
  }

  async function giveUp(): Promise<void> {
    arrivals.giveUp();
    givingUp.abort();
    // Those that were resting find it out in this turn of the event loop; those at Redis when it answers.
    await new Promise((resolve) => setImmediate(resolve));
    const undecided = arrivals.lastChances();
    if (givenUp + undecided > 0) events.messagesGivenUp({ broker, messages: givenUp, undecided });
  }

  return {
    state: () => ({
      broker,
      connected,
      subscribed,
      refused: isRefused,
      since,
      lastError,
      messages,
      unrouted,
      unacked: arrivals.count(),
      oldestUnackedAt: arrivals.oldestAt(),
    }),
    close,
    leave,
  };
}

/** MQTT has neither headers nor a query. */
const NONE = {};

/** MQTT 3.1.1 §3.4; in version 5 the same bytes say success. */
function pubacks(messageIds: readonly number[]): Buffer {
  const packets = Buffer.allocUnsafe(4 * messageIds.length);
  for (const [index, messageId] of messageIds.entries()) {
    packets.writeUInt16BE(0x4002, 4 * index);
    packets.writeUInt16BE(messageId, 4 * index + 2);
  }
  return packets;
}

/** Lets the library parse on; with QoS 1 it then holds the acknowledgement to be somebody else's business. */
function resume(qos: number, done: (error?: Error) => void): void {
  if (qos === 0) done();
  else done(ACK_LATER);
}
