/** Hands what devices publish to ingest, each message until it is stored or given up. */

import type { Client, PublishPacket } from "aedes";
import { asAuthenticated, type Message } from "../../adapters/kit/adapter.ts";
import type { Events } from "../../events/events.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import { createRetryOrder, ingestWithRetry } from "../../ingest/retry.ts";
import type { Unacked } from "./broker-limits.ts";
import type { DeviceRefusals } from "./device-refusals.ts";
import type { Device } from "./devices.ts";
import { createRedelivery } from "./redelivery.ts";
import { createUnreadTopics } from "./unread-topics.ts";

export interface DevicePublishes {
  /** Null when the message may be acknowledged, else why the connection has to end. */
  handle(client: Client, device: Device, packet: PublishPacket): Promise<Error | null>;
  /** Resolves once every message is stored or given up. */
  idle(): Promise<void>;
  /** Nothing is retried any more. */
  giveUp(): void;
  counts(): {
    messages: number;
    refusedPublishes: number;
    /** QoS 0 messages, which the device does not send again: those on their way to storage, and those given up. */
    qos0Pending: number;
    qos0GivenUp: number;
  };
}

/** Messages whose first delivery is remembered, some 200 bytes each; a device comes again within seconds. */
const MAX_REMEMBERED = 10_000;

export function createDevicePublishes({
  ingest,
  unacked,
  maximumPacketBytes,
  holdMs,
  refusals,
  events,
}: {
  ingest: Ingest;
  unacked: Unacked;
  /** Of a message's payload; a larger one is counted, acknowledged and not read. */
  maximumPacketBytes: number;
  /** How long a message that its device can send again is retried. */
  holdMs: number;
  refusals: Pick<DeviceRefusals, "topic">;
  events: Pick<Events, "incident" | "failed">;
}): DevicePublishes {
  const redelivery = createRedelivery<string>(MAX_REMEMBERED);
  const order = createRetryOrder();
  const unread = createUnreadTopics(events);
  const retriesEnded = new AbortController();
  const counts = { messages: 0, refusedPublishes: 0, qos0Pending: 0, qos0GivenUp: 0 };
  let onIdle = (): void => {};

  async function handle(client: Client, device: Device, packet: PublishPacket): Promise<Error | null> {
    const { topic, payload } = packet;
    const { source } = device;
    counts.messages += 1;
    if (!device.mayPublish(topic)) {
      counts.refusedPublishes += 1;
      ingest.refuse(source, "unauthenticated");
      refusals.topic(client, device, topic);
      return new Error("not its own topic");
    }
    const body = typeof payload === "string" ? Buffer.from(payload) : payload;
    if (body.length > maximumPacketBytes) {
      ingest.refuse(source, "too_large");
      return null;
    }
    const isQos0 = packet.qos === 0;
    const bytes = body.length + topic.length;
    unacked.add(source.name, bytes);
    if (isQos0) counts.qos0Pending += 1;
    const isDone = await store(client, device, packet, body);
    unacked.remove(source.name, bytes);
    if (isQos0) counts.qos0Pending -= 1;
    if (unacked.count() === 0) onIdle();
    return isDone ? null : new Error("cannot be stored now");
  }

  /** False when the message was given up. */
  async function store(
    client: Client,
    { source, username }: Device,
    { topic, qos, dup, messageId }: PublishPacket,
    body: Buffer,
  ): Promise<boolean> {
    const isQos0 = qos === 0;
    const now = Date.now();
    const receivedAt = isQos0
      ? now
      : redelivery.firstReceivedAt(`${client.id} ${messageId}`, { topic, body, dup }, now);
    const message: Message = {
      body,
      receivedAt: receivedAt ?? now,
      headers: {},
      query: {},
      topic,
      retained: false,
      resent: receivedAt === null,
      login: username,
    };
    const result = await ingestWithRetry({
      ingest,
      source,
      message: asAuthenticated(message),
      ended: retriesEnded.signal,
      // A QoS 0 message is not sent again: it is worth retrying for longer, and after its device has left.
      giveUp: () => retriesEnded.signal.aborted || (!isQos0 && (client.closed || Date.now() - now > holdMs)),
      onError: (error) => events.failed({ where: "embedded broker", error }),
      onGivenUp() {
        // With another QoS the device sends the message again, and it counts then.
        if (!isQos0) return;
        counts.qos0GivenUp += 1;
        ingest.refuse(source, "given_up");
      },
      inOrder: { order, key: `${client.id} ${topic}` },
    });
    unread.handled(source, topic, result);
    return result !== null;
  }

  return {
    handle,
    idle: () =>
      unacked.count() === 0
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            onIdle = resolve;
          }),
    giveUp: () => retriesEnded.abort(),
    counts: () => counts,
  };
}
