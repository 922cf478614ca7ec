/** What is known of a source's last minutes: written with its counters, in Redis, and read back by the minute. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { countsOfLast, nextPulse, type Pulse } from "../../../src/queue/lookup/pulse.ts";
import { messageOf, readingOf } from "../../support/queue.ts";
import { type Store, startStores } from "../../support/store.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const MINUTE = 60_000;
const nowMinute = () => Math.floor(Date.now() / MINUTE);
/** As if the last step of the source had been so many minutes ago: what follows opens a new minute. */
async function age({ db, keyPrefix: p }: Store, minutes: number, source = "vans"): Promise<void> {
  const key = `${p}:pulse:${source}`;
  const { minute, goodAt } = await db.hgetall(key);
  await db.hset(key, "minute", Number(minute) - minutes);
  if (goodAt) await db.hset(key, "goodAt", Number(goodAt) - minutes * MINUTE);
}
async function pulseOf(store: Store, source = "vans") {
  const found = (await store.status()).sources.find(({ name }) => name === source);
  if (!found) throw new Error("no such source");
  return found.pulse;
}
/** A message of which everything was rejected. */
function rejected(store: Store, n = 1) {
  return store.store.add({
    ...messageOf([]),
    kind: "decoded",
    rawReadings: n,
    readings: [],
    rejections: new Map([["no_fix", n]]),
  } as never);
}
async function refused(store: Store, n: number): Promise<void> {
  for (let i = 0; i < n; i++) store.store.refuse("vans", "unauthenticated");
  await store.store.drain();
}

describe("the last minutes", () => {
  it("are counted apart, and add up to what was counted in all", async () => {
    const store = stores.open();
    await store.add([readingOf("a", 3), readingOf("b", 2)]);
    await age(store, 20);
    await store.add([readingOf("a", 1)]);
    await age(store, 7);
    await rejected(store, 2);
    const { last5Min, last15Min, last60Min } = await pulseOf(store);
    expect(last5Min).toMatchObject({ messages: 1, rejected: 2, "rejected:no_fix": 2 });
    expect(last5Min.stored).toBeUndefined();
    expect(last15Min).toMatchObject({ messages: 2, stored: 1, rejected: 2 });
    expect(last60Min).toMatchObject({ messages: 3, stored: 3, readings: 5, rejected: 2 });
  });

  it("take at most 60 entries, and go by themselves", async () => {
    const store = stores.open();
    const key = `${store.keyPrefix}:minutes:vans`;
    for (let i = 0; i < 65; i++) {
      await store.add([readingOf("a", 200 - i)]);
      await age(store, 1);
    }
    expect(await store.db.llen(key)).toBe(60);
    expect(await store.db.pttl(key)).toBeGreaterThan(3_600_000);
    expect(await store.db.memory("USAGE", key)).toBeLessThan(8000);
  });

  it("are read by a caller that knows the closed ones already", async () => {
    const store = stores.open();
    await store.add([readingOf("a", 3)]);
    await age(store, 3);
    await store.add([readingOf("a", 2)]);
    expect((await pulseOf(store)).last5Min.messages).toBe(2);
    await store.add([readingOf("a", 1)]);
    expect((await pulseOf(store)).last5Min.messages).toBe(3);
  });

  it("forget what a redrive took back", () => {
    const pulse: Pulse = {
      totals: { malformed: 1 },
      open: { minute: nowMinute(), base: { malformed: 3 } },
      closed: [],
      facts: {},
    };
    expect(countsOfLast(5, [pulse], Date.now())).toEqual({});
  });

  it("leave out what a scope has not counted since", () => {
    const counted = {
      name: "vans",
      held: 0,
      unmapped: 0,
      waiting: 0,
      inFlight: 0,
      minutes: ["9:messages,4"],
    };
    const first = nextPulse(undefined, {
      ...counted,
      counters: ["messages", "10"],
      pulse: ["minute", "10", "base", "messages,7"],
    });
    expect(countsOfLast(5, [first], 11 * MINUTE)).toEqual({ messages: 7 });
    const next = nextPulse(first, {
      ...counted,
      counters: ["messages", "12"],
      pulse: ["goodAt", "1"],
      minutes: [],
    });
    expect(countsOfLast(5, [next], 12 * MINUTE)).toEqual({ messages: 9 });
    expect(countsOfLast(5, [next], 60 * MINUTE)).toEqual({});
  });
});

