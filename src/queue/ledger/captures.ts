/** Keeps what operators asked to have captured, and the scrubbed messages until they are fetched; all of it expires. */

import type { Redis } from "ioredis";
import { keyOf, SHARED_KEYS } from "../redis/keys.ts";

/** A capture as all processes know it, as text of the caller's. */
export interface CaptureRequest {
  id: string;
  source: string;
  /** How many messages are wanted. */
  count: number;
  /** UTC milliseconds since 1970; no message is added afterwards. */
  untilMs: number;
  /** What the messages are scrubbed by, as JSON. */
  key: string;
}

export interface CaptureStore {
  request(request: CaptureRequest): Promise<void>;
  /** Those that have not ended. */
  requests(): Promise<CaptureRequest[]>;
  /** False where the capture is full; then it ends, and what it was scrubbed by is forgotten. */
  add(request: CaptureRequest, message: string): Promise<boolean>;
  /** The messages so far. */
  messages(id: string): Promise<string[]>;
}

/** After its end a capture can be fetched for so long. */
const KEPT_MS = 600_000;

export function createCaptureStore(redis: Redis, prefix: string): CaptureStore {
  const requestsKey = keyOf(prefix, SHARED_KEYS.captures);
  const messagesKey = (id: string) => keyOf(prefix, SHARED_KEYS.captured, id);

  return {
    async request(request) {
      await redis
        .multi()
        .hset(requestsKey, request.source, JSON.stringify(request))
        // All of them are shorter; the next one prolongs it.
        .pexpire(requestsKey, Math.max(1, request.untilMs - Date.now()) + KEPT_MS)
        .exec();
    },
    async requests() {
      const found = await redis.hvals(requestsKey);
      const all = found.map((text): CaptureRequest => JSON.parse(text));
      return all.filter(({ untilMs }) => untilMs > Date.now());
    },
    async add({ id, source, count, untilMs }, message) {
      const key = messagesKey(id);
      const answers = await redis
        .multi()
        .rpush(key, message)
        // Several processes add at a time: what is too much goes again.
        .ltrim(key, 0, count - 1)
        .pexpire(key, Math.max(1, untilMs - Date.now()) + KEPT_MS)
        .exec();
      if (Number(answers?.[0]?.[1] ?? 0) < count) return true;
      await redis.hdel(requestsKey, source);
      return false;
    },
    messages: (id) => redis.lrange(messagesKey(id), 0, -1),
  };
}
