/** The load generator for MQTT: a process that publishes at QoS 1 as fast as the broker acknowledges, up to a count. */

import { connect } from "node:net";
import mqttPacket from "mqtt-packet";
import { serveParent } from "./child.ts";
import { createReadings } from "./readings.ts";

/** Publishes the broker has not acknowledged yet: enough to keep it busy, few enough to see it stall. */
const WINDOW = 2000;
/** Packets per write: one system call for many. */
const PER_WRITE = 100;
const CONNACK_BYTES = 4;
const PUBACK_BYTES = 4;

export interface Flood {
  port: number;
  topic: string;
  /** Messages it may publish; then it waits for `allow`. */
  allowed: number;
}

let isStopping = false;
let allowed = 0;
let published = 0;
/** Publishes what may be published now. */
let resume = () => {};

function flood({ port, topic, ...first }: Flood): Promise<{ published: number }> {
  isStopping = false;
  allowed = first.allowed;
  published = 0;
  const bodies = createReadings(1);
  const packet = mqttPacket.generate({
    cmd: "publish",
    topic,
    qos: 1,
    messageId: 1,
    payload: Buffer.alloc(bodies.bytes),
    dup: false,
    retain: false,
  });
  const payloadAt = packet.length - bodies.bytes;
  const messageIdAt = payloadAt - 2;

  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let received = 0;

    function publish(): void {
      const acknowledged = Math.max(0, received - CONNACK_BYTES) / PUBACK_BYTES;
      if (isStopping) {
        if (acknowledged < published) return;
        socket.end(mqttPacket.generate({ cmd: "disconnect" }));
        resolve({ published });
        return;
      }
      while (published - acknowledged <= WINDOW - PER_WRITE && published < allowed) {
        const count = Math.min(PER_WRITE, allowed - published);
        const bytes = Buffer.allocUnsafe(count * packet.length);
        for (let i = 0; i < count; i++) {
          const at = i * packet.length;
          packet.copy(bytes, at, 0, payloadAt);
          published += 1;
          // Ids run from 1 to 65,535; the window is far smaller, so none is in use twice.
          bytes.writeUInt16BE((published % 65_535) + 1, at + messageIdAt);
          bodies.writeNext(bytes, at + payloadAt);
        }
        socket.write(bytes);
      }
    }

    resume = publish;
    socket.setNoDelay(true);
    socket.on("error", reject);
    // This client subscribes to nothing, so after one CONNACK only PUBACKs come back, and counting bytes is enough.
    socket.on("data", (chunk) => {
      received += chunk.length;
      publish();
    });
    socket.write(
      mqttPacket.generate({ cmd: "connect", clientId: `bench-${process.pid}`, clean: true, keepalive: 0 }),
    );
  });
}

const handlers = {
  flood,
  allow(messages: number): void {
    allowed = messages;
    resume();
  },
  published(): number {
    return published;
  },
  stop(): void {
    isStopping = true;
    resume();
  },
};
export type Publisher = typeof handlers;

serveParent(handlers);
