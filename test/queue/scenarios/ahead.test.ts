/** A fix ahead of our clock, forged or by a clock that runs ahead, takes nothing from the fixes that come after it. */

import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { decodeRecord } from "../../../src/queue/redis/record.ts";
import type { Reading } from "../../../src/reading.ts";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";
import { until } from "../../support/wait.ts";

/** Just below what is rejected as `in_future`. */
const AHEAD_MS = 119_000;
const METRES_PER_DEGREE = 111_195.08;

let rig: TestQueue | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

describe("on the way to ServiceTitan", () => {
  const ahead = (receivedAt = Date.now()) =>
    readingOf("van-1", 0, { fixTime: receivedAt + AHEAD_MS, receivedAt });

  it("every honest fix after it is delivered, and it keeps the identity its own time gives it", async () => {
    rig = await startTestQueue({ destination: { backfill: "drop" } });
    const forged = ahead();
    await rig.store([forged]);
    await rig.empty();
    for (let i = 0; i < 4; i++) {
      await pause(5);
      await rig.store([readingOf("van-1", 0)]);
      await rig.empty();
    }
    expect(await rig.account()).toMatchObject({ delivered: 5, superseded: 0 });
    const sent = rig.sandbox.pings({ unitId: "van-1" });
    expect(sent).toHaveLength(5);
    expect(sent[0]?.ping).toMatchObject({ externalId: `vans:van-1:${forged.fixTime}` });
    expect(await rig.mismatches()).toEqual([]);
  });

  it("honest fixes that wait beside it are delivered too", async () => {
    rig = await startTestQueue({ destination: { backfill: "drop", maxBatchPings: 1, lanes: 1 } });
    const start = Date.now();
    // Each its own message, as the gateway got them; all wait together.
    const honest = (i: number) => readingOf("van-1", 0, { fixTime: start + i, receivedAt: start + i });
    await rig.store([ahead(start), honest(1), honest(2), honest(3)]);
    expect(await rig.empty()).toMatchObject({ delivered: 4, superseded: 0 });
  });

  it("figures of freshness go on growing after it", async () => {
    rig = await startTestQueue();
    const { keyPrefix: scope } = rig.destination;
    const receivedAt = Date.now();
    await rig.store([ahead(receivedAt)]);
    await rig.empty();
    expect(Number(await rig.db.hget(`${scope}:accepted:acme`, "van-1"))).toBe(receivedAt);
    expect(Number(await rig.db.hget(`${scope}:dest:acme`, "newestAccepted"))).toBe(receivedAt);
    const { statusOf } = rig;
    await until(async () => ((await statusOf()).newestAcceptedAgeMs ?? 0) >= 100, { what: "an age" });
    // Freshness is looked at every 15 s; another process looks for the first time.
    const other = rig.another();
    await until(async () => (await other.readiness()).length === 0, { what: "another queue" });
    const [acme] = (await other.queryStatus()).destinations;
    expect(acme?.freshness?.p50AgeMs).toBeGreaterThanOrEqual(100);
  });

  it("the newest accepted one is aged by its arrival, whatever its own clock says", async () => {
    rig = await startTestQueue();
    const receivedAt = Date.now() - 15_000;
    // One from a clock that runs ahead, one that a tracker has kept for five minutes.
    await rig.store([
      ahead(receivedAt),
      readingOf("van-2", 0, { fixTime: receivedAt - 300_000, receivedAt: receivedAt - 5000 }),
    ]);
    await rig.empty();
    const { newestAcceptedAgeMs } = await rig.statusOf();
    expect(newestAcceptedAgeMs).toBeGreaterThanOrEqual(15_000);
    expect(newestAcceptedAgeMs).toBeLessThan(20_000);
    // A history that comes late is news by its arrival, and does not make the newest one older again.
    await rig.store([readingOf("van-3", 500)]);
    await rig.empty();
    expect((await rig.statusOf()).newestAcceptedAgeMs).toBeLessThan(10_000);
    await rig.store([readingOf("van-4", 0, { receivedAt })]);
    await rig.empty();
    expect((await rig.statusOf()).newestAcceptedAgeMs).toBeLessThan(10_000);
    expect(await rig.mismatches()).toEqual([]);
  });

  it("marks what was received by a clock ahead of Redis's with Redis's now", async () => {
    rig = await startTestQueue();
    await rig.store([ahead(Date.now() + 60_000)]);
    await rig.empty();
    const { keyPrefix: scope } = rig.destination;
    const mark = Number(await rig.db.hget(`${scope}:accepted:acme`, "van-1"));
    expect(mark).toBeLessThanOrEqual(Date.now());
    const arrival = Number(await rig.db.hget(`${scope}:dest:acme`, "newestAcceptedArrival"));
    expect(arrival).toBeLessThanOrEqual(Date.now());
  });
});

