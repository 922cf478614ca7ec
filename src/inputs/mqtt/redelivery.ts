/** Remembers when MQTT messages arrived first: one that is sent again (DUP) is as old as that, and not new. */

import { crc32 } from "node:zlib";
import { LRUCache } from "lru-cache";

export interface FirstArrivals<Key> {
  /**
   * UTC milliseconds since 1970: `now` for a message that comes for the first time, null for one that is sent again and
   * of which nothing is known here.
   */
  of(key: Key, message: { topic: string; body: Uint8Array; dup: boolean }, now: number): number | null;
}

/** Key: what a resend repeats, which is the packet id, and whose it is. Of more messages than `max` the latest. */
export function createFirstArrivals<Key extends string | number>(max: number): FirstArrivals<Key> {
  // Packet ids are used again, so it has to be the same message too; a print of it, since a payload may be large.
  const known = new LRUCache<Key, { print: number; receivedAt: number }>({ max });

  return {
    of(key, { topic, body, dup }, now) {
      const print = crc32(body, crc32(topic));
      const before = dup ? known.peek(key) : undefined;
      if (dup && before?.print !== print) return null;
      const receivedAt = before?.receivedAt ?? now;
      known.set(key, { print, receivedAt });
      return receivedAt;
    },
  };
}
