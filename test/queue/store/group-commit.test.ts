/** Many messages at once and messages of many readings: every sender gets the right answer, and Redis stays free for others. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StoreError } from "../../../src/ingest/store.ts";
import { messageOf, readingOf } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

describe("a thousand messages at once", () => {
  it("are written together, and each is answered for itself", async () => {
    const store = stores.open();
    await store.add([readingOf("known", 1, { fixTime: 1_700_000_000_000 })]);
    const messages = Array.from({ length: 1000 }, (_, i) => {
      const readings = Array.from({ length: 1 + (i % 3) }, (_, j) => readingOf(`d${i}`, j));
      if (i % 5 === 0) readings.push(readingOf("known", 1, { fixTime: 1_700_000_000_000 }));
      return { readings, stored: 1 + (i % 3), duplicates: i % 5 === 0 ? 1 : 0 };
    });
    const verdicts = await Promise.all(messages.map(({ readings }) => store.add(readings)));
    expect(verdicts.map(({ stored, duplicates }) => ({ stored, duplicates }))).toEqual(
      messages.map(({ stored, duplicates }) => ({ stored, duplicates })),
    );
    expect(await store.account()).toMatchObject({
      messages: 1001,
      duplicates: 200,
      stored: 2000,
      waiting: 2000,
    });
    expect(await store.mismatches()).toEqual([]);
  });

  it("keep a device's readings in the order the messages came in", async () => {
    const store = stores.open({ destination: { maxBatchPings: 1000, maxBatchBytes: 1e6 } });
    const readings = Array.from({ length: 300 }, (_, i) => readingOf("a", 300 - i));
    await Promise.all(readings.map((reading) => store.add([reading])));
    const times = (await store.batch()).records.map(({ reading }) => reading.fixTime);
    expect(times).toEqual(readings.map(({ fixTime }) => fixTime));
  });

  it("of which some do not fit are refused one by one", async () => {
    const mapping = (_: string, device: string) => [
      { destination: device.startsWith("b") ? "beta" : "acme", unit: unitOf(device) },
    ];
    const store = stores.open({ more: { beta: { bufferBytes: 1 } }, mapping });
    await store.add([readingOf("b", 1)]);
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        store.add([readingOf(`${i % 2 === 0 ? "a" : "b"}${i}`, 1)]).then(
          ({ stored }) => stored,
          (error: unknown) => (error instanceof StoreError ? error.reason : error),
        ),
      ),
    );
    expect(answers).toEqual(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 1 : "buffer_full")));
    expect(await store.account()).toMatchObject({ messages: 51, readings: 51, stored: 51 });
    expect(await store.mismatches()).toEqual([]);
  });
});

describe("a message of 10,000 readings", () => {
  it("is stored in pieces and counted as one message", async () => {
    const store = stores.open();
    const readings = Array.from({ length: 10_000 }, (_, i) => readingOf(`d${i % 50}`, i / 100));
    const message = messageOf(readings);
    expect(await store.store.add(message)).toMatchObject({ stored: 10_000, duplicates: 0 });
    expect(await store.account()).toMatchObject({
      messages: 1,
      decoded: 1,
      readings: 10_000,
      waiting: 10_000,
    });
    expect(await store.store.add(message)).toMatchObject({ stored: 0, duplicates: 10_000 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("that stops half way for lack of room is completed by its resend", async () => {
    const store = stores.open({ destination: { bufferBytes: 300_000 } });
    const message = messageOf(Array.from({ length: 10_000 }, (_, i) => readingOf(`d${i % 50}`, i / 100)));
    await expect(store.store.add(message)).rejects.toMatchObject({ reason: "buffer_full" });
    const half = await store.account();
    expect(half.messages).toBe(0);
    expect(half.stored).toBeGreaterThan(0);
    expect(half.stored).toBeLessThan(10_000);
    expect(await store.mismatches()).toEqual([]);
    await store.db.hset(`${store.keyPrefix}:dest:acme`, "bytes", -10_000_000);
    const { stored, duplicates } = await store.store.add(message);
    expect({ stored, duplicates }).toEqual({ stored: 10_000 - half.stored, duplicates: half.stored });
    expect(await store.account()).toMatchObject({ messages: 1, stored: 10_000, waiting: 10_000 });
  });
});

function unitOf(unitId: string) {
  return { unitId, unitName: unitId, technician: null };
}
