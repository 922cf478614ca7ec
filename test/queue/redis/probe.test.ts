/** A probe reads Redis once, and its requests are counted in the throttle among those of the gateway. */

import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../../../sandbox/owned-process.ts";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { keyOf, SCOPE_KEYS } from "../../../src/queue/redis/keys.ts";
import { probeRedis, type RedisProbe } from "../../../src/queue/redis/probe.ts";
import { scaled } from "../../support/speed.ts";

const WITHIN_MS = scaled(10_000);
/** Long enough that no slot becomes free while the test runs. */
const WINDOW_MS = 600_000;
const keyPrefix = "probe:{scope}";

let redis: PrivateRedis;
let db: Redis;
beforeAll(async () => {
  redis = await startPrivateRedis();
  db = new Redis(redis.url);
});
afterAll(async () => {
  db.disconnect();
  await redis.stop();
});

type Destination = Parameters<RedisProbe["takeSlot"]>[0];

test("takes slots until the rate is used, and never more", async () => {
  const slots = keyOf(keyPrefix, SCOPE_KEYS.slots);
  // What a gateway sent long ago: the log is not new.
  await db.rpush(slots, Date.now() - 2 * WINDOW_MS);
  const probe = await probeRedis(redis.url, WITHIN_MS, Date.now);
  const destination = { name: "acme", keyPrefix, ratePerSecond: 3, windowMs: WINDOW_MS } as Destination;
  const take = () => probe.takeSlot(destination, 1000);
  expect([await take(), await take(), await take(), await take()]).toEqual([0, 0, 0, "full"]);
  expect(await db.llen(slots)).toBe(3);
  probe.close();
});

test("a gate that lets less through counts as well", async () => {
  const prefix = "probe:{ramping}";
  await db.rpush(keyOf(prefix, SCOPE_KEYS.slots), Date.now() - 2 * WINDOW_MS);
  await db.hset(keyOf(prefix, SCOPE_KEYS.scopeGate), { state: "ramping", ramp: 1 });
  const probe = await probeRedis(redis.url, WITHIN_MS, Date.now);
  const destination = {
    name: "acme",
    keyPrefix: prefix,
    ratePerSecond: 20,
    windowMs: WINDOW_MS,
  } as Destination;
  expect(await probe.takeSlot(destination, 1000)).toBe(0);
  expect(await probe.takeSlot(destination, 1000)).toBe("full");
  probe.close();
});

test("without Redis it says why, and gives no slot", async () => {
  const probe = await probeRedis(`redis://127.0.0.1:${await freePort()}`, WITHIN_MS, Date.now);
  expect(probe).toMatchObject({ roundTripMs: null, aheadMs: null, status: { reachable: false } });
  expect(probe.status.problems.join()).toContain("connection refused at 127.0.0.1:");
  const destination = { name: "acme", keyPrefix, ratePerSecond: 3, windowMs: WINDOW_MS } as Destination;
  expect(await probe.takeSlot(destination, 1000)).toBeNull();
  probe.close();
});
