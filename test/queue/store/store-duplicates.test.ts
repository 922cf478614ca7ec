/** Which readings count as duplicates of one that was stored before, and which do not. */

import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeRecord } from "../../../src/queue/redis/record.ts";
import type { Reading } from "../../../src/reading.ts";
import { messageOf, readingOf } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

/** A device's way: one reading a second, ending `endsAgo` seconds ago. */
function wayOf(device: string, readings: number, endsAgo = 0): Reading[] {
  const end = Date.now() - endsAgo * 1000;
  return Array.from({ length: readings }, (_, i) =>
    readingOf(device, 0, { fixTime: end - (readings - 1 - i) * 1000, latitude: 32 + i / 1e4 }),
  );
}

const reported = ({ stored, duplicates }: { stored: number; duplicates: number }) => ({ stored, duplicates });

describe("a duplicate", () => {
  it("is the same message sent again", async () => {
    const store = stores.open();
    const readings = [readingOf("a", 1), readingOf("b", 2)];
    expect(reported(await store.add(readings))).toEqual({ stored: 2, duplicates: 0 });
    expect(reported(await store.add(readings))).toEqual({ stored: 0, duplicates: 2 });
    expect(await store.account()).toMatchObject({
      messages: 2,
      readings: 4,
      duplicates: 2,
      stored: 2,
      waiting: 2,
    });
    expect(await store.mismatches()).toEqual([]);
  });

  it("is the same fix in another message, and twice in one message", async () => {
    const store = stores.open();
    const [first, second] = [readingOf("a", 2), readingOf("a", 1)];
    expect(reported(await store.add([first, second, first]))).toEqual({ stored: 2, duplicates: 1 });
    expect(reported(await store.add([second, readingOf("a", 0)]))).toEqual({ stored: 1, duplicates: 1 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("is any of a device's last 44 fixes, in any order", async () => {
    const store = stores.open();
    const way = wayOf("a", 60);
    for (const reading of way) await store.add([reading]);
    for (const reading of way.slice(-44).reverse()) {
      expect(reported(await store.add([reading]))).toEqual({ stored: 0, duplicates: 1 });
    }
    expect(await store.account()).toMatchObject({ readings: 104, stored: 60, duplicates: 44 });
  });

  it("is recognised in other bytes as long as the fixes are among the last 44", async () => {
    const store = stores.open();
    const way = wayOf("a", 40);
    const entry = messageOf(way, "vans", Buffer.from("one body"));
    expect(reported(await store.store.add(entry))).toEqual({ stored: 40, duplicates: 0 });
    expect(reported(await store.store.add(messageOf(way, "vans", Buffer.from("another body"))))).toEqual({
      stored: 0,
      duplicates: 40,
    });
  });

  it("is every reading of a resent body, however many of one device it holds", async () => {
    const store = stores.open();
    const body = messageOf(wayOf("a", 200));
    expect(reported(await store.store.add(body))).toEqual({ stored: 200, duplicates: 0 });
    expect(reported(await store.store.add(body))).toEqual({ stored: 0, duplicates: 200 });
    expect(await store.account()).toMatchObject({ messages: 2, readings: 400, stored: 200, duplicates: 200 });
    expect(await store.mismatches()).toEqual([]);
  });
});

describe("a webhook's message without a time", () => {
  /** What was read of the same bytes now: dated by this receipt. */
  const timeless = (body: string, change: Partial<Reading> = {}, readings = 1) => {
    const now = Date.now();
    const all = Array.from({ length: readings }, (_, i) =>
      readingOf(`d${i}`, 0, { fixTime: now, receivedAt: now, ...change }),
    );
    return { ...messageOf(all, "vans", Buffer.from(body)), timeless: true as const };
  };

  it("is a duplicate when it comes again later, from the first reading on", async () => {
    const store = stores.open();
    expect(reported(await store.store.add(timeless("here", {}, 3)))).toEqual({ stored: 3, duplicates: 0 });
    await pause(5);
    expect(reported(await store.store.add(timeless("here", {}, 3)))).toEqual({ stored: 0, duplicates: 3 });
    expect(reported(await store.store.add(timeless("here, and more", {}, 3)))).toEqual({
      stored: 3,
      duplicates: 0,
    });
    expect(await store.mismatches()).toEqual([]);
  });

  it("is none when what it says stands beside the body", async () => {
    const store = stores.open();
    const at = (change: Partial<Reading>) => store.store.add(timeless("", change));
    expect(reported(await at({}))).toEqual({ stored: 1, duplicates: 0 });
    for (const change of [{ latitude: 33 }, { longitude: -97 }, { deviceId: "e" }, { speedMps: 0 }]) {
      await pause(5);
      expect(reported(await at(change)), JSON.stringify(change)).toEqual({ stored: 1, duplicates: 0 });
    }
    await pause(5);
    expect(reported(await at({}))).toEqual({ stored: 0, duplicates: 1 });
  });

  it("counts anew after ten minutes, however often it came meanwhile", async () => {
    const store = stores.open();
    await store.store.add(timeless("here"));
    const [print = ""] = await store.db.keys(`${store.keyPrefix.replace(/[{}]/g, "?")}:body:*`);
    await store.db.expire(print, 100);
    await pause(5);
    await store.store.add(timeless("here"));
    expect(await store.db.ttl(print)).toBeLessThanOrEqual(100);
    await store.db.del(print);
    expect(reported(await store.store.add(timeless("here")))).toEqual({ stored: 1, duplicates: 0 });
    expect(await store.db.ttl(print)).toBeGreaterThan(590);
  });

  it("another source's is its own", async () => {
    const store = stores.open({ moreSources: { trucks: {} } });
    await store.store.add(timeless("here"));
    await pause(5);
    const other = { ...timeless("here"), source: "trucks" };
    expect(reported(await store.store.add(other))).toEqual({ stored: 1, duplicates: 0 });
  });
});

describe("no duplicate", () => {
  it("is a late fix", async () => {
    const store = stores.open();
    await store.add([readingOf("a", 1)]);
    expect(reported(await store.add([readingOf("a", 300)]))).toEqual({ stored: 1, duplicates: 0 });
  });

  it("is the same device and time under another source", async () => {
    const store = stores.open({ moreSources: { trucks: {} } });
    const reading = readingOf("a", 1);
    await store.add([reading], "vans");
    expect(reported(await store.add([reading], "trucks"))).toEqual({ stored: 1, duplicates: 0 });
    expect(await store.mismatches()).toEqual([]);
  });

  it("is a long body that another source has sent as well", async () => {
    const store = stores.open({ moreSources: { trucks: {} } });
    const way = wayOf("a", 50);
    await store.store.add(messageOf(way, "vans"));
    expect(reported(await store.store.add(messageOf(way, "trucks")))).toEqual({ stored: 50, duplicates: 0 });
    expect(await store.mismatches()).toEqual([]);
  });
});

describe("a message too long for one piece", () => {
  it("loses no reading when its pieces shift between two attempts", async () => {
    const store = stores.open();
    const way = wayOf("a", 2500);
    const body = Buffer.from("one body");
    // The first attempt reached only its first piece.
    await store.store.add(messageOf(way.slice(0, 2000), "vans", body));
    // Meanwhile the first hundred have grown too old: reading 2,000 is in the first piece now.
    const verdict = await store.store.add(messageOf(way.slice(100), "vans", body));
    expect(verdict.stored).toBeGreaterThanOrEqual(500);
    const newest = await store.db.lrange(`${store.keyPrefix}:backlog:acme|0|vans`, 2000, -1);
    const fixTimes = new Set(newest.map((record) => decodeRecord(record).reading.fixTime));
    expect(way.slice(2000).every(({ fixTime }) => fixTimes.has(fixTime))).toBe(true);
    expect(await store.mismatches()).toEqual([]);
  });
});

describe("a fix at the same time in another place", () => {
  it("is counted as conflicting, and the first wins", async () => {
    const store = stores.open();
    const first = readingOf("a", 1);
    await store.add([first]);
    const verdict = await store.add([{ ...first, latitude: 32.79 }]);
    expect(reported(verdict)).toEqual({ stored: 0, duplicates: 1 });
    expect((await store.status()).sources[0]?.conflictingFixes).toBe(1);
    const { records } = await store.batch();
    expect(records.map(({ reading }) => reading.latitude)).toEqual([first.latitude]);
    expect(await store.mismatches()).toEqual([]);
  });
});

describe("what is remembered of a device", () => {
  it("takes at most 300 bytes of Redis", async () => {
    const store = stores.open();
    const devices = 1000;
    for (let fix = 0; fix < 60; fix++) {
      await store.add(
        Array.from({ length: devices }, (_, i) => readingOf(`35823905${1_000_000 + i}`, 60 - fix)),
      );
    }
    const key = `${store.keyPrefix}:fp:vans`;
    expect(await store.db.hlen(key)).toBe(devices);
    const bytes = Number(await store.db.memory("USAGE", key, "SAMPLES", 0)) / devices;
    console.log(`fingerprints: ${bytes.toFixed(1)} bytes per device`);
    expect(bytes).toBeLessThanOrEqual(300);
  });
});
