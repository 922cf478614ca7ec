/** What goes first while we are behind: every unit's newest; its history afterwards, or never. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeRecord } from "../../../src/queue/redis/record.ts";
import type { Reading } from "../../../src/reading.ts";
import { readingOf } from "../../support/queue.ts";
import { type Store, startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

/** Received before the gateway fell behind. */
const LATE_MS = 10_000;

function late(device: string, secondsAgo: number): Reading {
  return readingOf(device, secondsAgo, { receivedAt: Date.now() - LATE_MS });
}

/** A backlog: `fixes` readings of each of `units` units, 5 s apart, in the order they would have come in. */
function backlog(units: number, fixes: number): Reading[] {
  return Array.from({ length: units * fixes }, (_, i) =>
    late(`u${i % units}`, 15 + (fixes - Math.floor(i / units)) * 5),
  );
}

/** As if ServiceTitan had accepted all of it. */
async function accept(
  store: Store,
  id: string,
  records: readonly { unit: { unitId: string }; reading: Reading }[],
) {
  const newest: Record<string, number> = {};
  for (const { unit, reading } of records) {
    newest[unit.unitId] = Math.max(newest[unit.unitId] ?? 0, reading.fixTime);
  }
  await store.db.hset(`${store.keyPrefix}:accepted:acme`, newest);
  await store.db.del(`${store.keyPrefix}:lane:acme|0`, `${store.keyPrefix}:b:${id}`);
}

describe("while behind", () => {
  it("the newest ping of every unit goes first", async () => {
    const store = stores.open({ destination: { maxBatchPings: 20 } });
    const readings = backlog(20, 10);
    await store.add(readings);
    const { records } = await store.batch();
    const newest = new Map(readings.map((each) => [each.deviceId, each.fixTime]));
    expect(new Map(records.map(({ unit, reading }) => [unit.unitId, reading.fixTime]))).toEqual(newest);
    expect(await store.mismatches()).toEqual([]);
  });

  it("what arrives meanwhile overtakes what waits", async () => {
    const store = stores.open({ destination: { maxBatchPings: 5 } });
    await store.add(backlog(10, 3));
    await store.batch();
    const fresh = readingOf("u3", 0);
    await store.add([fresh]);
    await store.db.del(`${store.keyPrefix}:lane:acme|0`);
    const later: number[] = [];
    for (let i = 0; i < 2; i++) {
      const { records } = await store.batch();
      for (const { unit, reading } of records) if (unit.unitId === "u3") later.push(reading.fixTime);
      await store.db.del(`${store.keyPrefix}:lane:acme|0`);
    }
    expect(later[0]).toBe(fresh.fixTime);
  });

  it("nothing is behind that came in within the last five seconds", async () => {
    const store = stores.open();
    const readings = Array.from({ length: 30 }, (_, i) => readingOf(`u${i % 3}`, 30 - i));
    await store.add(readings);
    const { records } = await store.batch();
    expect(records.map(({ reading }) => reading.fixTime)).toEqual(readings.map(({ fixTime }) => fixTime));
  });

  it("a backlog of 50,000 pings is sorted in bounded steps and none is lost", async () => {
    const store = stores.open({ destination: { maxBatchPings: 100 } });
    for (let i = 0; i < 10; i++)
      await store.add(backlog(500, 10).map((r) => ({ ...r, fixTime: r.fixTime - i * 60_000 })));
    expect((await store.account()).waiting).toBe(50_000);
    const { id, records } = await store.batch();
    expect(records).toHaveLength(100);
    await accept(store, id, records);
    expect((await store.account()).waiting).toBe(49_900);
  });
});

describe("backfill: drop", () => {
  it("counts an older ping as superseded only after a newer one of its unit was accepted", async () => {
    const store = stores.open();
    await store.add(backlog(5, 4));
    const { id, records } = await store.batch();
    expect(records).toHaveLength(5);
    expect(await store.account()).toMatchObject({ superseded: 0, waiting: 15, inFlight: 5 });
    await accept(store, id, records);
    let answer = await store.nextBatch();
    while (answer.kind === "again") answer = await store.nextBatch();
    expect(answer.kind).toBe("empty");
    expect(await store.account()).toMatchObject({ superseded: 15, waiting: 0 });
  });

  it("sends an older ping when the newer one was not accepted", async () => {
    const store = stores.open();
    await store.add(backlog(1, 3));
    const first = await store.batch();
    // Dead-lettered: it is gone, and nothing was accepted.
    await store.db.del(`${store.keyPrefix}:lane:acme|0`, `${store.keyPrefix}:b:${first.id}`);
    expect((await store.batch()).records).toHaveLength(2);
  });
});

