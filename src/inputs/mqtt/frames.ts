/** Follows the packet boundaries of an MQTT byte stream, to notice a packet that is too large before it is in memory. */

/** MQTT 3.1.1 §2.2.3: the length is written in at most four bytes, seven bits each. */
const MAX_LENGTH_FACTOR = 128 ** 3;
/** MQTT 3.1.1 §2.2.1, table 2.1. */
const PUBLISH = 3;

export interface FrameGuard {
  /** Called with each chunk of the stream in turn; false once a packet announces more than its limit, or no valid length. */
  fits(chunk: Uint8Array): boolean;
  /** Packets that began in the last chunk. */
  begun(): number;
  /** Bytes that are still to come of the packet the stream is in. */
  inPacket(): number;
}

export function createFrameGuard(limitBytes: (isPublish: boolean) => number): FrameGuard {
  let isPublish = false;
  let skip = 0;
  let inLength = false;
  let length = 0;
  let factor = 1;
  let begun = 0;

  function fits(chunk: Uint8Array): boolean {
    begun = 0;
    let at = 0;
    while (at < chunk.length) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at);
        skip -= step;
        at += step;
        continue;
      }
      const byte = chunk[at] ?? 0;
      at += 1;
      if (!inLength) {
        // The type of the packet; its length follows.
        begun += 1;
        isPublish = byte >> 4 === PUBLISH;
        inLength = true;
        length = 0;
        factor = 1;
        continue;
      }
      length += (byte & 0x7f) * factor;
      if (length > limitBytes(isPublish) || (byte >= 0x80 && factor === MAX_LENGTH_FACTOR)) return false;
      factor *= 128;
      if (byte >= 0x80) continue;
      inLength = false;
      skip = length;
    }
    return true;
  }

  return { fits, begun: () => begun, inPacket: () => skip };
}
