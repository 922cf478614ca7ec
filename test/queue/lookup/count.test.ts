/** What Redis holds for a destination that is no longer configured: it stays counted, in whichever structure it is. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { countScope } from "../../../src/queue/lookup/count.ts";
import { readingOf } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

it("counts what was in flight, in pieces or isolated as well as what waited", async () => {
  const { db, keyPrefix: p, add, batch } = stores.open({ destination: { maxBatchPings: 10 } });
  await add(Array.from({ length: 12 }, (_, i) => readingOf(`v${i}`, 1)));
  const { id } = await batch();
  for (let i = 0; i < 3; i++) await db.lmove(`${p}:b:${id}`, `${p}:b:piece`, "LEFT", "RIGHT");
  await db.rpush(`${p}:pieces:acme|0`, "piece");
  await db.lmove(`${p}:b:${id}`, `${p}:isolated:acme|0`, "LEFT", "RIGHT");
  const { sources, orphans } = await countScope(db, p, { sources: ["vans"], destinations: [] });
  expect(sources).toMatchObject([{ name: "vans", waiting: 2, inFlight: 10 }]);
  expect(orphans).toEqual({ acme: 12 });
});
