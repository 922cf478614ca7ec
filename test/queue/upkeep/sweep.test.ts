/** What the sweep repairs: lost jobs, expired pings that no batch picks up, and streams beyond their budgets. */

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type StreamBudget, startSweep } from "../../../src/queue/upkeep/sweep.ts";
import { messageOf, readingOf, startTestQueue } from "../../support/queue.ts";
import { type Store, startStores } from "../../support/store.ts";
import { until } from "../../support/wait.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const end of cleanups.splice(0)) end();
});

/** Sweeps a store; what it found is collected. */
function sweep(store: Store, budgets: StreamBudget[] = []) {
  const found: string[] = [];
  const trimmed: { stream: string; noRoom: number; tooOld: number }[] = [];
  const emptied: string[] = [];
  const running = startSweep({
    redis: store.db,
    destinations: store.destinations,
    budgets,
    laneNeedsBatch: (destination, lane) => found.push(`${destination}|${lane}`),
    batchSilent: (_destination, _lane, batchId) => found.push(batchId),
    trimmed: ({ stream, noRoom, tooOld }) => trimmed.push({ stream, noRoom, tooOld }),
    emptied: ({ scope }) => emptied.push(scope),
    clockRead: () => {},
    failed: (error) => found.push(String(error)),
  });
  cleanups.push(() => running.stop());
  return { found, trimmed, emptied };
}

const fleet = (n: number, prefix = "v") => Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, 1));

it("reports that Redis was emptied, and only that", async () => {
  const store = stores.open();
  await store.add(fleet(5));
  const { found, emptied } = sweep(store);
  await until(() => found.length > 1, { what: "two sweeps" });
  expect(emptied).toEqual([]);
  await store.db.del(await store.db.keys(`${store.keyPrefix}:*`));
  await until(() => emptied.length === 1, { what: "the news" });
  // What comes now is new, and no news any more.
  await store.add(fleet(5, "w"));
  found.length = 0;
  await until(() => found.length > 1, { what: "two more sweeps" });
  expect(emptied).toEqual([store.keyPrefix]);
});

describe("a batch whose job was lost", () => {
  it("is woken again and delivered", async () => {
    const rig = await startTestQueue({ destination: { lanes: 1 }, requestTimeoutMs: 1000 });
    try {
      // The batch is formed, its job disappears from BullMQ, and the process that owned it is gone.
      rig.sandbox.faults.set({ kind: "hang", when: "before_accepting", times: 1 });
      await rig.store(fleet(5));
      await until(() => rig.sandbox.summary().requests === 1, { what: "the request" });
      const [lane] = await rig.db.smembers(`${rig.destination.keyPrefix}:lanes`);
      const batch = await rig.db.hget(`${rig.destination.keyPrefix}:lane:${lane}`, "batch");
      await rig.queue.close();
      const jobs = await rig.db.keys("{waypost-jobs}*");
      if (jobs.length > 0) await rig.db.del(jobs);
      await rig.db.hset(`${rig.destination.keyPrefix}:lane:${lane}`, "batch", String(batch));
      const other = rig.another();
      await until(
        async () =>
          (await other.queryStatus()).destinations[0]?.waiting === 0 && rig.sandbox.summary().accepted === 5,
        { what: "delivery by the other", withinMs: 20_000 },
      );
    } finally {
      await rig.close();
    }
  });

  it.each([
    { beat: "older than three seconds", byMs: -3500 },
    { beat: "from the future, as after Redis's clock was set back", byMs: 3_600_000 },
  ])("is reported when its last beat is $beat; a lane without a batch at once", async ({ byMs }) => {
    const store = stores.open();
    await store.add(fleet(5));
    const { id } = await store.batch();
    await store.db.hset(`${store.keyPrefix}:lane:acme|0`, "beat", Date.now() + byMs);
    const { found } = sweep(store);
    await until(() => found.includes(id), { what: "the silent batch" });
    // Its key is gone: the lane is free again.
    await store.db.del(`${store.keyPrefix}:b:${id}`);
    await store.add(fleet(5, "w"));
    await until(() => found.includes("acme|0"), { what: "the lane" });
    expect(await store.db.hget(`${store.keyPrefix}:lane:acme|0`, "batch")).toBeNull();
  });
});