describe("backfill: deliver", () => {
  it("sends history afterwards, each unit's in the order of its fixes", async () => {
    const store = stores.open({ destination: { backfill: "deliver", maxBatchPings: 10 } });
    const readings = backlog(10, 6);
    await store.add(readings);
    const sent: { unit: string; fixTime: number }[] = [];
    for (;;) {
      let answer = await store.nextBatch();
      while (answer.kind === "again") answer = await store.nextBatch();
      if (answer.kind === "empty") break;
      if (answer.kind !== "batch") throw new Error(`unexpected: ${answer.kind}`);
      const decoded = answer.batch.records.map(decodeRecord);
      expect(decoded).toHaveLength(10);
      for (const { unit, reading } of decoded) sent.push({ unit: unit.unitId, fixTime: reading.fixTime });
      await accept(store, answer.batch.id, decoded);
    }
    expect(sent).toHaveLength(60);
    const newest = new Map(readings.map((each) => [each.deviceId, each.fixTime]));
    expect(new Map(sent.slice(0, 10).map(({ unit, fixTime }) => [unit, fixTime]))).toEqual(newest);
    for (const unit of newest.keys()) {
      const history = sent.slice(10).filter((each) => each.unit === unit);
      expect(history.map(({ fixTime }) => fixTime)).toEqual(history.map(({ fixTime }) => fixTime).sort());
    }
    expect(await store.account()).toMatchObject({ superseded: 0, waiting: 0 });
  });

  it("never sends what has expired", async () => {
    const store = stores.open({ destination: { backfill: "deliver", maxAgeMs: 60_000 } });
    await store.add([late("a", 90), late("a", 70), late("a", 30), late("b", 80)]);
    const { records } = await store.batch();
    expect(
      records.map(({ unit, reading }) => [unit.unitId, Math.round((Date.now() - reading.fixTime) / 10_000)]),
    ).toEqual([["a", 3]]);
    expect(await store.account()).toMatchObject({ expired: 3, inFlight: 1, waiting: 0 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("begins with history when all of it has been sorted, not before", async () => {
    const store = stores.open({
      destination: { backfill: "deliver", maxBatchPings: 100, maxAgeMs: Number.POSITIVE_INFINITY },
    });
    // More than one call looks through.
    for (let i = 7; i >= 0; i--) {
      await store.add(backlog(10, 70).map((each) => ({ ...each, fixTime: each.fixTime - i * 400_000 })));
    }
    const sent = new Map<string, number[]>();
    for (;;) {
      let answer = await store.nextBatch();
      while (answer.kind === "again") answer = await store.nextBatch();
      if (answer.kind !== "batch") break;
      const decoded = answer.batch.records.map(decodeRecord);
      for (const { unit, reading } of decoded) {
        sent.set(unit.unitId, [...(sent.get(unit.unitId) ?? []), reading.fixTime]);
      }
      await accept(store, answer.batch.id, decoded);
    }
    expect([...sent.values()].flat()).toHaveLength(5600);
    for (const [newest = 0, ...history] of sent.values()) {
      expect(newest).toBe(Math.max(newest, ...history));
      expect(history).toEqual([...history].sort((a, b) => a - b));
    }
  });
});

describe("the same fix stored twice", () => {
  it("is counted to the end though history has room for it only once", async () => {
    const store = stores.open();
    const receivedAt = Date.now() - LATE_MS;
    // A fix repeated further back than a device's fingerprints reach, in one message.
    const way = Array.from({ length: 60 }, (_, i) => readingOf("a", 100 - i, { receivedAt }));
    const [first] = way;
    if (!first) throw new Error("no way");
    await store.add([...way, first]);
    expect(await store.account()).toMatchObject({ stored: 61, waiting: 61 });
    const { records } = await store.batch();
    expect(records).toHaveLength(1);
    expect(await store.mismatches()).toEqual([]);
  });
});
