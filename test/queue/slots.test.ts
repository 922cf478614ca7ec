/** The throttle's log of slots, as Redis holds it. */

import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { slotUsedLate } from "../../src/queue/deliver/slot.ts";
import { type Line, startLine } from "../support/line.ts";

let line: Line;
let redis: Redis;
beforeAll(async () => {
  line = await startLine();
  redis = new Redis(line.redis.url);
});
afterAll(async () => {
  redis.disconnect();
  await line.close();
});

test.each([
  ["among those given after it", 1200, 15, [1000, 1210, 1215, 1220]],
  ["behind all others", 1200, 100, [1000, 1210, 1220, 1300]],
  ["onto another's moment", 1200, 20, [1000, 1210, 1220, 1220]],
  ["nowhere when it is forgotten", 1100, 50, [1000, 1200, 1210, 1220]],
])("a slot used late moves %s", async (_, slot, lateMs, expected) => {
  const key = `${line.destination.keyPrefix}:slots`;
  await redis.del(key);
  await redis.rpush(key, 1000, 1200, 1210, 1220);
  await slotUsedLate(redis, line.destination, slot, lateMs - 0.5);
  expect((await redis.lrange(key, 0, -1)).map(Number)).toEqual(expected);
});
