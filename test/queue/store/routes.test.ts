/** Where readings go: to one destination or several, in one throttle scope or two, and what becomes of unmapped devices. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reviewHeld } from "../../../src/queue/store/held.ts";
import type { MappingRow } from "../../../src/queue/store/routes.ts";
import { readingOf } from "../../support/queue.ts";
import { type Store, startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const unitOf = (unitId: string) => ({ unitId, unitName: unitId, technician: null });

/** A mapping that can be changed, as a file can. */
function changeable(rows: Record<string, MappingRow[]> = {}) {
  return { rows, mapping: (_: string, device: string) => rows[device] ?? [] };
}

function review(store: Store) {
  return reviewHeld({
    redis: store.db,
    sources: store.sources,
    routes: store.routes,
    arrived: () => {},
  });
}

async function waitingAt(store: Store): Promise<Record<string, number>> {
  const { destinations } = await store.status();
  return Object.fromEntries(destinations.map(({ name, waiting }) => [name, waiting]));
}

describe("a device with several rows", () => {
  const { mapping } = changeable({
    a: [
      { destination: null, unit: unitOf("first") },
      { destination: "beta", unit: unitOf("second") },
    ],
  });

  it.each([
    { where: "in one throttle scope", more: { beta: {} } },
    { where: "in two throttle scopes", more: { beta: { otherScope: true } } as const },
  ])("feeds all its destinations $where, each reading counted once for each", async ({ more }) => {
    const store = stores.open({ more, mapping });
    const readings = [readingOf("a", 2), readingOf("a", 1)];
    expect(await store.add(readings)).toMatchObject({ stored: 4, duplicates: 0 });
    expect(await waitingAt(store)).toEqual({ acme: 2, beta: 2 });
    expect(await store.add(readings)).toMatchObject({ stored: 0, duplicates: 4 });
    expect(await store.account()).toMatchObject({ messages: 2, readings: 8, duplicates: 4, stored: 4 });
    expect(await store.mismatches()).toEqual([]);
    const { records } = await store.batch();
    expect(records.map(({ unit, reading }) => [unit.unitId, reading.deviceId])).toEqual([
      ["first", "a"],
      ["first", "a"],
    ]);
  });
});

describe("an unmapped device", () => {
  it("is its own unit under the policy forward, and listed", async () => {
    const store = stores.open({ ...changeable(), source: { unmapped: "forward" } });
    await store.add([readingOf("a", 1)]);
    expect((await store.status()).unmapped).toMatchObject([
      { source: "vans", device: "a", policy: "forward" },
    ]);
    expect((await store.batch()).records.map(({ unit }) => unit.unitId)).toEqual(["a"]);
  });

  it("is not called unmapped where no mapping is configured", async () => {
    const store = stores.open({ mapping: null });
    await store.add([readingOf("a", 1)]);
    expect((await store.status()).unmapped).toEqual([]);
  });

  it("has its newest reading held under the policy hold; older ones count as superseded", async () => {
    const store = stores.open({ ...changeable(), source: { unmapped: "hold" } });
    await store.add([readingOf("a", 20), readingOf("a", 10)]);
    await store.add([readingOf("a", 30), readingOf("b", 1)]);
    expect(await store.account()).toMatchObject({ stored: 4, superseded: 2, held: 2, waiting: 0 });
    expect(await store.nextBatch()).toEqual({ kind: "empty" });
    expect((await store.status()).unmapped).toHaveLength(2);
    expect(await store.mismatches()).toEqual([]);
  });
});

describe("a held reading", () => {
  it("goes its way when a mapping row appears, under the unit the row names", async () => {
    const { rows, mapping } = changeable();
    const store = stores.open({ mapping, source: { unmapped: "hold" } });
    const newest = readingOf("a", 10);
    await store.add([readingOf("a", 20), newest, readingOf("b", 1)]);
    await review(store);
    expect((await store.account()).held).toBe(2);
    rows.a = [{ destination: null, unit: { unitId: "Van 1", unitName: "Van 1", technician: "42" } }];
    store.routes.recompute();
    await review(store);
    expect(await store.account()).toMatchObject({ held: 1, waiting: 1 });
    expect((await store.status()).unmapped.map(({ device }) => device)).toEqual(["b"]);
    expect(await store.mismatches()).toEqual([]);
    const { records } = await store.batch();
    expect(records.map(({ unit, reading }) => [unit, reading.fixTime])).toEqual([
      [rows.a[0]?.unit, newest.fixTime],
    ]);
  });

  it.each([
    { where: "the same scope", more: { beta: {} } },
    { where: "another scope", more: { beta: { otherScope: true } } as const },
  ])("reaches every destination of its new rows, in $where too", async ({ more }) => {
    const { rows, mapping } = changeable();
    const store = stores.open({ mapping, more, source: { unmapped: "hold" } });
    await store.add([readingOf("a", 1), readingOf("b", 1)]);
    rows.a = [
      { destination: "acme", unit: unitOf("a1") },
      { destination: "beta", unit: unitOf("a2") },
    ];
    rows.b = [{ destination: "beta", unit: unitOf("b") }];
    store.routes.recompute();
    // Two processes look through what is held at the same time.
    await Promise.all([review(store), review(store)]);
    await review(store);
    expect(await waitingAt(store)).toEqual({ acme: 1, beta: 2 });
    expect(await store.account()).toMatchObject({ readings: 3, stored: 3, held: 0, waiting: 3 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("expires like any other", async () => {
    const store = stores.open({ ...changeable(), source: { unmapped: "hold", maxAgeMs: 60_000 } });
    await store.add([readingOf("a", 61), readingOf("b", 1)]);
    await review(store);
    expect(await store.account()).toMatchObject({ held: 1, expired: 1 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("is let go when the policy was changed to forward", async () => {
    const { mapping } = changeable();
    const store = stores.open({ mapping, source: { unmapped: "hold" } });
    await store.add([readingOf("a", 1)]);
    const source = store.sources.get("vans");
    if (source) source.unmapped = "forward";
    store.routes.recompute();
    await review(store);
    expect(await store.account()).toMatchObject({ held: 0, waiting: 1 });
    expect(await store.mismatches()).toEqual([]);
  });
});
