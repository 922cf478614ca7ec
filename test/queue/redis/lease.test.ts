/** Leases on a real Redis: one owner at a time, also when Redis hangs or an owner cannot begin. */

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

function owner(
  key: string,
  changes: Partial<LeaseEvents> = {},
): { reported: string[]; lease: Lease; redis: Redis } {
  // Far longer than the lease: what has to come in time must not wait for an answer.
  const redis = new Redis(server.url, { commandTimeout: 30_000 });
  const reported: string[] = [];
  const lease = holdLease(redis, key, {
    acquired: () => void reported.push("acquired"),
    expired: () => void reported.push("expired"),
    lost: () => void reported.push("lost"),
    failed: (error) => void reported.push(`failed: ${error instanceof Error ? error.message : ""}`),
    ...changes,
  });
  closers.push(async () => {
    await lease.close();
    redis.disconnect();
  });
  return { reported, lease, redis };
}

test("one holds it, the other stands by until it is given back", async () => {
  const first = owner("one");
  await until(() => first.reported.length === 1, { what: "the lease" });
  const second = owner("one");
  await until(() => second.lease.standing().reason === "another process holds the lease", {
    what: "the answer",
  });
  expect(second.reported).toEqual([]);
  await first.lease.close();
  await until(() => second.reported.length === 1, { what: "the lease for the second" });
});

test("under a Redis that hangs the lease runs out, and is ours again if no other process acquired it", async () => {
  const { reported, lease } = owner("hang");
  await until(() => reported.length === 1, { what: "the lease" });
  server.kill("SIGSTOP");
  try {
    await until(() => reported.length === 2, { what: "its end" });
    expect(reported).toEqual(["acquired", "expired"]);
    expect(lease.standing()).toEqual({ kind: "standby", reason: "storage is away" });
  } finally {
    server.kill("SIGCONT");
  }
  await until(() => reported.length === 3, { what: "the lease again" });
  expect(reported).toEqual(["acquired", "expired", "acquired"]);
});

test("one that ran out and was acquired by another process is lost", async () => {
  const { reported, redis } = owner("taken");
  await until(() => reported.length === 1, { what: "the lease" });
  redis.disconnect();
  await until(() => reported.length === 2, { what: "its end" });
  const other = new Redis(server.url);
  closers.push(() => other.disconnect());
  await other.set("taken", "another process");
  await redis.connect();
  await until(() => reported.length === 3, { what: "the loss" });
  expect(reported).toEqual(["acquired", "expired", "lost"]);
});

test("a holder that cannot begin gives it back and tries again later", async () => {
  let attempts = 0;
  const acquired = () => {
    attempts += 1;
    if (attempts === 1) throw new Error("bad certificate");
  };
  const { reported, lease, redis } = owner("throws", { acquired });
  await until(() => reported.length === 1, { what: "the failure" });
  expect(reported).toEqual(["failed: bad certificate"]);
  expect(lease.standing()).toEqual({ kind: "failed", reason: "cannot begin: bad certificate" });
  await until(async () => (await redis.exists("throws")) === 0, { what: "the lease to be given back" });
  await until(() => attempts === 2, { what: "another attempt" });
  expect(await redis.exists("throws")).toBe(1);
  expect(reported).toHaveLength(1);
});
