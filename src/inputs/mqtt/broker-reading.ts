/** Reads a device's socket: no packet that is too large, nothing faster than it is stored, and only some of it in one turn. */

import type { Socket } from "node:net";
import type { Shares } from "../../ingest/decode-shares.ts";
import { createFrameGuard } from "./frames.ts";

/** Of one socket in one turn of the event loop, and the rest of a packet that has begun: at most 2,000 of the smallest. */
const AT_ONCE_BYTES = 4096;
/** More than a connection may have pending (2,000, see broker-limits.ts). */
const MAX_PENDING = 5000;
/** The time that aedes and this file take for a packet, charged to its source. */
const PACKET_MS = 0.02;

interface ReadOptions {
  /** Nothing is read now. `onHeld` is called each time; its owner emits `readable` when that has changed. */
  isHeld(): boolean;
  onHeld(): void;
  /** Of one packet. */
  limitBytes(isPublish: boolean): number;
  /** The source whose share the work is charged to; undefined before the login. */
  source(): string | undefined;
  shares: Pick<Shares, "mayRead" | "charge"> | undefined;
  /** A packet announces more than may come; nothing of it is given on. */
  onTooLarge(): void;
}

/**
 * Aedes reads bytes with `read`, on `readable`, so this is where they can be held back; its own `pause` loses count of
 * packets in flight and can stall.
 */
export function readInTurns(
  socket: Socket,
  { isHeld, onHeld, limitBytes, source, shares, onTooLarge }: ReadOptions,
): void {
  const read = socket.read.bind(socket);
  const frames = createFrameGuard(limitBytes);
  let isResting = false;
  let wasAsked = false;

  /** Reads nothing until the next turn of the event loop, and goes on then. */
  function rest(): void {
    isResting = true;
    setImmediate(() => {
      isResting = false;
      wasAsked = false;
      // Aedes reads once it has got `readable` as often as it has packets in flight, as it does with each piece from the network.
      for (let asked = 0; !wasAsked && asked < MAX_PENDING; asked += 1) socket.emit("readable");
    });
  }

  socket.read = (size) => {
    wasAsked ||= size !== 0;
    if (isHeld()) {
      onHeld();
      return null;
    }
    // Node's own way of asking for more from the network; takes nothing.
    if (size === 0) return read(0);
    if (isResting) return null;
    const name = source();
    if (name !== undefined && shares?.mayRead(name) === false) {
      rest();
      return null;
    }
    // What is left stays with the stream, which then asks the network for no more.
    const left = socket.readableLength - (AT_ONCE_BYTES + frames.inPacket());
    const chunk: Buffer | null = left > 0 ? read(socket.readableLength - left) : read();
    if (chunk === null) return null;
    if (!frames.fits(chunk)) {
      onTooLarge();
      return null;
    }
    if (name !== undefined) shares?.charge(name, frames.begun() * PACKET_MS);
    if (left > 0) rest();
    return chunk;
  };
}
