/** An MQTT device that a test drives packet by packet: a library would acknowledge, release and resend by itself. */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import mqttPacket, { type Packet } from "mqtt-packet";
import { until } from "./wait.ts";

export interface RawDevice {
  socket: Socket;
  /** What came, in order. */
  received: Packet[];
  closed(): boolean;
  /** Resolves once it is written to the system. */
  send(...packets: Packet[]): Promise<void>;
  /** Resolves when so many packets of the kind have come. */
  count(cmd: Packet["cmd"], wanted: number): Promise<unknown>;
}

export async function rawDevice(
  port: number,
  { username, clientId = "raw" }: { username: string; clientId?: string },
): Promise<RawDevice> {
  const socket = connect(port, "127.0.0.1");
  const received: Packet[] = [];
  let closed = false;
  const parser = mqttPacket.parser();
  parser.on("packet", (packet) => void received.push(packet));
  socket.on("data", (chunk) => void parser.parse(chunk));
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  await once(socket, "connect");

  async function send(...packets: Packet[]): Promise<void> {
    const bytes = Buffer.concat(packets.map((packet) => mqttPacket.generate(packet)));
    if (!socket.write(bytes) && !closed) {
      // An error ends in "close" as well, which the test can check.
      await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => {});
    }
  }

  const count = (cmd: Packet["cmd"], wanted: number) =>
    until(() => received.filter((packet) => packet.cmd === cmd).length >= wanted, {
      what: `${wanted} × ${cmd}`,
      withinMs: 60_000,
    });

  await send({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    clientId,
    username,
    password: Buffer.from(`secret of ${username}`),
  });
  await count("connack", 1);
  return { socket, received, closed: () => closed, send, count };
}

export function publish(
  topic: string,
  payload: string | Buffer,
  { messageId, qos = 2, dup = false }: { messageId: number; qos?: 0 | 1 | 2; dup?: boolean },
): Packet {
  return { cmd: "publish", topic, payload, qos, messageId, dup, retain: false };
}
