/** Reads a device's socket: no packet that is too large, nothing faster than it is stored, and only some of it in one turn. */

import type { Socket } from "node:net";
import type { Shares } from "../../ingest/decode-shares.ts";
import { createFrameGuard } from "./frames.ts";

/** Of one socket in one turn of the event loop, and the rest of a packet that has begun: at most 2,000 of the smallest. */
const AT_ONCE_BYTES = 4096;
/** More than a connection may have under way (2,000, see broker.ts). */
const MAX_UNDER_WAY = 5000;
/** What aedes and this file do for a packet, charged to its source. */
const PACKET_MS = 0.02;

interface Holding {
  /** Nothing is read now; `held` is told, and whoever it tells emits `readable` when that has changed. */
  isHeld(): boolean;
  held(): void;
  /** Of one packet. */
  limitBytes(isPublish: boolean): number;
  /** Whose share the work is charged to; undefined before the login. */
  source(): string | undefined;
  shares: Pick<Shares, "mayRead" | "charge"> | undefined;
  /** A packet announces more than may come; nothing of it is given on. */
  tooLarge(): void;
}

/**
 * Aedes takes bytes with `read`, on `readable`, so here is the place to hold them back; its own `pause` loses count of
 * packets under way and can stall.
 */
export function readInTurns(
  socket: Socket,
  { isHeld, held, limitBytes, source, shares, tooLarge }: Holding,
): void {
  const read = socket.read.bind(socket);
  const frames = createFrameGuard(limitBytes);
  let isResting = false;
  let wasAsked = false;

  /** Reads nothing until the next turn of the event loop, and goes on there. */
  function rest(): void {
    isResting = true;
    setImmediate(() => {
      isResting = false;
      wasAsked = false;
      // Aedes asks once it has been told as often as it has packets under way, as it is by each piece of the network's.
      for (let told = 0; !wasAsked && told < MAX_UNDER_WAY; told += 1) socket.emit("readable");
    });
  }

  socket.read = (size) => {
    wasAsked ||= size !== 0;
    if (isHeld()) {
      held();
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
      tooLarge();
      return null;
    }
    if (name !== undefined) shares?.charge(name, frames.begun() * PACKET_MS);
    if (left > 0) rest();
    return chunk;
  };
}
