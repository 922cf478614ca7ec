/** Writes acknowledgements: those of a broker connection many at a time, those of a device in order of arrival. */

import type { MqttClient } from "mqtt";

export interface Acknowledgements {
  /** `stream`: that of the connection the message came by. */
  add(messageId: number, stream: MqttClient["stream"]): void;
  writeAll(): void;
}

export function createAcknowledgements(client: Pick<MqttClient, "connected" | "stream">): Acknowledgements {
  /** Packet ids, in order, not yet written. */
  let messageIds: number[] = [];

  function write(stream: MqttClient["stream"]): void {
    const ids = messageIds;
    messageIds = [];
    if (ids.length === 0 || !client.connected || client.stream !== stream) return;
    // Not by the library: what it sends while offline it queues, and sends into the next session.
    stream.write(pubacks(ids));
  }

  return {
    add(messageId, stream) {
      // On another connection packet ids start anew, and the acknowledgement would be taken for another message's.
      if (!client.connected || client.stream !== stream) return;
      // Once everything that was stored together is settled: a write for each costs four times as much.
      if (messageIds.length === 0) process.nextTick(write, stream);
      messageIds.push(messageId);
    },
    writeAll: () => write(client.stream),
  };
}

/** MQTT 3.1.1 §3.4; in version 5 the same bytes say success. */
function pubacks(messageIds: readonly number[]): Buffer {
  const packets = Buffer.allocUnsafe(4 * messageIds.length);
  for (const [index, messageId] of messageIds.entries()) {
    packets.writeUInt16BE(0x4002, 4 * index);
    packets.writeUInt16BE(messageId, 4 * index + 2);
  }
  return packets;
}

/**
 * For acknowledgements that the library writes: call it when a message arrives, and the function it gives when the
 * message may be acknowledged. Early ones wait for those before them (MQTT-4.6.0-2 and -3).
 */
export function createAckOrder(): () => (acknowledge: () => void) => void {
  const waiting: { acknowledge: (() => void) | null }[] = [];
  return () => {
    const own: (typeof waiting)[number] = { acknowledge: null };
    waiting.push(own);
    return (acknowledge) => {
      own.acknowledge = acknowledge;
      for (let first = waiting[0]; first?.acknowledge; first = waiting[0]) {
        waiting.shift();
        first.acknowledge();
      }
    };
  };
}
