/** What is found in a Redis that a test cannot easily have: an old one, a slow one, one whose disk failed. */

import { expect, test } from "vitest";
import { redisChecks } from "../../src/doctor/redis.ts";
import type { RedisStatus } from "../../src/status/queue.ts";

const GOOD: RedisStatus = {
  reachable: true,
  version: "7.2.4",
  aof: "everysec",
  maxmemoryPolicy: "noeviction",
  usedMemoryBytes: 79_000_000,
  maxMemoryBytes: 100_000_000,
  writable: true,
  problems: [],
};

function found(status: Partial<RedisStatus>, roundTripMs = 1, aheadMs = 0) {
  return redisChecks({ status: { ...GOOD, ...status }, roundTripMs, aheadMs }, 2000).flatMap((line) =>
    line.state === "not_well" ? [`${line.finding.kind}: ${line.finding.says}`] : [],
  );
}

test("a good one has no findings, nor one that tells less", () => {
  expect(found({})).toEqual([]);
  expect(found({ version: null, maxmemoryPolicy: null, aof: "unknown", maxMemoryBytes: null })).toEqual([]);
});

test.each<[Partial<RedisStatus>, string]>([
  [{ version: "6.2.14" }, "redis_version: Redis 6.2.14 is too old."],
  [{ aof: "no" }, "redis_fsync_off: appendfsync is no: a machine crash may lose many seconds."],
  [{ usedMemoryBytes: 80_000_000 }, "redis_memory: 80 % of Redis's maxmemory (100 MB) are used"],
  [{ problems: ["The last RDB save failed: look at Redis's disk."] }, "redis_save_failed: "],
  [
    { writable: false, problems: ["The last AOF write failed: look at Redis's disk."] },
    "redis_write_failed: ",
  ],
])("%o", (status, words) => {
  const [only = "", ...others] = found(status);
  expect(only).toContain(words);
  expect(others).toEqual([]);
});

test("a slow one, and one whose clock is another", () => {
  expect(found({}, 499)).toEqual([]);
  expect(found({}, 612.4)).toEqual([
    "redis_slow: An answer of Redis takes 612 ms; a write counts as failed after 2000 ms.",
  ]);
  expect(found({}, 1, 60_000)).toEqual([]);
  expect(found({}, 1, 61_000)).toEqual(["redis_clock: This machine's clock is 61 s ahead of that of Redis."]);
  expect(found({}, 1, -7_200_000)).toEqual([
    "redis_clock: This machine's clock is 120 min behind that of Redis.",
  ]);
});
