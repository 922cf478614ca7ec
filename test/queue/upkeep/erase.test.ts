/** After an erasure nothing of the tenant, or of the unit, is left in Redis, and the accounting still adds up. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { until } from "../../support/wait.ts";

let own: TestQueue;
beforeAll(async () => {
  own = await startTestQueue({ more: { bolt: {} }, moreSources: { trucks: { destination: "bolt" } } });
});
afterAll(() => own.close());

/** Keys whose name or content has the text. */
async function keysWith(text: string): Promise<string[]> {
  const found: string[] = [];
  for (const key of await own.db.keys("waypost:*")) {
    const content = await own.db.dumpBuffer(key);
    if (key.includes(text) || content?.includes(text)) found.push(key);
  }
  return found;
}

async function quarantine(source: string, text: string): Promise<void> {
  await own.queue.store.add({
    ...{ source, receivedAt: Date.now(), kind: "malformed", reason: "malformed", problems: ["is no JSON"] },
    message: {
      ...{ body: Buffer.from(text), receivedAt: Date.now(), headers: {}, query: {}, retained: false },
      method: "POST",
    },
  });
}

test("one unit goes from everywhere, and others of its batches stay to be found", async () => {
  const { queue, sandbox, store } = own;
  await store([readingOf("zebra-unit", 5), readingOf("other-unit", 5)]);
  await own.empty();
  await quarantine("vans", "a broken message of zebra-unit");
  await quarantine("vans", "a broken message of other-unit");
  sandbox.faults.set({ kind: "status", status: 503 });
  await store([readingOf("zebra-unit", 1), readingOf("other-unit", 1)]);
  const asked = {
    destination: "acme",
    unit: "other-unit",
    from: Date.now() - 60_000,
    to: Date.now() + 60_000,
  };
  const before = await queue.findPings(asked);
  expect(before.length).toBeGreaterThan(0);

  const unit = { id: "zebra-unit", devices: [{ source: "vans", device: "zebra-unit" }] };
  await until(
    async () => {
      await queue.erase({ sources: ["vans"], destinations: ["acme"], unit });
      return (await keysWith("zebra-unit")).length === 0;
    },
    { what: "everything of the unit to be gone" },
  );
  expect(await queue.findPings(asked)).toEqual(before);
  sandbox.faults.clear();
  await own.emptyInHaste();
  expect(await own.mismatches()).toEqual([]);
});

test("a tenant goes, with counts of what went, and another one stays", async () => {
  const { queue, store } = own;
  await store([readingOf("third-unit", 1)], "trucks");
  await quarantine("trucks", "a broken message");
  const erased = await queue.erase({ sources: ["vans"], destinations: ["acme"] });
  expect(erased).toMatchObject({ quarantined: 1, devices: 1, units: 1 });
  expect(await queue.erase({ sources: ["vans"], destinations: ["acme"] })).toMatchObject({ quarantined: 0 });
  expect(await keysWith("other-unit")).toEqual([]);
  expect((await keysWith("third-unit")).length).toBeGreaterThan(0);
  expect(await own.mismatches()).toEqual([]);
});
