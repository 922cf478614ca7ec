/** The throttle's log of slots, as Redis holds it. */

import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { slotUsedLate } from "../../../src/queue/deliver/slot.ts";
import { startTestQueue, type TestQueue } from "../../support/queue.ts";

let rig: TestQueue;
let redis: Redis;
beforeAll(async () => {
  rig = await startTestQueue();
  redis = new Redis(rig.redis.url);
});
afterAll(async () => {
  redis.disconnect();
  await rig.close();
});

test.each([
  ["among those given after it", 1200, 15, [1000, 1210, 1215, 1220]],
  ["behind all others", 1200, 100, [1000, 1210, 1220, 1300]],
  ["onto another's moment", 1200, 20, [1000, 1210, 1220, 1220]],
  ["nowhere when it is forgotten", 1100, 50, [1000, 1200, 1210, 1220]],
])("a slot used late moves %s", async (_, slot, lateMs, expected) => {
  const key = `${rig.destination.keyPrefix}:slots`;
  await redis.del(key);
  await redis.rpush(key, 1000, 1200, 1210, 1220);
  await slotUsedLate(redis, rig.destination, slot, lateMs - 0.5);
  expect((await redis.lrange(key, 0, -1)).map(Number)).toEqual(expected);
});
