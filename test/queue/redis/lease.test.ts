/** Leases on a real Redis: one holder at a time, also when Redis hangs or a holder cannot begin. */

import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { holdLease, type Lease, type LeaseEvents } from "../../../src/queue/redis/lease.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000) });

let server: PrivateRedis;
const closers: (() => Promise<unknown> | unknown)[] = [];
beforeAll(async () => {
  server = await startPrivateRedis();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => server.stop());

function holder(
  key: string,
  changes: Partial<LeaseEvents> = {},
): { told: string[]; lease: Lease; redis: Redis } {
  // Far longer than the lease: what has to come in time must not wait for an answer.
  const redis = new Redis(server.url, { commandTimeout: 30_000 });
  const told: string[] = [];
  const lease = holdLease(redis, key, {
    acquired: () => void told.push("acquired"),
    expired: () => void told.push("expired"),
    lost: () => void told.push("lost"),
    failed: (error) => void told.push(`failed: ${error instanceof Error ? error.message : ""}`),
    ...changes,
  });
  closers.push(async () => {
    await lease.close();
    redis.disconnect();
  });
  return { told, lease, redis };
}

test("one holds it, the other stands by until it is given back", async () => {
  const first = holder("one");
  await until(() => first.told.length === 1, { what: "the lease" });
  const second = holder("one");
  await until(() => second.lease.standing().reason === "another process holds the lease", {
    what: "the answer",
  });
  expect(second.told).toEqual([]);
  await first.lease.close();
  await until(() => second.told.length === 1, { what: "the lease for the second" });
});

test("under a Redis that hangs the lease runs out, and is ours again if nobody else took it", async () => {
  const { told, lease } = holder("hang");
  await until(() => told.length === 1, { what: "the lease" });
  server.kill("SIGSTOP");
  try {
    await until(() => told.length === 2, { what: "its end" });
    expect(told).toEqual(["acquired", "expired"]);
    expect(lease.standing()).toEqual({ kind: "standby", reason: "storage is away" });
  } finally {
    server.kill("SIGCONT");
  }
  await until(() => told.length === 3, { what: "the lease again" });
  expect(told).toEqual(["acquired", "expired", "acquired"]);
});

test("one that ran out and was taken by another process is lost", async () => {
  const { told, redis } = holder("taken");
  await until(() => told.length === 1, { what: "the lease" });
  redis.disconnect();
  await until(() => told.length === 2, { what: "its end" });
  const other = new Redis(server.url);
  closers.push(() => other.disconnect());
  await other.set("taken", "somebody else");
  await redis.connect();
  await until(() => told.length === 3, { what: "the loss" });
  expect(told).toEqual(["acquired", "expired", "lost"]);
});

test("a holder that cannot begin gives it back and tries again later", async () => {
  let attempts = 0;
  const acquired = () => {
    attempts += 1;
    if (attempts === 1) throw new Error("bad certificate");
  };
  const { told, lease, redis } = holder("throws", { acquired });
  await until(() => told.length === 1, { what: "the failure" });
  expect(told).toEqual(["failed: bad certificate"]);
  expect(lease.standing()).toEqual({ kind: "failed", reason: "cannot begin: bad certificate" });
  await until(async () => (await redis.exists("throws")) === 0, { what: "the lease to be given back" });
  await until(() => attempts === 2, { what: "another attempt" });
  expect(await redis.exists("throws")).toBe(1);
  expect(told).toHaveLength(1);
});
