/** Remembers when MQTT messages came first: one that is delivered again (DUP) is as old as that, and not new. */

import { crc32 } from "node:zlib";
import { LRUCache } from "lru-cache";

export interface Redelivery<Key> {
  /**
   * UTC milliseconds since 1970: `now` for a message that comes for the first time, null for one that is delivered again
   * and is not remembered.
   */
  firstReceivedAt(
    key: Key,
    message: { topic: string; body: Uint8Array; dup: boolean },
    now: number,
  ): number | null;
}

/**
 * The key is what a redelivery repeats: the packet id, and the session it belongs to. Only the latest `max` messages are
 * remembered.
 */
export function createRedelivery<Key extends string | number>(max: number): Redelivery<Key> {
  // Packet ids are used again, so the message must be the same too; a checksum of it, because a payload may be large.
  const known = new LRUCache<Key, { checksum: number; receivedAt: number }>({ max });

  return {
    firstReceivedAt(key, { topic, body, dup }, now) {
      const checksum = crc32(body, crc32(topic));
      const before = dup ? known.peek(key) : undefined;
      if (dup && before?.checksum !== checksum) return null;
      const receivedAt = before?.receivedAt ?? now;
      known.set(key, { checksum, receivedAt });
      return receivedAt;
    },
  };
}
