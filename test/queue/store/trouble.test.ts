/** Devices in trouble: when it begins, what is counted, when it ends; and what a healthy fleet costs. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeviceRejections, StoreEntry } from "../../../src/ingest/store.ts";
import { readTroubled } from "../../../src/queue/lookup/troubled.ts";
import { monitorOf } from "../../support/monitor.ts";
import { messageOf, readingOf } from "../../support/queue.ts";
import { type Store, startStores } from "../../support/store.ts";
import { until } from "../../support/wait.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const HOUR_MS = 3_600_000;
const troubled = async (store: Store) =>
  (await store.status()).sources.flatMap(({ name, troubled }) => (name === "vans" ? troubled : []));
const keyIn = (store: Store) => `${store.keyPrefix}:trouble:vans`;

function rejections(
  device: string,
  { receivedAt = Date.now(), ...changes }: Partial<DeviceRejections> & { receivedAt?: number } = {},
): StoreEntry {
  const rejection = { device, reason: "too_old" as const, count: 1, path: "", fixTime: null, offsetMs: null };
  return {
    ...messageOf([]),
    receivedAt,
    rawReadings: 1,
    rejected: [{ ...rejection, ...changes }],
  } as StoreEntry;
}
const reject = (store: Store, device: string, changes?: Parameters<typeof rejections>[1]) =>
  store.store.add(rejections(device, changes));

describe("trouble", () => {
  it("begins with a rejection and sums up readings, messages and the offsets of its reason", async () => {
    const store = stores.open();
    await reject(store, "van", { count: 5, receivedAt: 1_764_500_000_000, reason: "no_fix" });
    for (const least of [5 * HOUR_MS, 5 * HOUR_MS - 10]) {
      await reject(store, "van", {
        count: 2,
        receivedAt: 1_764_500_001_000,
        offsetMs: { least, greatest: least + 20 },
      });
    }
    expect(await troubled(store)).toEqual([
      {
        device: "van",
        since: 1_764_500_000_000,
        lastAt: 1_764_500_001_000,
        rejected: 9,
        messages: 3,
        good: 0,
        goodInARow: 0,
        goodAt: null,
        reason: "too_old",
        offsetMs: { least: 5 * HOUR_MS - 10, greatest: 5 * HOUR_MS + 20 },
      },
    ]);
    expect(await store.db.pttl(keyIn(store))).toBeGreaterThan(7_100_000);
  });

  it("ends with three good readings in a row", async () => {
    const store = stores.open();
    await reject(store, "van");
    await store.add([readingOf("van", 5), readingOf("van", 4)]);
    expect(await troubled(store)).toMatchObject([{ good: 2, goodInARow: 2, goodAt: expect.any(Number) }]);
    await reject(store, "van");
    await store.add([readingOf("van", 3)]);
    expect(await troubled(store)).toMatchObject([{ rejected: 2, good: 3, goodInARow: 1 }]);
    await store.add([readingOf("van", 2), readingOf("van", 1)]);
    expect(await troubled(store)).toEqual([]);
    expect(await store.db.exists(keyIn(store))).toBe(0);
  });

  it("ends with one good reading a minute after the last rejection", async () => {
    const store = stores.open();
    await reject(store, "van", { receivedAt: Date.now() - 61_000 });
    await store.add([readingOf("van", 1)]);
    expect(await troubled(store)).toEqual([]);
  });

  it("is neither begun nor ended by duplicates, nor by what a source leaves out on purpose", async () => {
    const store = stores.open({ source: { minIntervalMs: 1000 } });
    const reading = readingOf("van", 5);
    await store.add([reading]);
    await store.add([reading, { ...reading, fixTime: reading.fixTime + 1 }]);
    expect(await troubled(store)).toEqual([]);
    await reject(store, "van");
    for (let i = 0; i < 4; i++) await store.add([reading]);
    expect(await troubled(store)).toMatchObject([{ rejected: 1, good: 0 }]);
  });

  it("begins with a jump that the source's filter rejects", async () => {
    const store = stores.open({ source: { maxImpliedMps: 70 } });
    await store.add([readingOf("van", 5), readingOf("van", 1, { latitude: 45 })]);
    expect(await troubled(store)).toMatchObject([{ device: "van", reason: "implausible_jump", rejected: 1 }]);
  });

  it("ends, too, where the readings lead to another scope", async () => {
    const store = stores.open({
      more: { far: { otherScope: true } },
      mapping: (_source, device) => [
        { destination: "far", unit: { unitId: device, unitName: device, technician: null } },
      ],
    });
    await reject(store, "van");
    for (const age of [3, 2, 1]) await store.add([readingOf("van", age)]);
    expect(await troubled(store)).toEqual([]);
  });

  it("is told of 200 devices of a source, and those of whom nobody is told make room", async () => {
    const store = stores.open();
    const long = Date.now() - 16 * 60_000;
    for (let i = 0; i < 201; i++)
      await reject(store, `van-${i}`, { receivedAt: i === 0 ? long : Date.now() });
    expect(await store.db.hlen(keyIn(store))).toBe(200);
    expect(await store.db.hexists(keyIn(store), "van-0")).toBe(0);
    await reject(store, "one-more");
    expect(await store.db.hexists(keyIn(store), "one-more")).toBe(0);
    await reject(store, "van-7");
    const told = await troubled(store);
    expect(told).toHaveLength(50);
    expect(told.find(({ device }) => device === "van-7")).toMatchObject({ rejected: 2 });
  });

  it("without an offset reads as such", () => {
    const values = ["van", "1", "2", "3", "1", "0", "0", "0", "no_fix", "", ""];
    expect(readTroubled(values)).toMatchObject([{ device: "van", offsetMs: null, goodAt: null }]);
    expect(readTroubled(values.slice(0, 5))).toEqual([]);
  });
});

it("a healthy fleet costs one look for trouble and one write more per source and call", async () => {
  const store = stores.open();
  const fleet = (age: number) => Array.from({ length: 50 }, (_, i) => readingOf(`van-${i}`, age));
  await store.add(fleet(9));
  const commands: string[] = [];
  const monitor = await monitorOf(store.db, (name, key) => {
    if (key.startsWith(store.keyPrefix))
      commands.push(`${name} ${key.slice(store.keyPrefix.length + 1)}`.toLowerCase());
  });
  await store.add(fleet(1));
  await until(() => commands.some((each) => each.startsWith("hincrby dest:")), { what: "the last command" });
  monitor.stop();
  const aboutDevices = commands.filter((each) => / (fp|trouble|seen|timeline):vans$/.test(each));
  expect(aboutDevices).toEqual(["hmget fp:vans", "hlen trouble:vans", "hset fp:vans", "hset seen:vans"]);
  expect(await store.db.hlen(`${store.keyPrefix}:seen:vans`)).toBe(50);
  expect(await store.db.exists(keyIn(store), `${store.keyPrefix}:timeline:vans`)).toBe(0);
});