describe("a row of bad ones", () => {
  it("of refused messages grows until a good one comes", async () => {
    const store = stores.open();
    await store.add([readingOf("a", 3)]);
    expect((await pulseOf(store)).refusals).toBeNull();
    await refused(store, 2);
    const since = (await pulseOf(store)).refusals?.since;
    await refused(store, 1);
    expect((await pulseOf(store)).refusals).toMatchObject({ run: 3, since });
    await store.add([readingOf("a", 2)]);
    const { refusals, last5Min } = await pulseOf(store);
    expect(refusals).toMatchObject({ run: 0 });
    expect(refusals?.share).toBeGreaterThan(0.2);
    expect(last5Min).toMatchObject({ messages: 5, refused: 3, "refused:unauthenticated": 3 });
  });

  it("of rejected readings grows likewise, and a filter's own are not among them", async () => {
    const store = stores.open({ source: { minIntervalMs: 60_000 } });
    await rejected(store, 3);
    expect((await pulseOf(store)).rejections).toMatchObject({ run: 3 });
    await store.add([readingOf("a", 3)]);
    expect((await pulseOf(store)).rejections).toMatchObject({ run: 0 });
    for (let i = 0; i < 4; i++) await store.add([readingOf("a", 2 - i / 10)]);
    expect(await pulseOf(store)).toMatchObject({
      rejections: { run: 0 },
      last5Min: { "rejected:thinned": 4 },
    });
  });

  it("is not one where good readings go to another scope", async () => {
    const store = stores.open({
      more: { beta: { otherScope: true } },
      mapping: (_, device) => [
        { destination: "beta", unit: { unitId: device, unitName: device, technician: null } },
      ],
    });
    await rejected(store, 3);
    expect((await pulseOf(store)).rejections).toMatchObject({ run: 3 });
    await store.add([readingOf("a", 1)]);
    expect((await pulseOf(store)).rejections).toMatchObject({ run: 0 });
  });
});

describe("the usual pause and hours", () => {
  it("are learned from messages that are not refused", async () => {
    const store = stores.open();
    for (let i = 0; i < 12; i++) {
      await store.add([readingOf("a", 100 - i)]);
      await age(store, 10);
      await refused(store, 1);
    }
    const { usualGapMs, silentFrom, lastGoodAt } = await pulseOf(store);
    expect(usualGapMs).toBe(16 * MINUTE);
    expect(Date.parse(silentFrom ?? "") - Date.parse(lastGoodAt ?? "")).toBe(80 * MINUTE);
  });

  it("know a night: silent hours between two messages", async () => {
    const store = stores.open();
    for (let i = 0; i < 6; i++) await store.add([readingOf("a", 100 - i)]);
    await age(store, 13 * 60);
    await store.add([readingOf("a", 1)]);
    const hours = String(await store.db.hget(`${store.keyPrefix}:pulse:vans`, "hours"));
    expect(hours).toHaveLength(168);
    expect([...hours].filter((level) => level === "0")).toHaveLength(12);
    expect([...hours].filter((level) => level === "3")).toHaveLength(1);
  });

  it("change their mind after two weeks, not after one", async () => {
    const store = stores.open();
    const level = async () =>
      String(await store.db.hget(`${store.keyPrefix}:pulse:vans`, "hours"))[hour % 168];
    const WEEK = 7 * 24 * 60;
    await store.add([readingOf("a", 9)]);
    const hour = Math.floor(Date.now() / 3_600_000);
    await age(store, WEEK);
    await store.add([readingOf("a", 8)]);
    expect(await level()).toBe("3");
    // A holiday: that hour of the week passes without a message.
    const key = `${store.keyPrefix}:pulse:vans`;
    await store.db.hset(key, "goodAt", Date.now() - (WEEK - 60) * MINUTE);
    await store.db.hset(key, "hours", `${"0".repeat(hour % 168)}3${"0".repeat(167 - (hour % 168))}`);
    await store.db.hset(key, "goodAt", (hour - 168 + 1) * 3_600_000);
    await store.add([readingOf("a", 7)]);
    expect(await level()).toBe("3");
  });
});

describe("a question", () => {
  it("counts only scopes that have changed, and misses no change", async () => {
    const store = stores.open({ more: { beta: { otherScope: true } } });
    await store.add([readingOf("a", 3)]);
    const calls = async () => {
      const text = await store.db.info("commandstats");
      return Number(/cmdstat_xlen:calls=(\d+)/.exec(text)?.[1] ?? 0);
    };
    await store.status();
    const before = await calls();
    await store.status();
    expect(await calls()).toBe(before);
    await store.add([readingOf("a", 2)]);
    expect((await store.account()).waiting).toBe(2);
    await store.batch();
    expect(await store.account()).toMatchObject({ waiting: 0, inFlight: 2 });
    await refused(store, 1);
    expect((await store.account()).refused).toBe(1);
  });
});
