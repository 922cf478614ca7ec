/** What store does when it cannot store: the sender is asked to come again, and nothing half-done is left behind. */

import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StoreError } from "../../../src/ingest/store.ts";
import { messageOf, readingOf, startTestQueue } from "../../support/queue.ts";
import { scaled } from "../../support/speed.ts";
import { startStores } from "../../support/store.ts";
import { until } from "../../support/wait.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const refused = (error: unknown) => (error instanceof StoreError ? error.reason : error);

describe("a full buffer", () => {
  it("takes nothing of a message and moves no counter, and a resend is no duplicate", async () => {
    const store = stores.open({ destination: { bufferBytes: 500 } });
    await store.add(Array.from({ length: 10 }, (_, i) => readingOf(`v${i}`, 1)));
    const before = await store.account();
    const message = messageOf([
      readingOf("late", 1),
      ...Array.from({ length: 30 }, (_, i) => readingOf("x", i)),
    ]);
    const again = await store.store.add(message).catch(refused);
    expect(again).toBe("buffer_full");
    expect(await store.account()).toEqual(before);
    expect(await store.mismatches()).toEqual([]);

    await store.batch();
    // The batch still counts, until ServiceTitan has it: no room appears out of thin air.
    expect(await store.store.add(message).catch(refused)).toBe("buffer_full");
    await store.db.hset(`${store.keyPrefix}:dest:acme`, "bytes", 0);
    expect(await store.store.add(message)).toMatchObject({ stored: 31, duplicates: 0 });
  });

  it("of one destination does not refuse another's readings", async () => {
    const mapping = (_: string, device: string) => [
      {
        destination: device === "b" ? "beta" : "acme",
        unit: { unitId: device, unitName: device, technician: null },
      },
    ];
    const store = stores.open({
      destination: { bufferBytes: 1 },
      more: { beta: { bufferBytes: 1e6 } },
      mapping,
    });
    await store.add([readingOf("a", 1)]);
    expect(await store.add([readingOf("a", 0)]).catch(refused)).toBe("buffer_full");
    expect((await store.add([readingOf("b", 0)])).stored).toBe(1);
  });

  it("fails a message that was to go to two destinations as a whole", async () => {
    const unit = { unitId: "u", unitName: "u", technician: null };
    const both = [
      { destination: "acme", unit },
      { destination: "beta", unit },
    ];
    const mapping = (_: string, device: string) => (device === "both" ? both : both.slice(1));
    const store = stores.open({ more: { beta: { bufferBytes: 1 } }, mapping });
    await store.add([readingOf("b", 1)]);
    const before = await store.account();
    expect(await store.add([readingOf("both", 0)]).catch(refused)).toBe("buffer_full");
    expect(await store.account()).toEqual(before);
    expect(await store.db.keys(`${store.keyPrefix}:backlog:acme*`)).toEqual([]);
  });

  it("in another scope costs the sender a resend, but no message is counted twice", async () => {
    const unit = { unitId: "u", unitName: "u", technician: null };
    const rows = [
      { destination: "acme", unit },
      { destination: "beta", unit },
    ];
    const store = stores.open({ more: { beta: { otherScope: true, bufferBytes: 1 } }, mapping: () => rows });
    await store.add([readingOf("a", 2)]);
    const message = messageOf([readingOf("a", 1)]);
    expect(await store.store.add(message).catch(refused)).toBe("buffer_full");
    expect((await store.account()).messages).toBe(1);
    expect(await store.mismatches()).toEqual([]);
    const beta = store.destinations.get("beta")?.keyPrefix;
    await store.db.hset(`${beta}:dest:beta`, "bytes", 0);
    await store.store.add(message);
    expect(await store.account()).toMatchObject({ messages: 2, stored: 4 });
  });
});

describe("Redis away", () => {
  it("is reported within the command timeout, and passes when Redis is back", async () => {
    const rig = await startTestQueue();
    try {
      await rig.store([readingOf("a", 1)]);
      rig.redis.kill("SIGSTOP");
      const message = messageOf([readingOf("b", 1)]);
      const startedAt = performance.now();
      const stopped = await rig.queue.store.add(message).catch((error: unknown) => error);
      const tookMs = performance.now() - startedAt;
      rig.redis.kill("SIGCONT");
      expect(stopped).toBeInstanceOf(StoreError);
      expect(refused(stopped)).toBe("storage_unavailable");
      // The command timeout is 2 s; five times that still separates it from waiting for ever.
      expect(tookMs).toBeLessThan(scaled(10_000));

      rig.redis.kill("SIGKILL");
      await until(
        async () =>
          refused(await rig.queue.store.add(messageOf([readingOf("c", 1)])).catch((e: unknown) => e)) ===
          "storage_unavailable",
        { what: "the loss to be noticed" },
      );
      expect(await rig.queue.readiness()).not.toEqual([]);
      await rig.redis.restart();
      await until(() => rig.queue.store.add(message).then(() => true), { what: "Redis to be back" });
      await rig.empty();
      const units = rig.sandbox.pings().map(({ ping }) => ping.unitId);
      expect(units).toContain("b");
      expect(await rig.mismatches()).toEqual([]);
    } finally {
      await rig.close();
    }
  });

  it("costs no refusal its count: they are written when it is back", async () => {
    const rig = await startTestQueue();
    try {
      rig.queue.store.refuse("vans", "unauthenticated");
      rig.queue.store.refuse("vans", "too_large");
      rig.queue.store.refuse("nobody", "unauthenticated");
      await until(async () => (await rig.account()).refused === 2, { what: "refusals to be counted" });
      rig.redis.kill("SIGKILL");
      await until(async () => (await rig.queue.readiness()).length > 0, { what: "the loss to be noticed" });
      for (let i = 0; i < 100; i++) rig.queue.store.refuse("vans", "unauthenticated");
      // Longer than refusals are gathered for, so that the first write fails.
      await pause(200);
      await rig.redis.restart();
      const isCounted = async () => (await rig.account()).refused === 102;
      await until(isCounted, { what: "refusals to be counted" });
      const [source] = (await rig.queue.queryStatus()).sources;
      expect(source?.refusedBy).toEqual({ unauthenticated: 101, too_large: 1 });
      expect(await rig.mismatches()).toEqual([]);
    } finally {
      await rig.close();
    }
  });
});
