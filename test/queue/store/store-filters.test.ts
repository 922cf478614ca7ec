/** The filters a source may have: implausible jumps and thinning, measured from the device's last fix. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Reading } from "../../../src/reading.ts";
import { readingOf } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

/** One degree of latitude on the sphere of radius 6371008.8 m that the filter uses. */
const METRES_PER_DEGREE = 111_195.08;
const START = Date.now() - 300_000;

function at(seconds: number, northMetres: number): Reading {
  return readingOf("a", 0, {
    fixTime: START + seconds * 1000,
    latitude: 30 + northMetres / METRES_PER_DEGREE,
    longitude: -97,
  });
}

describe("the jump filter", () => {
  it("lets a device's first fix pass, wherever it is", async () => {
    const store = stores.open({ source: { maxImpliedMps: 50 } });
    expect((await store.add([at(0, 5_000_000)])).stored).toBe(1);
  });

  it("rejects a fix that implies more than the limit and lets pass what implies less", async () => {
    const store = stores.open({ source: { maxImpliedMps: 50 } });
    await store.add([at(0, 0)]);
    expect((await store.add([at(10, 495)])).stored).toBe(1);
    const verdict = await store.add([at(20, 495 + 505)]);
    expect([verdict.stored, verdict.rejections.get("implausible_jump")]).toEqual([0, 1]);
    expect((await store.status()).sources[0]?.rejectedBy).toEqual({ implausible_jump: 1 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("measures along a parallel as on a sphere", async () => {
    const store = stores.open({ source: { maxImpliedMps: 50 } });
    const north = (longitude: number, seconds: number): Reading =>
      readingOf("a", 0, { fixTime: START + seconds * 1000, latitude: 60, longitude });
    await store.add([north(10, 0)]);
    // Half a degree of latitude's length at 60°: 0.008 degrees are 445 m, 45 m/s over ten seconds.
    expect((await store.add([north(10.008, 10)])).stored).toBe(1);
    expect((await store.add([north(10.017, 20)])).stored).toBe(0);
  });

  it("measures the next fix from the last good one, not from the jump", async () => {
    const store = stores.open({ source: { maxImpliedMps: 50 } });
    const verdict = await store.add([at(0, 0), at(10, 400_000), at(20, 600), at(30, 900)]);
    expect([verdict.stored, verdict.rejections.get("implausible_jump")]).toEqual([3, 1]);
  });

  it("recovers when the vehicle really is elsewhere, as soon as the time in between allows it", async () => {
    const store = stores.open({ source: { maxImpliedMps: 50 } });
    await store.add([at(0, 0)]);
    expect((await store.add([at(10, 5000)])).stored).toBe(0);
    expect((await store.add([at(60, 5000)])).stored).toBe(0);
    expect((await store.add([at(110, 5000)])).stored).toBe(1);
    expect((await store.add([at(120, 5100)])).stored).toBe(1);
  });

  it("does not follow a wrong first fix for hours: a minute of fixes that agree is enough", async () => {
    const store = stores.open({ source: { maxImpliedMps: 50 } });
    await store.add([at(0, 3_000_000)]);
    const seconds = Array.from({ length: 10 }, (_, i) => 10 + i * 10);
    const stored = [];
    for (const second of seconds) stored.push((await store.add([at(second, second * 15)])).stored);
    expect(stored).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    expect(await store.mismatches()).toEqual([]);
  });

  it("does not believe jumps that contradict each other, however long they last", async () => {
    const store = stores.open({ source: { maxImpliedMps: 50 } });
    await store.add([at(0, 0)]);
    const stored = [];
    for (let i = 1; i <= 20; i++)
      stored.push((await store.add([at(i * 10, i % 2 === 0 ? 500_000 : -500_000)])).stored);
    expect(new Set(stored)).toEqual(new Set([0]));
    expect((await store.add([at(210, 1000)])).stored).toBe(1);
  });

  it("measures a late fix too, but goes on from the newest", async () => {
    const store = stores.open({ source: { maxImpliedMps: 50 } });
    await store.add([at(100, 1000)]);
    expect((await store.add([at(90, 600)])).stored).toBe(1);
    expect((await store.add([at(80, 100_000)])).stored).toBe(0);
    expect((await store.add([at(110, 1490)])).stored).toBe(1);
  });
});

describe("thinning", () => {
  it("keeps one fix per interval and counts the others", async () => {
    const store = stores.open({ source: { minIntervalMs: 5000 } });
    const verdict = await store.add([0, 1, 2, 3, 4, 5, 6, 9, 10, 15].map((second) => at(second, second)));
    expect([verdict.stored, verdict.rejections.get("thinned")]).toEqual([4, 6]);
    expect(await store.account()).toMatchObject({ readings: 10, rejected: 6, stored: 4, waiting: 4 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("treats each device for itself", async () => {
    const store = stores.open({ source: { minIntervalMs: 5000 } });
    const readings = ["a", "b", "c"].map((deviceId) => ({ ...at(0, 0), deviceId }));
    expect((await store.add(readings)).stored).toBe(3);
  });

  it("calls a resent fix a duplicate, whether it was stored or thinned", async () => {
    const store = stores.open({ source: { minIntervalMs: 5000 } });
    await store.add([at(0, 0), at(1, 1)]);
    const verdict = await store.add([at(0, 0), at(1, 1)]);
    expect([verdict.stored, verdict.duplicates, verdict.rejections.size]).toEqual([0, 2, 0]);
    expect(await store.mismatches()).toEqual([]);
  });
});
