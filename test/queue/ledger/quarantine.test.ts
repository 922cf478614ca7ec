/** One sender's junk in the quarantine uses the budget of that sender, and of no other. */

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createRedrive } from "../../../src/queue/ledger/redrive.ts";
import { startSweep } from "../../../src/queue/upkeep/sweep.ts";
import { type Store, startStores } from "../../support/store.ts";
import { until } from "../../support/wait.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
beforeAll(async () => {
  stores = await startStores();
});
afterAll(() => stores.close());

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const end of cleanups.splice(0)) end();
});

const BUDGET = 100_000;
const open = (quarantineBytes = BUDGET) =>
  stores.open({ quarantineBytes, moreSources: { trucks: {}, cars: {} } });

interface Sent {
  source?: string;
  topic?: string;
  login?: string;
  bytes?: number;
}

async function malformed(
  store: Store,
  { source = "vans", topic, login, bytes = 500 }: Sent = {},
): Promise<void> {
  const receivedAt = Date.now();
  const way = topic === undefined ? { method: "POST" as const } : { topic };
  await store.store.add({
    kind: "malformed",
    source,
    receivedAt,
    reason: "malformed",
    problems: ["no list"],
    message: {
      ...way,
      ...(login && { login }),
      retained: false,
      headers: {},
      query: {},
      receivedAt,
      body: Buffer.alloc(bytes, "x"),
    },
  });
}

async function flood(store: Store, n: number, sent: (i: number) => Sent): Promise<void> {
  await Promise.all(Array.from({ length: n }, (_, i) => malformed(store, sent(i))));
}

interface Entry {
  id: string;
  source: string;
  share: string;
  n: number;
}

async function entriesOf({ db, keyPrefix: scope }: Store): Promise<Entry[]> {
  const entries = await db.xrange(`${scope}:quarantine`, "-", "+");
  return entries.map(([id, fields]) => {
    const field = (name: string) => {
      const at = fields.findIndex((each, i) => i % 2 === 0 && each === name);
      return at < 0 ? "" : (fields[at + 1] ?? "");
    };
    return { id, source: field("source"), share: field("share"), n: Number(field("n")) };
  });
}

/** Every sum of the tree, and the totals, worked out again from the entries themselves. */
async function expectRightSums(store: Store): Promise<void> {
  const { db, keyPrefix: scope } = store;
  const entries = await entriesOf(store);
  const wanted = new Map<string, number>();
  for (const { id, share, n } of entries) {
    const levels = [...share.split("/"), "/"];
    levels.forEach((level, i) => {
      const node = `share:${levels
        .slice(0, i)
        .map((each) => `/${each}`)
        .join("")}`;
      const key = `${node} ${level}`;
      wanted.set(key, (wanted.get(key) ?? 0) + n);
    });
    wanted.set(`share:/${share}// ${id}:${n}`, Number(id.split("-")[0]));
  }
  const found = new Map<string, number>();
  for (const key of await db.keys(`${scope}:share:*`)) {
    const pairs = await db.zrange(key, "0", "-1", "WITHSCORES");
    for (let i = 0; i < pairs.length; i += 2)
      found.set(`${key.slice(scope.length + 1)} ${pairs[i]}`, Number(pairs[i + 1]));
  }
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(wanted));
  const total = entries.reduce((sum, { n }) => sum + n, 0);
  const sizes = await db.hgetall(`${scope}:sizes`);
  expect(Number(sizes.quarantine)).toBe(total);
  expect(Number(sizes["quarantine:shares"])).toBe(total);
}

const countOf = async (store: Store, is: (entry: Entry) => boolean) =>
  (await entriesOf(store)).filter(is).length;

