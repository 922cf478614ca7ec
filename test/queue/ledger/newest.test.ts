/** What was set aside is listed the newest first, in pages that miss nothing and repeat nothing, over all scopes. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNewest, type Newest, type NewestQuery } from "../../../src/queue/ledger/newest.ts";
import { keyOf, SCOPE_KEYS } from "../../../src/queue/redis/keys.ts";
import { recordEncoder } from "../../../src/queue/redis/record.ts";
import { readingOf } from "../../support/queue.ts";
import { type Store, startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
let store: Store;
let newest: Newest;
let scopes: { acme: string; blue: string };

beforeAll(async () => {
  stores = await startStores();
  store = stores.open({ more: { blue: { otherScope: true } }, moreSources: { cars: {} } });
  newest = createNewest({ redis: store.db, destinations: store.destinations });
  scopes = { acme: store.keyPrefix, blue: store.destinations.get("blue")?.keyPrefix ?? "" };
  // Ids are given, so that both scopes have some alike; `10-1` comes after `9-2`, though not as text.
  await letter("acme", "9-2", "van-1", "failed");
  await letter("acme", "10-1", "van-2", "failed");
  await letter("acme", "10-2", "van-3", "unknown_unit");
  await letter("blue", "10-1", "car-1", "failed", "cars");
  await letter("blue", "11-0", "car-2", "failed", "cars");
  const fields = { vans: await fieldsOfMessage("vans"), cars: await fieldsOfMessage("cars") };
  const ownKey = keyOf(scopes.acme, SCOPE_KEYS.quarantine);
  await store.db.xadd(ownKey, "20-1", ...fields.vans);
  await store.db.xadd(ownKey, "20-2", ...fields.cars);
  await store.db.xadd(keyOf(scopes.blue, SCOPE_KEYS.quarantine), "20-3", ...fields.cars);
  await store.db.xadd(ownKey, "21-0", ...fields.vans);
});
afterAll(() => stores.close());

async function letter(name: "acme" | "blue", id: string, unit: string, reason: string, source = "vans") {
  const record = recordEncoder(source, unit, { unitId: unit, unitName: unit, technician: null });
  const fields = { destination: name, reason, message: "No.", record: record(readingOf(unit, 60)) };
  const key = keyOf(scopes[name], SCOPE_KEYS.deadLetters);
  await store.db.xadd(key, id, ...Object.entries(fields).flat());
}

/** The fields of a quarantined message as ingest stores it; it is taken out again, because ids only grow. */
async function fieldsOfMessage(source: string): Promise<Buffer[]> {
  const receivedAt = Date.now();
  await store.store.add({
    ...{ kind: "malformed", source, receivedAt, reason: "malformed", problems: ["no list"] },
    message: { receivedAt, body: Buffer.from("x"), method: "POST", retained: false, headers: {}, query: {} },
  });
  const key = keyOf(scopes.acme, SCOPE_KEYS.quarantine);
  const [stored] = await store.db.xrangeBuffer(key, "-", "+");
  await store.db.del(key);
  if (!stored) throw new Error("nothing was stored");
  return stored[1];
}

const ofAcme = { destinations: new Set(["acme"]), sources: new Set(["vans"]) };
const lettersIn = async (query: Partial<NewestQuery> = {}) =>
  (await newest.deadLetters({ filter: {}, limit: 50, ...query })).map(({ id, unit }) => `${id} ${unit}`);
const messagesIn = async (query: Partial<NewestQuery> = {}) =>
  (await newest.quarantined({ filter: {}, limit: 50, ...query })).map(({ id, source }) => `${id} ${source}`);

describe("dead letters", () => {
  /** In both scopes there is a 10-1. */
  const BOTH = ["10-1 van-2", "10-1 car-1"];

  it("are listed the newest first, over all scopes, by number and not by text", async () => {
    const [first, second, ...rest] = await lettersIn();
    expect([first, second]).toEqual(["11-0 car-2", "10-2 van-3"]);
    expect(new Set(rest.slice(0, 2))).toEqual(new Set(BOTH));
    expect(rest.slice(2)).toEqual(["9-2 van-1"]);
  });

  it("are told whole", async () => {
    const [one] = await newest.deadLetters({ filter: { unit: "van-3" }, limit: 1 });
    expect(one).toMatchObject({ id: "10-2", at: 10, destination: "acme", source: "vans", unit: "van-3" });
    expect(one).toMatchObject({ reason: "unknown_unit", message: "No.", scope: scopes.acme });
    expect(one?.externalId).toBe(`vans:van-3:${one?.fixTime}`);
  });

  it.each([1, 2, 3])("are the same in pages of %i, also where two scopes have an id alike", async (limit) => {
    const found: string[] = [];
    let after: NewestQuery["after"];
    for (;;) {
      const page = await newest.deadLetters({ filter: {}, limit, after });
      found.push(...page.map(({ id, unit }) => `${id} ${unit}`));
      const last = page.at(-1);
      if (!last || page.length < limit) break;
      after = { id: last.id, scope: last.scope };
    }
    expect(found).toEqual(await lettersIn());
  });

  it("are found by everything that is given, however far back", async () => {
    expect(await lettersIn({ filter: { unit: "van-1" }, limit: 1 })).toEqual(["9-2 van-1"]);
    expect(await lettersIn({ filter: { reason: "unknown_unit" } })).toEqual(["10-2 van-3"]);
    expect(await lettersIn({ filter: { source: "cars" } })).toEqual(["11-0 car-2", "10-1 car-1"]);
    expect(await lettersIn({ filter: { destination: "blue", unit: "van-1" } })).toEqual([]);
    expect(await lettersIn({ filter: { from: 10, to: 10, source: "vans" } })).toEqual([
      "10-2 van-3",
      "10-1 van-2",
    ]);
  });

  it("of a tenant are those of its destinations", async () => {
    expect(await lettersIn({ filter: { within: ofAcme } })).toEqual([
      "10-2 van-3",
      "10-1 van-2",
      "9-2 van-1",
    ]);
  });
});

describe("quarantined messages", () => {
  it("are listed the newest first, with their problems", async () => {
    expect(await messagesIn()).toEqual(["21-0 vans", "20-3 cars", "20-2 cars", "20-1 vans"]);
    const [one] = await newest.quarantined({ filter: {}, limit: 1 });
    expect(one).toMatchObject({ reason: "malformed", problems: ["no list"], message: { method: "POST" } });
  });

  it("of a tenant are those of its sources, also in a scope that it shares", async () => {
    expect(await messagesIn({ filter: { within: ofAcme } })).toEqual(["21-0 vans", "20-1 vans"]);
    // One page of what it may see, though what it may not see lies between.
    expect(
      await messagesIn({ filter: { within: ofAcme }, limit: 1, after: { id: "21-0", scope: scopes.acme } }),
    ).toEqual(["20-1 vans"]);
  });
});
