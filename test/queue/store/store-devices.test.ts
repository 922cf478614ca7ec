/** How many devices a tenant may have: those of all its sources, counted where they are stored. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { readingOf } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const LIMITED = { devices: { most: 3, of: ["vans", "trucks"] } };

it("rejects readings of further devices, and goes on with those it has", async () => {
  const store = stores.open({ source: LIMITED, moreSources: { trucks: LIMITED } });
  const first = await store.add(["a", "b"].map((device) => readingOf(device, 1)));
  expect(first).toMatchObject({ stored: 2, duplicates: 0 });
  const second = await store.add(
    ["c", "d", "e", "c"].map((device, i) => readingOf(device, 2 + i)),
    "trucks",
  );
  expect([second.stored, second.rejections.get("too_many_devices")]).toEqual([2, 2]);
  expect((await store.add([readingOf("a", 9), readingOf("f", 9)])).stored).toBe(1);
  expect(await store.mismatches()).toEqual([]);
  const rejected = (await store.status()).sources.map(({ name, rejectedBy }) => [name, rejectedBy]);
  expect(Object.fromEntries(rejected)).toEqual({
    vans: { too_many_devices: 1 },
    trucks: { too_many_devices: 2 },
  });
});

it("leaves sources of other tenants alone", async () => {
  const store = stores.open({ source: LIMITED, moreSources: { theirs: { devices: undefined } } });
  const devices = ["a", "b", "c", "d", "e"];
  expect((await store.add(devices.map((device) => readingOf(device, 1)))).stored).toBe(3);
  expect(
    (
      await store.add(
        devices.map((device) => readingOf(device, 1)),
        "theirs",
      )
    ).stored,
  ).toBe(5);
});

it("says so together with a body print and a timeline", async () => {
  const store = stores.open({ source: { devices: { most: 1, of: ["vans"] } } });
  const many = Array.from({ length: 40 }, (_, i) => readingOf(i === 39 ? "b" : "a", i));
  const verdict = await store.add(many);
  expect([verdict.stored, verdict.rejections.get("too_many_devices")]).toEqual([39, 1]);
});