describe("expired pings behind a shut gate", () => {
  it("leave the arrival list, the history and the newest of each unit", async () => {
    const store = stores.open({ destination: { maxAgeMs: 20_000 } });
    const receivedAt = Date.now() - 15_000;
    const aging = (device: string, ago: number) => readingOf(device, ago, { receivedAt });
    await store.add(Array.from({ length: 600 }, (_, i) => aging(`u${i % 300}`, 17 + i / 1000)));
    const { id, records } = await store.batch();
    expect(records).toHaveLength(100);
    await store.db.hset(
      `${store.keyPrefix}:gate:acme`,
      "state",
      "paused",
      "until",
      Date.now() + 600_000,
      "reason",
      "not_found",
      "since",
      Date.now(),
    );
    await store.add([readingOf("w", 19)]);
    await store.add(fleet(10, "fresh").map((each) => ({ ...each, fixTime: Date.now() + 60_000 })));
    sweep(store);
    await until(async () => (await store.account()).expired === 501, {
      what: "them to expire",
      withinMs: 30_000,
    });
    expect(await store.account()).toMatchObject({ waiting: 10, inFlight: 100 });
    expect(await store.mismatches()).toEqual([]);
    await store.db.del(
      `${store.keyPrefix}:gate:acme`,
      `${store.keyPrefix}:lane:acme|0`,
      `${store.keyPrefix}:b:${id}`,
    );
    // What is left of the order of units does no harm.
    expect((await store.batch()).records).toHaveLength(10);
  });

  it("and come again go out once", async () => {
    const store = stores.open({ destination: { maxAgeMs: 20_000 } });
    const receivedAt = Date.now() - 15_000;
    const aging = Array.from({ length: 150 }, (_, i) => readingOf(`u${i}`, 18, { receivedAt }));
    // Last in the order of units: the sweep finds it where the others have gone.
    await store.add([readingOf("last", -60, { receivedAt }), ...aging]);
    const first = await store.batch();
    expect(first.records).toHaveLength(100);
    const left = aging.filter(
      ({ deviceId }) => !first.records.some(({ reading }) => reading.deviceId === deviceId),
    );
    sweep(store);
    await until(async () => (await store.account()).expired === left.length, { what: "them to expire" });
    await store.db.del(`${store.keyPrefix}:lane:acme|0`, `${store.keyPrefix}:b:${first.id}`);
    await store.add(left.map(({ deviceId }) => readingOf(deviceId, 0)));
    const units = (await store.batch()).records.map(({ unit }) => unit.unitId);
    expect(units).toHaveLength(left.length + 1);
    expect(new Set(units).size).toBe(units.length);
  });

  it("leave the pieces of a refused batch too", async () => {
    const store = stores.open({ destination: { maxAgeMs: 3000 } });
    await store.add(fleet(4));
    const { id } = await store.batch();
    const p = store.keyPrefix;
    await store.db.rename(`${p}:b:${id}`, `${p}:b:piece`);
    await store.db.rpush(`${p}:pieces:acme|0`, "piece");
    await store.db.rpoplpush(`${p}:b:piece`, `${p}:isolated:acme|0`);
    await store.db.del(`${p}:lane:acme|0`);
    expect(await store.account()).toMatchObject({ inFlight: 4 });
    sweep(store);
    await until(async () => (await store.account()).expired === 4, { what: "them to expire" });
    expect(await store.account()).toMatchObject({ inFlight: 0, waiting: 0 });
    expect(await store.mismatches()).toEqual([]);
    expect(await store.db.keys(`${p}:pieces:*`)).toEqual([]);
    expect(await store.db.keys(`${p}:isolated:*`)).toEqual([]);
  });
});

