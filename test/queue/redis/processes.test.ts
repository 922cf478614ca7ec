/** Which sources other processes know: while configurations differ, for a while after a process is gone, and without Redis. */

import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { type Announcement, announce } from "../../../src/queue/redis/processes.ts";
import { connectRedis } from "../../../src/queue/redis/redis.ts";
import { until } from "../../support/wait.ts";

let server: PrivateRedis;
let db: Redis;
const cleanups: (() => void)[] = [];

beforeEach(async () => {
  server = await startPrivateRedis();
  db = new Redis(server.url);
  db.on("error", () => {});
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  db.disconnect();
  await server.stop();
});

function start(...sources: string[]): Announcement {
  const redis = connectRedis({ url: server.url, commandTimeoutMs: 2000 }, "ingest");
  redis.on("error", () => {});
  const announcement = announce(redis, "waypost", sources);
  cleanups.push(announcement.stop, () => redis.disconnect());
  return announcement;
}

const knows = (announcement: Announcement, source: string, known: boolean) =>
  until(async () => (await announcement.isKnownElsewhere(source)) === known, {
    what: `${source} to be ${known ? "known" : "unknown"} elsewhere`,
  });

it("a source of another process is known there, and no other is", async () => {
  const old = start("vans");
  const added = start("vans", "added");
  await knows(old, "added", true);
  await knows(old, "nobody", false);
  // The other way round: what the new configuration no longer names.
  await knows(added, "nobody", false);
  expect(await added.isKnownElsewhere("added")).toBe(false);
  start("vans", "removed");
  await knows(added, "removed", true);
});

it("processes with the same sources cost one entry", async () => {
  const [first] = [start("a", "b"), start("b", "a"), start("a", "b")];
  await knows(first, "c", false);
  expect(await db.zcard("{waypost-processes}:live")).toBe(1);
  expect((await db.keys("{waypost-processes}*")).length).toBe(2);
});

it("of three, all differ, and each knows of both others", async () => {
  const first = start("a");
  start("b");
  start("c");
  await knows(first, "b", true);
  await knows(first, "c", true);
  await knows(first, "d", false);
});

it("a process that is gone counts for as long as it takes to start again, and no longer", async () => {
  const old = start("vans");
  const added = start("vans", "added");
  // While it is not sure, it says so too.
  await until(async () => (await db.zcard("{waypost-processes}:live")) === 2, { what: "both to be heard" });
  await knows(old, "added", true);
  added.stop();
  expect(await old.isKnownElsewhere("added")).toBe(true);
  expect(await db.pttl("{waypost-processes}:live")).toBeGreaterThan(0);
  // As if half a minute had passed.
  for (const each of await db.zrange("{waypost-processes}:live", "0", "-1")) {
    await db.zincrby("{waypost-processes}:live", "-30000", each);
  }
  await knows(old, "added", false);
});

it("while Redis cannot be asked, and until all have announced themselves again, no sender is refused for good", async () => {
  const only = start("vans");
  await knows(only, "nobody", false);
  server.kill("SIGKILL");
  await knows(only, "nobody", true);
  await server.restart();
  await knows(only, "nobody", false);
  server.kill("SIGSTOP");
  await knows(only, "nobody", true);
  server.kill("SIGCONT");
  await knows(only, "nobody", false);
});

it("unauthenticated senders cost Redis a few requests a second, however many they are", async () => {
  const only = start("vans");
  await knows(only, "nobody", false);
  const asked = async () => Number(/cmdstat_zrange:calls=(\d+)/.exec(await db.info("commandstats"))?.[1]);
  const before = await asked();
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: 5000 }, (_, i) => only.isKnownElsewhere(`unknown-${i}`)));
  const seconds = (performance.now() - startedAt) / 1000;
  expect((await asked()) - before).toBeLessThanOrEqual(2 + 4 * seconds);
}, 20_000);
