/** Reads the devices' sockets for the embedded broker, and holds those back whose messages are not stored fast enough. */

import { Socket } from "node:net";
import type { Aedes, Client } from "aedes";
import type { Shares } from "../../ingest/decode-shares.ts";
import type { BrokerLimits, Unacked } from "./broker-limits.ts";
import { readInTurns } from "./broker-reading.ts";
import type { DeviceRefusals } from "./device-refusals.ts";
import type { DeviceSessions } from "./device-sessions.ts";

export interface DeviceSockets {
  accept(socket: Socket): void;
  /** Reads on from every socket that is no longer held back. */
  resumeAll(): void;
  /** Reads on from the client's socket, unless it is still held back. */
  resume(client: Client): void;
  /** Nothing more is read. */
  stopReading(): void;
  count(): number;
  destroyAll(): void;
}

/** Packets up to this many times the limit are read, to be counted and acknowledged; a larger one ends the connection. */
const READ_LIMIT_FACTOR = 4;
/** Any packet but PUBLISH: CONNECT with the longest client id, username and password, or a hundred subscriptions. */
const CONTROL_LIMIT_BYTES = 4096;
/** Finds peers that vanished without a word, where the device asked for no keepalive. */
const TCP_KEEPALIVE_MS = 60_000;

export function createDeviceSockets({
  aedes,
  sessions,
  unacked,
  maximumPacketBytes,
  limits,
  shares,
  refusals,
}: {
  aedes: Pick<Aedes, "handle">;
  sessions: Pick<DeviceSessions, "of">;
  unacked: Pick<Unacked, "isFull">;
  maximumPacketBytes: number;
  limits: Pick<BrokerLimits, "pending" | "idleMs">;
  shares: Pick<Shares, "mayRead" | "charge"> | undefined;
  refusals: Pick<DeviceRefusals, "cutOff">;
}): DeviceSockets {
  const sockets = new Set<Socket>();
  /** Those that are held back. */
  const held = new Set<Socket>();
  let isStopped = false;

  function isHeld(socket: Socket): boolean {
    // A device that does not read our answers is not read either, because they would pile up.
    if (isStopped || socket.writableNeedDrain) return true;
    const session = sessions.of(socket);
    return unacked.isFull(session?.device.source.name) || (session?.pending ?? 0) >= limits.pending;
  }

  function resumeSocket(socket: Socket): void {
    if (!held.has(socket) || isHeld(socket)) return;
    held.delete(socket);
    socket.emit("readable");
  }

  function accept(socket: Socket): void {
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      held.delete(socket);
    });
    socket.on("drain", () => resumeSocket(socket));
    socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
    socket.setTimeout(limits.idleMs, () => socket.destroy());
    readInTurns(socket, {
      isHeld: () => isHeld(socket),
      onHeld: () => held.add(socket),
      limitBytes: (isPublish) =>
        isPublish && sessions.of(socket) !== undefined
          ? READ_LIMIT_FACTOR * maximumPacketBytes
          : CONTROL_LIMIT_BYTES,
      source: () => sessions.of(socket)?.device.source.name,
      shares,
      onTooLarge() {
        refusals.cutOff(socket.remoteAddress ?? "", sessions.of(socket)?.device, "too_large");
        socket.destroy();
      },
    });
    aedes.handle(socket);
  }

  return {
    accept,
    resumeAll() {
      for (const socket of [...held]) resumeSocket(socket);
    },
    resume({ conn }) {
      if (held.size > 0 && conn instanceof Socket) resumeSocket(conn);
    },
    stopReading() {
      isStopped = true;
    },
    count: () => sockets.size,
    destroyAll() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
