/** What is remembered of devices and units: it goes when they have been silent for long, and has a bound. */

import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { startEviction } from "../../../src/queue/upkeep/evict.ts";
import { readingOf } from "../../support/queue.ts";
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

const DAY_S = 86_400;
const fleet = (n: number, prefix: string, secondsAgo: number) =>
  Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, secondsAgo));

function forgetting(store: Store, most?: number): unknown[] {
  const failures: unknown[] = [];
  const running = startEviction({
    redis: store.db,
    sources: store.sources,
    destinations: store.destinations,
    ...(most === undefined ? {} : { most }),
    failed: (error) => failures.push(error),
  });
  cleanups.push(() => running.stop());
  return failures;
}

const devicesOf = async (store: Store, key: string) =>
  (await store.db.hkeys(`${store.keyPrefix}:${key}:vans`)).sort();

it("goes for those silent for 30 days, and for no others", async () => {
  const store = stores.open({ source: { maxImpliedMps: 100 }, mapping: () => [] });
  await store.add([
    ...fleet(200, "gone", 31 * DAY_S),
    ...fleet(200, "resting", 29 * DAY_S),
    ...fleet(200, "driving", 1),
    // A clock may be ahead by two minutes.
    readingOf("early", -100),
  ]);
  await store.db.hset(`${store.keyPrefix}:accepted:acme`, {
    gone: Date.now() - 31 * DAY_S * 1000,
    driving: Date.now(),
  });
  const failures = forgetting(store);
  for (const key of ["fp", "last", "unmapped"]) {
    expect((await devicesOf(store, key)).length, key).toBeGreaterThanOrEqual(401);
    const left = async () => (await devicesOf(store, key)).length === 401;
    await until(left, { what: `${key} to be forgotten` });
    expect((await devicesOf(store, key)).filter((device) => device.startsWith("gone"))).toEqual([]);
  }
  await until(async () => (await store.db.hlen(`${store.keyPrefix}:accepted:acme`)) === 1, {
    what: "the unit",
  });
  expect(failures).toEqual([]);
});

it("has a bound, beyond which the longest unheard of go first", async () => {
  const store = stores.open();
  await store.add(fleet(1500, "parked", 3600));
  await store.add(fleet(500, "driving", 1));
  const failures = forgetting(store, 1000);
  await until(async () => (await devicesOf(store, "fp")).length === 1000, { what: "them to be forgotten" });
  const driving = (await devicesOf(store, "fp")).filter((device) => device.startsWith("driving"));
  expect(driving.length).toBeGreaterThan(400);
  expect(failures).toEqual([]);
  expect(await store.mismatches()).toEqual([]);
});

it("is not held for more unmapped devices than can be meant, and what is not is counted", async () => {
  const store = stores.open({ source: { unmapped: "hold" }, mapping: () => [] });
  const held = `${store.keyPrefix}:held:vans`;
  await store.add(fleet(10, "real", 10));
  const [record = ""] = await store.db.hvals(held);
  const others = Array.from({ length: 49_990 }, (_, i) => [`made-up${i}`, record]).flat();
  for (let i = 0; i < others.length; i += 10_000) await store.db.hset(held, ...others.slice(i, i + 10_000));
  await store.db.hincrby(`${store.keyPrefix}:n:vans`, "stored", 49_990);
  await store.db.hincrby(`${store.keyPrefix}:n:vans`, "readings", 49_990);
  // A device that is held already is updated; a new one is dropped.
  await store.add([...fleet(10, "real", 5), ...fleet(7, "new", 5)]);
  expect(await store.account()).toMatchObject({ held: 50_000, superseded: 10, dropped: 7 });
  expect(await store.mismatches()).toEqual([]);
});