describe("a full quarantine", () => {
  it("takes the room from the source that floods it", async () => {
    const store = open();
    await flood(store, 20, () => ({ source: "trucks" }));
    await flood(store, 1000, () => ({ source: "vans" }));
    expect(await countOf(store, ({ source }) => source === "trucks")).toBe(20);
    expect(await countOf(store, ({ source }) => source === "vans")).toBeGreaterThan(20);
    expect((await store.status()).quarantine.bytes).toBeLessThanOrEqual(BUDGET);
    expect(store.quarantineTrimmed() + (await entriesOf(store)).length).toBe(1020);
    await expectRightSums(store);
  });

  it("takes the room from the login that floods it, whatever topics it makes up", async () => {
    const store = open();
    await flood(store, 20, (i) => ({ login: "van-2", topic: `van-2/pos/${i % 3}` }));
    await flood(store, 10, () => ({ login: "office/roof" }));
    await flood(store, 1000, (i) => ({ login: "van-1", topic: `van-1/made/up/${i}` }));
    expect(await countOf(store, ({ share }) => share.startsWith("vans/van-2/"))).toBe(20);
    expect(await countOf(store, ({ share }) => share === "vans/office_roof")).toBe(10);
    await expectRightSums(store);
  });

  it("gives three sources that flood it a third each", async () => {
    const store = open();
    await flood(store, 300, () => ({ source: "vans" }));
    await flood(store, 600, (i) => ({ source: i % 2 === 0 ? "trucks" : "cars" }));
    const entries = await entriesOf(store);
    for (const each of ["vans", "trucks", "cars"]) {
      const held = entries.filter(({ source }) => source === each).reduce((sum, { n }) => sum + n, 0);
      expect(held).toBeGreaterThan(BUDGET / 3 - 2000);
      expect(held).toBeLessThan(BUDGET / 3 + 2000);
    }
  });

  it("takes the oldest of that source, in the order they came", async () => {
    const store = open();
    for (let i = 0; i < 300; i++) await malformed(store, { bytes: 400 + i });
    const left = await entriesOf(store);
    expect(left.at(-1)?.n).toBe(Math.max(...left.map(({ n }) => n)));
    expect(left.map(({ n }) => n)).toEqual(left.map((_, i) => (left[0]?.n ?? 0) + i));
  });

  it.each([
    { what: "its own topic", honest: "owntracks/ben/phone", junk: () => "owntracks/ana/phone" },
    {
      what: "topics it makes up below its own",
      honest: "owntracks/ben/phone",
      junk: (i: number) => `owntracks/ana/${i}`,
    },
    { what: "deep topics it makes up", honest: "ben", junk: (i: number) => `ana/a/b/c/d/e/f/g/${i}/h` },
    { what: "empty levels", honest: "/ben/up", junk: (i: number) => `/ana${"/".repeat(i % 30)}x` },
    {
      what: "its place far down the topic",
      honest: "application/1/device/0011223344556677/event/up",
      junk: () => "application/1/device/8899aabbccddeeff/event/up",
    },
    {
      what: "levels of any length",
      honest: "ben/up",
      junk: (i: number) => `ana/${"é".repeat(60)}😀${"y".repeat(i)}`,
    },
    {
      what: "a topic that looks like the tree's own names",
      honest: "ben",
      junk: (i: number) => `ana/:${i}:/ana`,
    },
  ])("takes the room from the device that floods it by $what", async ({ honest, junk }) => {
    const store = open();
    await flood(store, 15, () => ({ topic: honest }));
    await flood(store, 600, (i) => ({ topic: junk(i) }));
    expect(
      await countOf(store, ({ share }) => share.includes("ana") || share.includes("8899")),
    ).toBeGreaterThan(15);
    expect(await countOf(store, ({ share }) => !share.includes("ana") && !share.includes("8899"))).toBe(15);
    await expectRightSums(store);
  });

  it("lets large messages under ever new topics push out only each other", async () => {
    const store = open();
    for (const device of ["ben", "cleo", "dora", "emil", "fritz", "gerd"])
      await flood(store, 10, () => ({ topic: `${device}/up` }));
    const before = await countOf(store, () => true);
    for (let i = 0; i < 30; i++) await malformed(store, { topic: `ana/${i}`, bytes: 30_000 });
    expect(await countOf(store, ({ share }) => !share.includes("ana"))).toBeGreaterThanOrEqual(before - 10);
    expect(await countOf(store, ({ share }) => share.includes("ana"))).toBeGreaterThan(0);
    await expectRightSums(store);
  });

  it("is trimmed by the sweep in the same order", async () => {
    const store = open(10_000_000);
    await flood(store, 20, () => ({ source: "trucks" }));
    await flood(store, 900, (i) => ({ topic: i < 10 ? "ben/up" : `ana/${i}` }));
    sweep(store, BUDGET);
    await until(async () => (await store.status()).quarantine.bytes <= BUDGET, { what: "the trim" });
    expect(await countOf(store, ({ source }) => source === "trucks")).toBe(20);
    expect(await countOf(store, ({ share }) => share === "vans/ben/up")).toBe(10);
    await expectRightSums(store);
  });
});

