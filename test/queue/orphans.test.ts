/** What lies in Redis for a destination that is no longer configured: it stays counted, wherever it lies. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { auditScope } from "../../src/queue/upkeep/count-script.ts";
import { readingOf } from "../support/line.ts";
import { startStores } from "../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

it("counts what was in flight, in pieces or under suspicion as well as what waited", async () => {
  const { db, scope: p, add, batch } = stores.open({ destination: { maxBatchPings: 10 } });
  await add(Array.from({ length: 12 }, (_, i) => readingOf(`v${i}`, 1)));
  const { id } = await batch();
  for (let i = 0; i < 3; i++) await db.lmove(`${p}:b:${id}`, `${p}:b:piece`, "LEFT", "RIGHT");
  await db.rpush(`${p}:pieces:acme|0`, "piece");
  await db.lmove(`${p}:b:${id}`, `${p}:suspects:acme|0`, "LEFT", "RIGHT");
  const { sources, orphans } = await auditScope(db, p, ["vans"], []);
  expect(sources).toMatchObject([{ name: "vans", waiting: 2, inFlight: 10 }]);
  expect(orphans).toEqual({ acme: 12 });
});