describe("a stream with a budget", () => {
  const malformed = (store: Store, n: number, bytes: number) =>
    Promise.all(
      Array.from({ length: n }, (_, i) =>
        store.store.add({
          kind: "malformed",
          source: "vans",
          receivedAt: Date.now(),
          reason: "malformed",
          problems: ["no list"],
          message: {
            method: "POST",
            retained: false,
            headers: { "x-signature": "s3cret", "content-type": "application/json" },
            query: { token: "s3cret", unit: "7" },
            receivedAt: Date.now(),
            body: Buffer.alloc(bytes, String(i % 10)),
          },
        }),
      ),
    );

  it("loses its oldest entries first, as many as need to go, and they are counted", async () => {
    const store = stores.open();
    await malformed(store, 1000, 500);
    const { trimmed } = sweep(store, [{ name: "quarantine", bytes: 50_000, maxAgeMs: 3_600_000 }]);
    const { quarantine } = await until(
      async () => {
        const status = await store.status();
        return status.quarantine.bytes <= 50_000 && status;
      },
      { what: "the quarantine to be trimmed" },
    );
    expect(quarantine.count).toBeGreaterThan(50);
    expect(quarantine.count + trimmed.reduce((sum, { noRoom }) => sum + noRoom, 0)).toBe(1000);
    expect(trimmed.every(({ stream, tooOld }) => stream === "quarantine" && tooOld === 0)).toBe(true);
    expect(await store.account()).toMatchObject({ messages: 1000, malformed: 1000 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("loses the ledger's index with the last entry of its hour", async () => {
    const { db, keyPrefix: p, ...store } = stores.open();
    const hour = Math.floor(Date.now() / 3_600_000);
    for (const at of [hour - 2, hour - 1, hour]) {
      await db.xadd(`${p}:ledger`, `${at * 3_600_000}-1`, "e", "entry", "n", 1000);
      await db.hset(`${p}:li:acme:${at}`, "v1", "pointer");
      await db.sadd(`${p}:lihours`, `acme:${at}`);
    }
    await db.hset(`${p}:sizes`, "ledger", 3000);
    const { trimmed } = sweep({ db, keyPrefix: p, ...store }, [
      { name: "ledger", bytes: 2500, maxAgeMs: 86_400_000 },
    ]);
    await until(() => trimmed.length > 0, { what: "the oldest to go" });
    expect((await db.keys(`${p}:li:*`)).sort()).toEqual([`${p}:li:acme:${hour - 1}`, `${p}:li:acme:${hour}`]);
    expect((await db.smembers(`${p}:lihours`)).sort()).toEqual([`acme:${hour - 1}`, `acme:${hour}`]);
  });

  it("never holds more than it may, however fast they come", async () => {
    const store = stores.open({ quarantineBytes: 50_000 });
    await malformed(store, 400, 500);
    const { quarantine } = await store.status();
    expect(quarantine.bytes).toBeLessThanOrEqual(50_000);
    expect(quarantine.count).toBeGreaterThan(50);
    expect(quarantine.count + store.quarantineTrimmed()).toBe(400);
    // A message that alone is larger than the budget stays until the next comes.
    await malformed(store, 1, 60_000);
    expect((await store.status()).quarantine.count).toBe(1);
    expect(await store.mismatches()).toEqual([]);
  });

  it("loses what is too old, and its size falls to zero exactly", async () => {
    const store = stores.open();
    await malformed(store, 30, 100);
    const { trimmed } = sweep(store, [{ name: "quarantine", bytes: 1e9, maxAgeMs: 0 }]);
    await until(async () => (await store.status()).quarantine.count === 0, { what: "an empty quarantine" });
    expect((await store.status()).quarantine.bytes).toBe(0);
    expect(trimmed.reduce((sum, { tooOld }) => sum + tooOld, 0)).toBe(30);
  });

  it("keeps no credentials", async () => {
    const store = stores.open();
    await malformed(store, 1, 10);
    const [entry] = await store.db.xrange(`${store.keyPrefix}:quarantine`, "-", "+");
    expect(JSON.stringify(entry)).not.toContain("s3cret");
    expect(JSON.stringify(entry)).toContain("application/json");
  });
});

describe("the sizes of ledger and dead letters", () => {
  it("fall to zero with their last entry, so that a budget never creeps", async () => {
    const rig = await startTestQueue({
      destination: { lanes: 1 },
      budgets: [
        { name: "ledger", bytes: 1e9, maxAgeMs: 2000 },
        { name: "dead", bytes: 1e9, maxAgeMs: 2000 },
        { name: "quarantine", bytes: 1e9, maxAgeMs: 2000 },
      ],
    });
    try {
      rig.sandbox.faults.set({ kind: "fail", match: { unitId: "v3" }, message: "no" });
      for (let i = 0; i < 5; i++) {
        await rig.queue.store.add(messageOf(fleet(20)));
        await rig.empty();
      }
      const sizes = async () => rig.db.hgetall(`${rig.destination.keyPrefix}:sizes`);
      expect(Number((await sizes()).ledger)).toBeGreaterThan(0);
      const isGone = async () => {
        const { ledger, deadLetters } = await rig.queue.queryStatus();
        return ledger.batches + deadLetters.count === 0;
      };
      await until(isGone, { what: "the streams to be trimmed" });
      expect(await sizes()).toMatchObject({ ledger: "0", dead: "0" });
      expect(await rig.db.keys(`${rig.destination.keyPrefix}:li:*`)).toEqual([]);
      expect(rig.reported.some(({ event }) => event.what === "ledger_too_old")).toBe(true);
    } finally {
      await rig.close();
    }
  });
});
