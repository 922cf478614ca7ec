/** What goes into a batch while we keep up: the hard caps, the age, and whose turn it is. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BufferRecord } from "../../../src/queue/redis/record.ts";
import { toPing } from "../../../src/servicetitan/ping.ts";
import { readingOf } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const fleet = (n: number, prefix = "v") => Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, 1));

function bodyBytes(records: readonly BufferRecord[]): number {
  const pings = records.map(({ reading, source, unit }) =>
    toPing(reading, source, unit, { speedUnit: "mph", isNew: false }),
  );
  return Buffer.byteLength(`[${pings.join(",")}]`);
}

describe("a batch", () => {
  it("is formed when it is full by count, and holds no more", async () => {
    const store = stores.open({ destination: { maxBatchPings: 10, maxBatchAgeMs: 60_000 } });
    await store.add(fleet(9));
    expect((await store.nextBatch()).kind).toBe("wait");
    await store.add(fleet(3, "w"));
    expect((await store.batch()).records).toHaveLength(10);
  });

  it("is formed when it is full by bytes, and holds no more", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1500, max: 6000 }),
        fc.array(fc.string({ unit: "grapheme", minLength: 1, maxLength: 80 }), {
          minLength: 20,
          maxLength: 30,
        }),
        async (maxBatchBytes, names) => {
          const store = stores.open({ destination: { maxBatchBytes, maxBatchAgeMs: 60_000 } });
          await store.add([...new Set(names)].map((name) => readingOf(name, 1)));
          if ((await store.account()).waiting < 20) return;
          const { records } = await store.batch();
          expect(records.length).toBeGreaterThan(1);
          expect(bodyBytes(records)).toBeLessThanOrEqual(maxBatchBytes);
        },
      ),
      { numRuns: 25 },
    );
  });

  it("of one ping is formed even if that one is larger than a batch may be", async () => {
    const store = stores.open({ destination: { maxBatchBytes: 100 } });
    await store.add(fleet(2));
    expect((await store.batch()).records).toHaveLength(1);
  });

  it("obeys a lower cap that the destination has taught us", async () => {
    const store = stores.open();
    await store.db.hset(`${store.keyPrefix}:dest:acme`, "byteCap", 1200);
    await store.add(fleet(20));
    const { records } = await store.batch();
    expect(bodyBytes(records)).toBeLessThanOrEqual(1200);
    expect(records.length).toBeGreaterThan(1);
  });

  it("is formed when its oldest ping has waited long enough", async () => {
    const store = stores.open({ destination: { maxBatchAgeMs: 3000 } });
    await store.add([readingOf("a", 2)]);
    const early = await store.nextBatch();
    if (early.kind !== "wait") throw new Error(`expected to wait, got ${early.kind}`);
    expect(early.waitMs).toBeGreaterThan(0);
    expect(early.waitMs).toBeLessThanOrEqual(3000);
    const other = stores.open({ destination: { maxBatchAgeMs: 3000 } });
    await other.add([readingOf("a", 4, { receivedAt: Date.now() - 3001 })]);
    expect((await other.batch()).records).toHaveLength(1);
  });

  it("is the only one of its lane; other lanes go on", async () => {
    const store = stores.open({ destination: { lanes: 2, maxBatchPings: 1 } });
    await store.add(fleet(20));
    expect((await store.nextBatch(0)).kind).toBe("batch");
    expect((await store.nextBatch(0)).kind).toBe("busy");
    expect((await store.nextBatch(1)).kind).toBe("batch");
  });

  it("leaves expired pings out and counts them", async () => {
    const store = stores.open({ destination: { maxAgeMs: 60_000 } });
    await store.add([readingOf("old", 61), readingOf("new", 1)]);
    expect((await store.batch()).records.map(({ unit }) => unit.unitId)).toEqual(["new"]);
    expect(await store.account()).toMatchObject({ expired: 1, inFlight: 1, waiting: 0 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("has no age limit where none is configured", async () => {
    const store = stores.open({ destination: { maxAgeMs: Number.POSITIVE_INFINITY } });
    await store.add([readingOf("old", 86_400 * 365 * 5)]);
    expect((await store.batch()).records).toHaveLength(1);
  });

  it("marks the units of which nothing was accepted yet", async () => {
    const store = stores.open();
    await store.db.hset(`${store.keyPrefix}:accepted:acme`, "known", Date.now() - 60_000);
    await store.add([readingOf("known", 1), readingOf("new", 1)]);
    const { records, newFlags } = await store.batch();
    expect(records.map(({ unit }, i) => [unit.unitId, newFlags[i]])).toEqual([
      ["known", "0"],
      ["new", "1"],
    ]);
  });
});

it("is not held back by the clock of a gateway that is ahead", async () => {
  const store = stores.open({ destination: { maxBatchAgeMs: 1000 } });
  await store.add([readingOf("v", 0, { receivedAt: Date.now() + 300_000 })]);
  expect((await store.batch()).records).toHaveLength(1);
});

describe("several sources in one lane", () => {
  const crowd = Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`s${i}`, {}]));

  it("share a batch, so that one source's flood does not delay another's pings", async () => {
    const store = stores.open({ moreSources: crowd, destination: { maxBatchPings: 50 } });
    await store.add(fleet(1000, "flood"), "vans");
    for (const name of Object.keys(crowd)) await store.add(fleet(5, name), name);
    const { records } = await store.batch();
    const count = new Map<string, number>();
    for (const { source } of records) count.set(source, (count.get(source) ?? 0) + 1);
    expect([...count].sort()).toEqual([
      ["s0", 5],
      ["s1", 5],
      ["s2", 5],
      ["s3", 5],
      ["vans", 30],
    ]);
    expect(await store.mismatches()).toEqual([]);
  });

  it("share it while behind as well, however many units the flooding one has", async () => {
    const store = stores.open({ moreSources: crowd, destination: { maxBatchPings: 50 } });
    const receivedAt = Date.now() - 10_000;
    const late = (n: number, prefix: string) => fleet(n, prefix).map((each) => ({ ...each, receivedAt }));
    await store.add(late(6000, "flood"), "vans");
    for (const name of Object.keys(crowd)) await store.add(late(5, name), name);
    const { records } = await store.batch();
    expect(new Set(records.map(({ source }) => source))).toEqual(new Set(["vans", ...Object.keys(crowd)]));
    expect(records).toHaveLength(50);
    expect(await store.mismatches()).toEqual([]);
  });

  it("all get their turn even if there are more of them than a batch has room for", async () => {
    const many = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`s${i}`, {}]));
    const store = stores.open({ moreSources: many, destination: { maxBatchPings: 4 } });
    for (const name of Object.keys(many)) await store.add(fleet(20, name), name);
    const served = new Set<string>();
    for (let i = 0; i < 60 && served.size < 12; i++) {
      const { id, records } = await store.batch();
      for (const { source } of records) served.add(source);
      // As if delivered: the lane is free again.
      await store.db.del(`${store.keyPrefix}:lane:acme|0`, `${store.keyPrefix}:b:${id}`);
    }
    expect(served.size).toBe(12);
  });
});
