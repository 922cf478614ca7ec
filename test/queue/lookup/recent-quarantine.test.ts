/** The quarantine in the status: what the stream holds at each moment, without reading its bodies again. */

import type { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createRedrive } from "../../../src/queue/ledger/redrive.ts";
import { type RecentQuarantined, recentQuarantined } from "../../../src/queue/lookup/recent-quarantine.ts";
import { type Store, startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const LIMIT = 20;
const BODY_BYTES = 100_000;

async function malformed(store: Store, name: string, topic = "gps/pos"): Promise<void> {
  const receivedAt = Date.now();
  await store.store.add({
    kind: "malformed",
    source: "vans",
    receivedAt,
    reason: "malformed",
    problems: [name, "and more"],
    message: { topic, retained: false, headers: {}, query: {}, receivedAt, body: Buffer.alloc(BODY_BYTES) },
  });
}

async function several(store: Store, names: readonly string[]): Promise<void> {
  for (const name of names) await malformed(store, name);
}

const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `m${from + i}`);

async function sentBytes(db: Redis): Promise<number> {
  return Number(/total_net_output_bytes:(\d+)/.exec(await db.info("stats"))?.[1]);
}

/** What is listed, and how many bytes Redis sent for it. */
function listing(store: Store) {
  let known: RecentQuarantined[] = [];
  return async () => {
    const before = await sentBytes(store.db);
    known = await recentQuarantined(store.db, store.keyPrefix, LIMIT, known);
    const bytes = (await sentBytes(store.db)) - before;
    const listed = known.map(({ entry }) => entry);
    return { names: listed.map(({ problem }) => problem), bytes, listed };
  };
}

const inStream = async ({ db, keyPrefix }: Store) =>
  (await db.xrevrange(`${keyPrefix}:quarantine`, "+", "-", "COUNT", LIMIT)).map(([id]) => id);

it("lists the newest first, and reads a body once", async () => {
  const store = stores.open();
  const list = listing(store);
  expect((await list()).names).toEqual([]);
  await several(store, numbered(0, 25));
  const first = await list();
  expect(first.names).toEqual(numbered(5, 25).reverse());
  expect(first.bytes).toBeGreaterThan(LIMIT * BODY_BYTES);
  expect((await list()).bytes).toBeLessThan(BODY_BYTES / 10);
  await several(store, ["next"]);
  const next = await list();
  expect(next.names).toEqual(["next", ...numbered(6, 25).reverse()]);
  expect(next.bytes).toBeLessThan(2 * BODY_BYTES);
});

it("leaves out what was sent on its way again, and what made room", async () => {
  const store = stores.open({ quarantineBytes: 30 * (BODY_BYTES + 1000) });
  const list = listing(store);
  await several(store, numbered(0, 30));
  const { listed } = await list();
  const { db, destinations } = store;
  const nowhere = { backlogOf: () => "", routesOf: () => [], arrived: () => {} };
  const redrive = createRedrive({ redis: db, destinations, ...nowhere });
  // Of the middle, the newest and the last listed, and all.
  for (const gone of [[listed[5]], [listed[0], listed[19]], listed]) {
    for (const each of gone) await redrive.release(store.keyPrefix, each?.id ?? "");
    const { listed: now } = await list();
    expect(now.map(({ id }) => id)).toEqual(await inStream(store));
  }
  await several(store, numbered(30, 90));
  expect((await list()).listed.map(({ id }) => id)).toEqual(await inStream(store));
});

it("lists one of an earlier version, which has no share, for as long as it is there", async () => {
  const store = stores.open();
  const list = listing(store);
  // Processes of both versions may run for a while.
  await several(store, ["first"]);
  const key = `${store.keyPrefix}:quarantine`;
  const fields = ["source", "vans", "reason", "malformed", "receivedAt", "1", "problems", '["old"]'];
  const id = await store.db.xadd(key, "*", ...fields, "envelope", "{}", "body", "x", "n", "1");
  await several(store, ["new"]);
  for (let i = 0; i < 2; i++) expect((await list()).names).toEqual(["new", "old", "first"]);
  await store.db.xdel(key, id ?? "");
  expect((await list()).names).toEqual(["new", "first"]);
});
