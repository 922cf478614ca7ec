/** When refused senders are asked to come again. */

import { beforeEach, expect, it } from "vitest";
import { createRetryAfter, type RetryAfter } from "../../../src/queue/store/retry-after.ts";
import { readingOf } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";

let nowMs = 0;
let retryAfter: RetryAfter;
beforeEach(() => {
  nowMs = 1000;
  retryAfter = createRetryAfter(
    () => nowMs,
    () => 0,
  );
});

/** A second later, so many bytes of 1,000,000 are in use. */
function full(bytes: number, shutMs = 0): number {
  nowMs += 1000;
  return retryAfter.bufferFull({ destination: "acme", bytes, limitBytes: 1_000_000, shutMs });
}

it("storage that is away is asked for again after as long as it has been away, within bounds", () => {
  const reported = [0, 1, 5, 30, 300].map((seconds) => {
    nowMs = 1000 + seconds * 1000;
    return retryAfter.storageAway();
  });
  expect(reported).toEqual([2, 2, 5, 30, 60]);
  retryAfter.storageBack();
  expect(retryAfter.storageAway()).toBe(2);
});

it("a full buffer by the pace at which it has been emptying", () => {
  full(1_000_000);
  // 2,500 bytes a second; 47,500 must go until a twentieth is free.
  expect(full(997_500)).toBe(19);
  expect(full(995_000)).toBe(18);
  expect(full(970_000)).toBe(2);
});

it("one that does not empty after as long as that has lasted, or until its gate opens", () => {
  expect(full(1_000_000)).toBe(2);
  for (let i = 0; i < 9; i++) full(1_000_000);
  expect(full(1_000_000)).toBe(10);
  expect(full(1_000_000, 45_000)).toBe(45);
  expect(full(1_000_000, 900_000)).toBe(300);
});

it("another occasion begins anew", () => {
  for (let i = 0; i < 30; i++) full(1_000_000);
  nowMs += 600_000;
  expect(full(1_000_000)).toBe(2);
});

it("senders that were turned away together are spread", () => {
  const random = [0, 0.5, 0.999];
  const spread = createRetryAfter(
    () => nowMs,
    () => random.shift() ?? 0,
  );
  const seen = { destination: "acme", bytes: 1, limitBytes: 1, shutMs: 40_000 };
  expect([1, 2, 3].map(() => spread.bufferFull(seen))).toEqual([40, 45, 50]);
});

it("the full buffer's destination is reported, and how long its gate stays shut", async () => {
  const stores = await startStores();
  try {
    const store = stores.open({ destination: { bufferBytes: 500 } });
    await store.add(Array.from({ length: 10 }, (_, i) => readingOf(`v${i}`, 1)));
    await store.db.hset(`${store.keyPrefix}:gate:acme`, {
      state: "paused",
      reason: "forbidden",
      until: Date.now() + 60_000,
    });
    const refusal = await store.add([readingOf("late", 1)]).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ reason: "buffer_full" });
    expect(Number(Reflect.get(Object(refusal), "retryAfterS"))).toBeGreaterThan(50);
    expect(Number(Reflect.get(Object(refusal), "retryAfterS"))).toBeLessThanOrEqual(75);
  } finally {
    await stores.close();
  }
});
