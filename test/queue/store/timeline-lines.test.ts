/** Timelines in Redis: events in a row are one line, and lines, bytes and devices have bounds; the source has one, too. */

import { afterAll, beforeAll, expect, it } from "vitest";
import type { DeviceRejections, StoreEntry } from "../../../src/ingest/store.ts";
import { readTimeline } from "../../../src/queue/lookup/timeline-lines.ts";
import { startEviction } from "../../../src/queue/upkeep/evict.ts";
import { messageOf, readingOf } from "../../support/queue.ts";
import { type Store, startStores } from "../../support/store.ts";
import { until } from "../../support/wait.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const keyIn = (store: Store) => `${store.keyPrefix}:timeline:vans`;
const textOf = async (store: Store, device: string) => (await store.db.hget(keyIn(store), device)) ?? "";
const linesOf = async (store: Store, device: string) => readTimeline(await textOf(store, device));

function rejected(device: string | null, changes: Partial<DeviceRejections> = {}): StoreEntry {
  const rejection: DeviceRejections = {
    device,
    reason: "too_old",
    count: 1,
    path: "data[0]",
    fixTime: Date.now() - 3_600_000,
    offsetMs: { least: 3_600_000, greatest: 3_600_000 },
    ...changes,
  };
  return { ...messageOf([]), rawReadings: 1, rejected: [rejection] } as StoreEntry;
}

it("events in a row of one kind and reason are one line, with the first and the last time, and the last fix", async () => {
  const store = stores.open();
  const entries = Array.from({ length: 240 }, (_, i) => ({
    ...rejected("van", { fixTime: 1_764_000_000_000 + i, path: `data[${i}]` }),
    receivedAt: 1_764_500_000_000 + i,
  }));
  for (const entry of entries) await store.store.add(entry);
  expect(await linesOf(store, "van")).toEqual([
    {
      kind: "rejected",
      reason: "too_old",
      count: 240,
      firstAt: 1_764_500_000_000,
      lastAt: 1_764_500_000_239,
      fixTime: 1_764_000_000_239,
      offsetMs: 3_600_000,
      detail: "data[239]",
    },
  ]);
});

it("what is told of one message together is told in order", async () => {
  const store = stores.open();
  const reading = readingOf("van", 1);
  const entry = { ...rejected("van"), rawReadings: 3, readings: [reading, reading] } as StoreEntry;
  await Promise.all([store.store.add(entry), store.store.add(rejected("van", { reason: "no_fix" }))]);
  expect((await linesOf(store, "van")).map(({ kind, reason }) => kind + reason)).toEqual([
    "rejectedtoo_old",
    "duplicate",
    "rejectedno_fix",
  ]);
});

it("of many different events the last 20 are told, in 1,600 bytes, in whole lines", async () => {
  const store = stores.open();
  const reasons = ["too_old", "no_fix"] as const;
  for (let i = 0; i < 60; i++) {
    await store.store.add(rejected("short", { reason: reasons[i % 2] ?? "no_fix", path: `${i}` }));
    await store.store.add(
      rejected("long", { reason: reasons[i % 2] ?? "no_fix", path: `${i}-${"ü\t\n".repeat(100)}` }),
    );
  }
  const short = await linesOf(store, "short");
  expect(short.map(({ detail }) => detail)).toEqual(Array.from({ length: 20 }, (_, i) => String(40 + i)));
  const long = await linesOf(store, "long");
  expect(Buffer.byteLength(await textOf(store, "long"))).toBeLessThanOrEqual(1600);
  expect(long.length).toBeGreaterThan(4);
  expect(long.at(-1)?.detail).toMatch(/^59-(ü )+ü$/u);
  expect(long.every(({ count, reason }) => count === 1 && reason !== "")).toBe(true);
});

it("a device that is told of for the first time needs room; those known, and the source, have it", async () => {
  const store = stores.open();
  const known = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, i) => [`made-up-${i}`, `${Date.now()} 0\n`]),
  );
  await store.db.hset(keyIn(store), known);
  await store.store.add(rejected("one-more"));
  await store.store.add(rejected("made-up-7"));
  await store.store.add(rejected(null));
  expect(await linesOf(store, "one-more")).toEqual([]);
  expect(await linesOf(store, "made-up-7")).toHaveLength(1);
  expect(await linesOf(store, "")).toHaveLength(1);
});

it("goes with the age of the ledger", async () => {
  const store = stores.open();
  await store.store.add({ ...rejected("old"), receivedAt: Date.now() - 90_000_000 });
  await store.store.add(rejected("new"));
  const running = startEviction({
    redis: store.db,
    sources: store.sources,
    destinations: store.destinations,
    timelineMaxAgeMs: 86_400_000,
    failed: () => {},
  });
  const left = async () => (await store.db.hkeys(keyIn(store))).join() === "new";
  await until(left, { what: "the old timeline to go" }).finally(() => running.stop());
});

it("of the source, refusals are counted by why and where from, and a flood leaves room to the others", async () => {
  const store = stores.open();
  for (let i = 0; i < 3; i++)
    store.store.refuse("vans", "unauthenticated", { why: "wrong_key", from: "192.0.2.1" });
  store.store.refuse("vans", "too_large");
  await store.store.drain();
  expect((await linesOf(store, "")).map(({ reason, detail, count }) => [reason, detail, count])).toEqual([
    ["unauthenticated", "wrong_key from 192.0.2.1", 3],
    ["too_large", "", 1],
  ]);
  await store.store.add({ source: "vans", receivedAt: Date.now(), kind: "ignored", what: "heartbeat" });
  for (let i = 0; i < 60; i++) {
    store.store.refuse("vans", "unauthenticated", { why: "wrong_key", from: `192.0.2.${i + 10}` });
    if (i % 15 === 0) await store.store.drain();
  }
  await store.store.drain();
  await store.store.add({ source: "vans", receivedAt: Date.now(), kind: "ignored", what: "heartbeat" });
  const lines = await linesOf(store, "");
  expect(lines.filter(({ kind }) => kind === "refused")).toHaveLength(10);
  expect(lines.at(-1)).toMatchObject({ kind: "ignored", reason: "heartbeat", count: 2 });
  expect((await store.account()).refused).toBe(64);
  expect(await store.mismatches()).toEqual([]);
});

it("refusals of one moment from many addresses are told in few lines, and all counted", async () => {
  const store = stores.open();
  for (let i = 0; i < 100; i++) {
    store.store.refuse("vans", "unauthenticated", { why: "wrong_key", from: `192.0.2.${i}` });
  }
  await store.store.drain();
  expect((await linesOf(store, "")).at(-1)).toMatchObject({
    detail: "wrong_key from several addresses",
    count: 80,
  });
});

it("a device in a record is found whatever its unit is called", async () => {
  const devices = ["plain", 'quo"te', "back\\slash", "車両-7", "a,b]"];
  const store = stores.open({
    mapping: (_source, device) => [
      { destination: null, unit: { unitId: "one, [unit]", unitName: device, technician: "T" } },
    ],
    destination: { maxAgeMs: 1000 },
  });
  await store.add(devices.map((device, i) => readingOf(device, 10 + i)));
  expect((await store.nextBatch()).kind).toBe("again");
  for (const device of devices)
    expect(await linesOf(store, device), device).toMatchObject([{ kind: "expired" }]);
  expect((await store.db.hkeys(keyIn(store))).sort()).toEqual([...devices].sort());
});
