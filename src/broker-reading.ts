/** Reads a device's socket: no packet that is too large, nothing faster than it is stored, and only some of it in one turn. */

import type { Socket } from "node:net";
import { createFrameGuard } from "./mqtt-frames.ts";
import type { Shares } from "./shares.ts";

/** Of one socket: aedes takes all that it reads in one turn of the event loop, and 64 kB hold 9,000 of the smallest. */
const MAX_PACKETS_AT_ONCE = 256;
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
  let packets = 0;
  let restAt: number | null = null;
  const fits = createFrameGuard(limitBytes, (at) => {
    if (packets === MAX_PACKETS_AT_ONCE) restAt = at;
    else packets += 1;
    return restAt === null;
  });
  const readLater = inNextTurn(socket);

  socket.read = (size) => {
    if (isHeld()) {
      held();
      return null;
    }
    // Node's own way of asking for more from the network; takes nothing.
    if (size === 0) return read(0);
    const name = source();
    if (name !== undefined && shares?.mayRead(name) === false) {
      readLater();
      return null;
    }
    const chunk: Buffer | null = read(size);
    if (chunk === null) return null;
    packets = 0;
    restAt = null;
    const isFit = fits(chunk);
    if (name !== undefined) shares?.charge(name, packets * PACKET_MS);
    if (!isFit) {
      tooLarge();
      return null;
    }
    if (restAt === null) return chunk;
    socket.unshift(chunk.subarray(restAt));
    readLater();
    return chunk.subarray(0, restAt);
  };
}

/** Says once in the next turn of the event loop that there is something to read. */
function inNextTurn(socket: Socket): () => void {
  let isArmed = false;
  return () => {
    if (isArmed) return;
    isArmed = true;
    setImmediate(() => {
      isArmed = false;
      socket.emit("readable");
    });
  };
}