describe("the sums of the shares", () => {
  it("fall to nothing with the last entry, whichever way they go", async () => {
    const store = open();
    await flood(store, 400, (i) => ({
      source: ["vans", "trucks", "cars"][i % 3] ?? "",
      topic: `t/${i % 7}`,
    }));
    const redrive = createRedrive({
      redis: store.db,
      destinations: store.destinations,
      backlogOf: () => "",
      routesOf: () => [],
      arrived: () => {},
    });
    const entries = await entriesOf(store);
    for (const { id } of entries.filter((_, i) => i % 3 === 0)) await redrive.release(store.keyPrefix, id);
    await redrive.release(store.keyPrefix, entries[0]?.id ?? "");
    expect(await countOf(store, () => true)).toBe(entries.length - Math.ceil(entries.length / 3));
    await expectRightSums(store);
    sweep(store, BUDGET, 0);
    await until(async () => (await store.status()).quarantine.count === 0, { what: "an empty quarantine" });
    await expectRightSums(store);
    expect(await store.db.keys(`${store.keyPrefix}:share:*`)).toEqual([]);
    expect(await store.mismatches()).toEqual([]);
  });
});

describe("a quarantine of an earlier version", () => {
  /** As an earlier version wrote it: without a share. */
  async function earlier({ db, keyPrefix: scope }: Store, n: number): Promise<void> {
    for (let i = 0; i < n; i++) {
      const fields = {
        source: "trucks",
        reason: "malformed",
        receivedAt: String(Date.now()),
        problems: "[]",
      };
      const more = { envelope: "{}", body: "x".repeat(500), n: "600" };
      await db.xadd(`${scope}:quarantine`, "*", ...Object.entries({ ...fields, ...more }).flat());
      await db.hincrby(`${scope}:sizes`, "quarantine", 600);
    }
  }

  it("makes room first, and then every sender pays for itself", async () => {
    const store = open();
    await earlier(store, 100);
    await flood(store, 40, () => ({ source: "cars" }));
    expect(await countOf(store, ({ source }) => source === "cars")).toBe(40);
    expect(await countOf(store, ({ share }) => share === "")).toBeGreaterThan(50);
    await flood(store, 500, () => ({ source: "vans" }));
    expect(await countOf(store, ({ source }) => source === "trucks")).toBe(0);
    expect(await countOf(store, ({ source }) => source === "cars")).toBe(40);
    expect((await store.status()).quarantine.bytes).toBeLessThanOrEqual(BUDGET);
    await expectRightSums(store);
  });

  it("may still be trimmed by a process of that version during an upgrade", async () => {
    const store = open();
    await flood(store, 60, () => ({ source: "cars" }));
    // It takes the oldest, counts the bytes, and knows nothing of shares.
    for (const { id, n } of (await entriesOf(store)).slice(0, 30)) {
      await store.db.xdel(`${store.keyPrefix}:quarantine`, id);
      await store.db.hincrby(`${store.keyPrefix}:sizes`, "quarantine", -n);
    }
    await flood(store, 400, () => ({ source: "cars" }));
    expect((await store.status()).quarantine.bytes).toBeLessThanOrEqual(BUDGET);
    await expectRightSums(store);
  });
});

function sweep({ db, destinations }: Store, bytes: number, maxAgeMs = 3_600_000): void {
  const running = startSweep({
    redis: db,
    destinations,
    budgets: [{ name: "quarantine", bytes, maxAgeMs }],
    laneNeedsBatch: () => {},
    batchSilent: () => {},
    trimmed: () => {},
    emptied: () => {},
    clockRead: () => {},
    failed: () => {},
  });
  cleanups.push(() => running.stop());
}
