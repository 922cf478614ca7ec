/** The list of devices: in pages, of a source, by a part of any name, with what is known of each in Redis. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDeviceNames } from "../../../src/queue/lookup/device-names.ts";
import { createDeviceList, type DeviceQuery } from "../../../src/queue/lookup/devices.ts";
import type { Sight } from "../../../src/queue/lookup/search.ts";
import type { MappingRow } from "../../../src/queue/store/routes.ts";
import { iso } from "../../../src/time.ts";
import { ingestOver, KEY, plainSource } from "../../support/plain-vendor.ts";
import { type Store, startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
let store: Store;
const NOW = Date.now();

const rowOf = (destination: string | null, unitId: string, unitName: string, technician: string | null) => ({
  destination,
  unit: { unitId, unitName, technician },
});
const ROWS: Record<string, MappingRow[]> = {
  "imei-2": [rowOf(null, "V-12", "Van Twelve", "Ana")],
  "imei-3": [rowOf("other", "Rival-7", "Rival van", "Bob")],
};
const rows = (_: string, device: string) => ROWS[device] ?? [];

beforeAll(async () => {
  stores = await startStores();
  store = stores.open({ more: { other: {} }, moreSources: { cars: {}, trucks: {} }, mapping: rows });
  const { ingest } = ingestOver(store.store);
  const send = (source: string, ...points: { id: string; ageMs: number; lat?: number }[]) =>
    ingest.receive(
      { ...plainSource(source), maxAgeMs: 600_000 },
      {
        body: Buffer.from(
          JSON.stringify(
            points.map(({ id, ageMs, lat = 30.27 }) => ({ id, t: NOW - ageMs, lat, lon: -97.74 })),
          ),
        ),
        receivedAt: Date.now(),
        method: "POST",
        headers: { "x-key": KEY },
        query: {},
        retained: false,
      },
    );
  await send("vans", { id: "imei-3", ageMs: 3000 }, { id: "imei-1", ageMs: 9000 });
  // The newest fix came last, the older one before it is not its last.
  await send("vans", { id: "imei-1", ageMs: 5000 }, { id: "imei-2", ageMs: 4000 });
  await send("cars", { id: "imei-1", ageMs: 1000 }, { id: "late", ageMs: 7_200_000 });
  await send("cars", { id: "late", ageMs: 7_200_000 });
  await send("trucks", { id: "mixed", ageMs: 8000 }, { id: "mixed", ageMs: 2000, lat: 91 });
});
afterAll(() => stores.close());

function list(query: Partial<DeviceQuery> = {}, within?: Sight) {
  const listDevices = createDeviceList({
    redis: store.db,
    sources: store.sources,
    names: createDeviceNames(store.db),
    rowsOf: rows,
  });
  return listDevices({ limit: 50, ...query }, within);
}

async function namesIn(query: Partial<DeviceQuery> = {}, within?: Sight): Promise<string[]> {
  return (await list(query, within)).map(({ source, device }) => `${source} ${device}`);
}

const ALL = ["cars imei-1", "cars late", "trucks mixed", "vans imei-1", "vans imei-2", "vans imei-3"];

describe("the list of devices", () => {
  it("has all of them by source and id, those that were only ever rejected too", async () => {
    expect(await namesIn()).toEqual(ALL);
  });

  it.each([1, 2, 4])("is the same in pages of %i", async (limit) => {
    const found: string[] = [];
    let after: DeviceQuery["after"];
    for (;;) {
      const page = await list({ limit, after });
      expect(page.length).toBeLessThanOrEqual(limit);
      found.push(...page.map(({ source, device }) => `${source} ${device}`));
      after = page.at(-1);
      if (page.length < limit) break;
    }
    expect(found).toEqual(ALL);
  });

  it("is of one source where that is wanted, also after a page of it", async () => {
    expect(await namesIn({ source: "vans" })).toEqual(ALL.slice(3));
    expect(await namesIn({ source: "vans", after: { source: "vans", device: "imei-1" } })).toEqual(
      ALL.slice(4),
    );
    expect(await namesIn({ source: "none" })).toEqual([]);
  });

  it.each([
    ["IMEI", ["cars imei-1", "vans imei-1", "vans imei-2", "vans imei-3"]],
    ["v-12", ["vans imei-2"]],
    ["TWELVE", ["vans imei-2"]],
    ["ana", ["vans imei-2"]],
    ["rival", ["vans imei-3"]],
    ["nobody", []],
  ])("is found by %s", async (q, expected) => {
    expect(await namesIn({ q })).toEqual(expected);
  });

  it("is filled with what fits, page by page", async () => {
    expect(await namesIn({ q: "imei", limit: 2 })).toEqual(["cars imei-1", "vans imei-1"]);
    expect(await namesIn({ q: "imei", limit: 2, after: { source: "vans", device: "imei-1" } })).toEqual([
      "vans imei-2",
      "vans imei-3",
    ]);
  });

  it("of a tenant has its own sources, and no unit of another's destination", async () => {
    const own = { destinations: new Set(["acme"]), sources: new Set(["vans"]) };
    const found = await list({}, own);
    expect(found.map(({ device, unit, technician }) => [device, unit, technician])).toEqual([
      ["imei-1", "imei-1", null],
      ["imei-2", "V-12", "Ana"],
      ["imei-3", "imei-3", null],
    ]);
    expect(await namesIn({ q: "rival" }, own)).toEqual([]);
    expect(await namesIn({ q: "imei-3" }, own)).toEqual(["vans imei-3"]);
  });
});

describe("a device", () => {
  const deviceOf = async (source: string, q: string) => {
    const [found] = await list({ source, q });
    if (!found) throw new Error(`no ${q}`);
    return found;
  };

  it("has its unit, when it was seen, and the fix of its last reading, to the millisecond", async () => {
    const found = await deviceOf("vans", "imei-2");
    expect(found).toMatchObject({ unit: "V-12", unitName: "Van Twelve", technician: "Ana" });
    expect(found).toMatchObject({ lastFixAt: iso(NOW - 4000), lastRejection: null, offsetMs: null });
    expect(Date.parse(found.lastSeenAt ?? "")).toBeGreaterThanOrEqual(NOW);
    expect((await deviceOf("vans", "imei-1")).lastFixAt).toBe(iso(NOW - 5000));
  });

  it("of one id at two sources is two devices", async () => {
    expect((await deviceOf("cars", "imei-1")).lastFixAt).toBe(iso(NOW - 1000));
  });

  it("whose readings are rejected has why, how often, and how far off its clock is", async () => {
    const found = await deviceOf("cars", "late");
    expect(found).toMatchObject({ lastSeenAt: null, lastFixAt: null, unit: "late" });
    expect(found.lastRejection).toMatchObject({ reason: "too_old", count: 2 });
    expect(found.offsetMs).toBeGreaterThanOrEqual(7_200_000);
    expect(found.offsetMs).toBeLessThan(7_300_000);
  });

  it("with good and rejected readings has both", async () => {
    expect(await deviceOf("trucks", "mixed")).toMatchObject({
      lastFixAt: iso(NOW - 8000),
      lastRejection: { reason: "latitude_out_of_range", count: 1 },
    });
  });
});
