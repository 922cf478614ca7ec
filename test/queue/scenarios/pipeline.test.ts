/** The whole queue: what is stored arrives, in order, with no trace left behind; also with two processes on one Redis. */

import { describe, expect, it } from "vitest";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { until } from "../../support/wait.ts";

async function withLine<T>(
  options: Parameters<typeof startTestQueue>[0],
  body: (rig: TestQueue) => Promise<T>,
): Promise<T> {
  const rig = await startTestQueue(options);
  try {
    return await body(rig);
  } finally {
    await rig.close();
  }
}

describe("the queue", () => {
  it("delivers everything once, a unit's pings in order, and ends without a trace", () =>
    withLine({}, async (rig) => {
      const readings = Array.from({ length: 600 }, (_, i) => readingOf(`v${i % 40}`, 60 - i / 10));
      for (let i = 0; i < 600; i += 60) await rig.store(readings.slice(i, i + 60));
      expect(await rig.empty()).toMatchObject({ stored: 600, delivered: 600 });
      expect(rig.sandbox.summary()).toMatchObject({
        accepted: 600,
        distinct: 600,
        outOfOrder: 0,
        statuses: { 200: expect.any(Number) },
      });
      expect(await rig.mismatches()).toEqual([]);
      const { statuses } = rig.sandbox.summary();
      expect(Object.keys(statuses)).toEqual(["200"]);
      // Nothing of a batch outlives it.
      expect(await rig.db.keys("*:b:*")).toEqual([]);
      expect(await rig.db.keys("*:bm:*")).toEqual([]);
      await until(async () => (await rig.queue.queryStatus()).jobs.active === 0, {
        what: "no job to be left",
      });
      expect((await rig.queue.queryStatus()).jobs).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 });
    }));

  it("puts a unit's pings in order that came by two sources", () => {
    const unit = { unitId: "shared", unitName: "shared", technician: null };
    const mapping = () => [{ destination: null, unit }];
    return withLine({ mapping, moreSources: { trucks: {} } }, async (rig) => {
      const way = Array.from({ length: 40 }, (_, i) => readingOf("device", 100 - i));
      await rig.store(way.filter((_, i) => i % 2 === 0));
      await rig.store(
        way.filter((_, i) => i % 2 === 1),
        "trucks",
      );
      expect(await rig.empty()).toMatchObject({ delivered: 40 });
      const times = rig.sandbox.pings().map(({ ping }) => ping.eventTime);
      expect(times).toEqual([...times].sort());
      expect(await rig.mismatches()).toEqual([]);
    });
  });

  it("releases held readings when the mapping changes", () => {
    const rows: Record<
      string,
      { destination: string | null; unit: { unitId: string; unitName: string; technician: null } }[]
    > = {};
    return withLine(
      { mapping: (_, device) => rows[device] ?? [], source: { unmapped: "hold" }, more: { beta: {} } },
      async (rig) => {
        await rig.store([readingOf("a", 10), readingOf("a", 1), readingOf("b", 1)]);
        expect(await rig.account()).toMatchObject({ held: 2, superseded: 1 });
        rows.a = [{ destination: "beta", unit: { unitId: "Van 1", unitName: "Van 1", technician: null } }];
        await rig.queue.mappingChanged();
        expect(await rig.empty()).toMatchObject({ held: 1, delivered: 1, superseded: 1 });
        expect(rig.sandbox.pings().map(({ ping }) => ping.unitId)).toEqual(["Van 1"]);
        expect((await rig.queue.queryStatus()).unmapped.map(({ device }) => device)).toEqual(["b"]);
        expect(await rig.mismatches()).toEqual([]);
      },
    );
  });

  it("says isNew of a unit once", () =>
    withLine({}, async (rig) => {
      await rig.store([readingOf("a", 3), readingOf("a", 2)]);
      await rig.empty();
      await rig.store([readingOf("a", 1), readingOf("b", 1)]);
      await rig.empty();
      expect(rig.sandbox.pings().map(({ ping }) => [ping.unitId, ping.isNew])).toEqual([
        ["a", true],
        ["a", false],
        ["a", false],
        ["b", true],
      ]);
    }));

  it("has an identity that holds at every moment, not only at the end", () =>
    withLine({ destination: { maxBatchPings: 10 } }, async (rig) => {
      const mismatches: string[] = [];
      let watching = true;
      const watch = (async () => {
        while (watching) mismatches.push(...(await rig.mismatches()));
      })();
      for (let i = 0; i < 100; i++)
        await rig.store(Array.from({ length: 5 }, (_, j) => readingOf(`v${j}`, 100 - i)));
      await rig.empty();
      watching = false;
      await watch;
      expect(mismatches).toEqual([]);
    }));
});

describe("two processes", () => {
  it("share the work, and neither waits for the other when it is gone", () =>
    withLine({ destination: { lanes: 8, maxBatchPings: 5 } }, async (rig) => {
      const other = rig.another();
      for (let i = 0; i < 30; i++) {
        await rig.store(Array.from({ length: 20 }, (_, j) => readingOf(`v${j}`, 200 - i)));
      }
      await rig.empty();
      await other.close();
      // Every lane is asked again, also those whose last batch the other one delivered.
      await rig.store(Array.from({ length: 40 }, (_, j) => readingOf(`w${j}`, 1)));
      const { delivered, superseded } = await rig.empty();
      expect(delivered + superseded).toBe(640);
      expect(rig.sandbox.summary()).toMatchObject({
        accepted: delivered,
        distinct: delivered,
        outOfOrder: 0,
      });
      expect(rig.sandbox.units()).toHaveLength(60);
      expect(await rig.mismatches()).toEqual([]);
    }));
});

describe("a Redis that forgot everything", () => {
  it("is filled anew: scripts, lanes and jobs come back by themselves", () =>
    withLine({ requestTimeoutMs: 1500 }, async (rig) => {
      await rig.store([readingOf("before", 1)]);
      await rig.empty();
      // One batch is under way and pings are waiting when everything goes.
      rig.sandbox.faults.set({ kind: "hang", when: "before_accepting" });
      await rig.store(Array.from({ length: 20 }, (_, i) => readingOf(`v${i}`, 1)));
      await until(async () => (await rig.account()).inFlight > 0, { what: "a batch in flight" });
      await rig.db.flushall();
      await rig.db.script("FLUSH");
      rig.sandbox.faults.clear();
      const readings = Array.from({ length: 20 }, (_, i) => readingOf(`w${i}`, 1));
      expect(await rig.store(readings)).toMatchObject({ stored: 20 });
      expect(await rig.empty()).toMatchObject({ stored: 20, delivered: 20 });
      expect(await rig.mismatches()).toEqual([]);
      const units = new Set(rig.sandbox.pings().map(({ ping }) => ping.unitId));
      for (const { deviceId } of readings) expect(units).toContain(deviceId);
    }));
});