describe("while it waits", () => {
  let stores: Awaited<ReturnType<typeof startStores>>;
  beforeAll(async () => {
    stores = await startStores();
  });
  afterAll(() => stores.close());

  /** Received `secondsAgo`, and dated so much ahead of that. */
  const dated = (secondsAgo: number, aheadMs: number): Reading => {
    const receivedAt = Date.now() - secondsAgo * 1000;
    return readingOf("a", 0, { fixTime: receivedAt + aheadMs, receivedAt });
  };

  it("while behind the newest by receipt goes first", async () => {
    const store = stores.open({ destination: { backfill: "deliver" } });
    const forged = dated(20, AHEAD_MS);
    const [older, newest] = [dated(19, -100), dated(8, -100)];
    await store.add([newest, forged, older]);
    const { id, records } = await store.batch();
    expect(records.map(({ reading }) => reading.fixTime)).toEqual(
      [newest, forged, older].map((r) => r.fixTime),
    );
    expect(id).toBeTruthy();
  });

  it("under drop what was accepted of it supersedes nothing fixed after its receipt", async () => {
    const store = stores.open();
    const forged = dated(20, AHEAD_MS);
    await store.db.hset(`${store.keyPrefix}:accepted:acme`, { a: forged.receivedAt });
    const [before, after] = [dated(20, -3000), dated(8, -100)];
    await store.add([before, after]);
    const { records } = await store.batch();
    expect(records.map(({ reading }) => reading.fixTime)).toEqual([after.fixTime]);
    expect(await store.account()).toMatchObject({ superseded: 1 });
  });

  it("fixes of one message, all ahead, keep the order of their own times and none is lost", async () => {
    const store = stores.open({ destination: { maxBatchPings: 2 } });
    const receivedAt = Date.now();
    const way = [1, 2, 3, 4].map((s) => readingOf("a", 0, { fixTime: receivedAt + s * 1000, receivedAt }));
    await store.add(way);
    const first = await store.batch();
    await store.db.hset(`${store.keyPrefix}:accepted:acme`, { a: receivedAt });
    await store.db.del(`${store.keyPrefix}:lane:acme|0`, `${store.keyPrefix}:b:${first.id}`);
    const second = await store.batch();
    const sent = [...first.records, ...second.records].map(({ reading }) => reading.fixTime);
    expect(sent).toEqual(way.map(({ fixTime }) => fixTime));
  });

  it("of a device that is held the newest by receipt stays", async () => {
    const store = stores.open({ source: { unmapped: "hold" }, mapping: () => [] });
    const honest = dated(1, -10);
    await store.add([dated(2, AHEAD_MS)]);
    await store.add([honest]);
    const [held = ""] = await store.db.hvals(`${store.keyPrefix}:held:vans`);
    expect(decodeRecord(held).reading.fixTime).toBe(honest.fixTime);
    await store.add([dated(0, AHEAD_MS)]);
    await store.add([honest]);
    const seen = Number(await store.db.hget(`${store.keyPrefix}:unmapped:vans`, "a"));
    expect(seen).toBeLessThanOrEqual(Date.now());
  });

  describe("with filters", () => {
    const START = Date.now() - 200_000;
    const at = (seconds: number, metres: number, aheadMs = 0): Reading =>
      readingOf("a", 0, {
        fixTime: START + seconds * 1000 + aheadMs,
        receivedAt: START + seconds * 1000 + 200,
        latitude: 30 + metres / METRES_PER_DEGREE,
        longitude: -97,
      });

    it("a place that only the time ahead would allow is a jump, and costs no honest fix", async () => {
      const store = stores.open({ source: { maxImpliedMps: 70, minIntervalMs: 1000 } });
      await store.add([at(0, 0)]);
      const forged = await store.add([at(1, 6000, AHEAD_MS)]);
      expect([...forged.rejections]).toEqual([["implausible_jump", 1]]);
      for (let s = 2; s < 12; s++) expect((await store.add([at(s, 30 * s)])).stored, `${s} s`).toBe(1);
      expect(await store.mismatches()).toEqual([]);
    });

    it("one that is near by costs no honest fix either, far away or thinned", async () => {
      const store = stores.open({ source: { maxImpliedMps: 70, minIntervalMs: 900 } });
      await store.add([at(0, 0)]);
      expect((await store.add([at(1, 50, AHEAD_MS)])).stored).toBe(1);
      for (let s = 3; s < 130; s += 6) expect((await store.add([at(s, 30 * s)])).stored, `${s} s`).toBe(1);
    });

    it("a clock that is always ahead is measured by its own times", async () => {
      const store = stores.open({ source: { maxImpliedMps: 50, minIntervalMs: 1000 } });
      const receivedAt = START;
      const burst = (from: number) =>
        Array.from({ length: 5 }, (_, i) => ({ ...at(from + i, 30 * (from + i), 60_000), receivedAt }));
      expect((await store.add(burst(0))).stored).toBe(5);
      expect((await store.add(burst(5))).stored).toBe(5);
      const verdict = await store.add([{ ...at(10, 3000, 60_000), receivedAt }]);
      expect([...verdict.rejections]).toEqual([["implausible_jump", 1]]);
    });

    it("a run of jumps by such a clock is accepted after a minute", async () => {
      const store = stores.open({ source: { maxImpliedMps: 50 } });
      const far = (s: number) => at(s, 900_000 + 20 * s, 60_000);
      await store.add([at(0, 0, 60_000)]);
      for (let s = 10; s <= 60; s += 10) expect((await store.add([far(s)])).stored, `${s} s`).toBe(0);
      expect((await store.add([far(71)])).stored).toBe(1);
      expect((await store.add([far(81)])).stored).toBe(1);
    });
  });
});
