/** The status reports what is in Redis, counted from the structures, at every moment. */

import { afterEach, describe, expect, it, vi } from "vitest";
import { messageOf, readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000), hookTimeout: scaled(60_000) });

let rig: TestQueue;
afterEach(() => rig.close());

const fleet = (n: number, prefix = "v") => Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, 1));

describe("the status", () => {
  it("counts what waits, is held and is in flight where it lies", async () => {
    const mapping = (_: string, device: string) =>
      device.startsWith("held")
        ? []
        : [{ destination: null, unit: { unitId: device, unitName: device, technician: null } }];
    rig = await startTestQueue({
      mapping,
      source: { unmapped: "hold" },
      destination: { lanes: 1, maxBatchPings: 10 },
    });
    rig.sandbox.faults.set({ kind: "hang", when: "before_accepting" });
    await rig.store(fleet(10));
    await until(() => rig.sandbox.summary().requests === 1, { what: "a request under way" });
    await rig.store([...fleet(25, "w"), ...fleet(3, "held")]);
    const status = await rig.statusOf();
    expect(status).toMatchObject({ waiting: 25, held: 3, inFlight: 10, unitsKnown: 0, lastOutcome: null });
    expect(status.lanes).toEqual([
      {
        lane: 0,
        waiting: 25,
        inFlight: 10,
        batchId: expect.any(String),
        batchAgeMs: expect.any(Number),
        unansweredMs: expect.any(Number),
      },
    ]);
    expect(status.oldestWaitingAgeMs).toBeGreaterThanOrEqual(0);
    expect(await rig.account()).toMatchObject({
      readings: 38,
      stored: 38,
      waiting: 25,
      held: 3,
      inFlight: 10,
    });
    expect(await rig.mismatches()).toEqual([]);
    const inRedis = await rig.db.llen(`${rig.destination.keyPrefix}:backlog:acme|0|vans`);
    expect(inRedis).toBe(25);
    rig.sandbox.faults.clear();
    await rig.empty(30_000);
    expect(await rig.statusOf()).toMatchObject({
      waiting: 0,
      held: 3,
      inFlight: 0,
      bufferBytes: 0,
      unitsKnown: 35,
      lastOutcome: "delivered",
    });
    expect((await rig.statusOf()).newestAcceptedAgeMs).toBeGreaterThan(0);
  });

  it("counts every kind of message once", async () => {
    rig = await startTestQueue();
    const at = { source: "vans", receivedAt: Date.now() };
    await rig.queue.store.add({ ...at, kind: "ignored" });
    await rig.queue.store.add({ ...at, kind: "handshake" });
    await rig.queue.store.add({
      ...at,
      kind: "malformed",
      reason: "malformed",
      problems: ["data: is missing"],
      message: { body: Buffer.from("{"), receivedAt: at.receivedAt, headers: {}, query: {}, retained: false },
    });
    await rig.queue.store.add({
      ...at,
      kind: "decoded",
      rawReadings: 5,
      readings: fleet(2),
      rejections: new Map([
        ["null_island", 2],
        ["too_old", 1],
      ]),
      defects: new Map([["speed_too_high", 1]]),
      body: Buffer.from("x"),
    });
    await rig.queue.store.add({
      ...messageOf([]),
      ...at,
      kind: "decoded",
      rawReadings: 1,
      readings: [],
      rejections: new Map([["no_fix", 1]]),
      defects: new Map(),
      body: Buffer.from(""),
    });
    rig.queue.store.refuse("vans", "unauthenticated");
    await until(async () => (await rig.account()).refused === 1, { what: "the refusal to be counted" });
    await rig.empty();
    const { sources, quarantine } = await rig.queue.queryStatus();
    expect(sources[0]).toMatchObject({
      accounting: {
        messages: 6,
        refused: 1,
        ignored: 1,
        handshakes: 1,
        malformed: 1,
        decoded: 2,
        readings: 6,
        rejected: 4,
        stored: 2,
        delivered: 2,
      },
      rejectedBy: { null_island: 2, too_old: 1, no_fix: 1 },
      defects: { speed_too_high: 1 },
      refusedBy: { unauthenticated: 1 },
    });
    expect(quarantine).toMatchObject({
      count: 1,
      recent: [{ source: "vans", reason: "malformed", problem: "data: is missing" }],
    });
    expect(await rig.mismatches()).toEqual([]);
  });

  it("is not confused by a message that reads like one of its own fields", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "fail", match: { unitId: "v1" }, message: "record" });
    await rig.store(fleet(3));
    await rig.empty();
    expect((await rig.queue.queryStatus()).deadLetters.recent).toMatchObject([
      { unit: "v1", message: "record" },
    ]);
  });

  it("names the units that have gone silent while others report", async () => {
    rig = await startTestQueue({ destination: { maxAgeMs: 86_400_000 } });
    await rig.store([readingOf("silent", 3600), readingOf("busy", 1)]);
    await rig.empty();
    // Worked out every quarter of a minute only; another process has not looked yet.
    const other = rig.another();
    await until(async () => (await other.readiness()).length === 0, { what: "the other process" });
    const [acme] = (await other.queryStatus()).destinations;
    expect(acme?.silentUnits).toMatchObject([{ unit: "silent" }]);
  });

  it("of a destination without traffic is quiet, not missing", async () => {
    rig = await startTestQueue({ more: { beta: {} } });
    expect(await rig.statusOf("beta")).toMatchObject({
      waiting: 0,
      inFlight: 0,
      oldestWaitingAgeMs: null,
      newestAcceptedAgeMs: null,
      lanes: [],
    });
  });
});
