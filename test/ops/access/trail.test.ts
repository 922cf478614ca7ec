/** The trail and ended sessions on a real Redis: bounded, shared, and not in the way while Redis is gone. */

import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { createEndings } from "../../../src/ops/access/endings.ts";
import { createTrail } from "../../../src/ops/access/trail.ts";
import { createTrailStore } from "../../../src/queue/ledger/trail.ts";
import { createEndedSessions } from "../../../src/queue/redis/ended-sessions.ts";
import { connectRedis } from "../../../src/queue/redis/redis.ts";
import type { OperatorEvent } from "../../../src/status/operators.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: 60_000 });

let server: PrivateRedis;
let db: Redis;
const open: { disconnect(): void }[] = [];

beforeAll(async () => {
  server = await startPrivateRedis();
  db = new Redis(server.url);
});
beforeEach(() => db.flushall());
afterEach(() => {
  for (const each of open.splice(0)) each.disconnect();
});
afterAll(async () => {
  db.disconnect();
  await server.stop();
});

async function connected(): Promise<Redis> {
  const redis = connectRedis({ url: server.url, commandTimeoutMs: 2000 }, "ingest");
  redis.on("error", () => undefined);
  open.push(redis);
  await until(() => redis.status === "ready", { what: "Redis" });
  return redis;
}

async function gone(redis: Redis): Promise<void> {
  redis.disconnect();
  await until(() => redis.status === "end", { what: "the connection to end" });
}

function trailOn(redis: Redis) {
  const acted: OperatorEvent[] = [];
  const failures: string[] = [];
  const trail = createTrail({
    store: createTrailStore(redis, "p"),
    events: { operatorActed: (event) => acted.push(event), failed: ({ where }) => failures.push(where) },
  });
  return { trail, acted, failures };
}

const redriven = (unit: string): OperatorEvent => ({
  action: "redrive",
  by: "boss",
  from: "10.0.0.7",
  filter: { unit },
  count: 1,
  outcome: "done",
});

describe("the trail", () => {
  it("is the same for all, the latest first, and of one token where that is asked", async () => {
    const one = trailOn(await connected());
    const other = trailOn(await connected());
    for (const unit of ["7", "8"]) one.trail.record(redriven(unit));
    one.trail.record({ ...redriven("9"), by: "desk" });
    const entries = await until(
      async () => {
        const found = await other.trail.latest(10, null);
        return found.length === 3 ? found : null;
      },
      { what: "three entries" },
    );
    expect(entries.map(({ by, filter }) => `${by} ${filter.unit}`)).toEqual(["desk 9", "boss 8", "boss 7"]);
    expect(entries[0]).toEqual({ ...redriven("9"), by: "desk", at: expect.stringMatching(/Z$/) });
    expect(await other.trail.latest(10, "desk")).toHaveLength(1);
    expect(await other.trail.latest(1, "boss")).toMatchObject([{ filter: { unit: "8" } }]);
    expect(one.acted).toHaveLength(3);
  });

  it("keeps the last ten thousand, and failed logins push none of them out", async () => {
    const { trail } = trailOn(await connected());
    const pipeline = db.pipeline();
    for (let i = 0; i < 10_050; i++) pipeline.xadd("p:trail:operators", "*", "e", JSON.stringify({ i }));
    for (let i = 0; i < 1050; i++) pipeline.xadd("p:trail:unauthenticated", "*", "e", JSON.stringify({ i }));
    await pipeline.exec();
    trail.record(redriven("7"));
    trail.loginFailed("203.0.113.7");
    await until(async () => (await db.xlen("p:trail:unauthenticated")) === 1000, { what: "1,000 guesses" });
    await until(async () => (await db.xlen("p:trail:operators")) === 10_000, { what: "10,000 entries" });
    const [, fields] = (await db.xrevrange("p:trail:operators", "+", "-", "COUNT", 1))[0] ?? [];
    expect(fields?.[1]).toContain('"redrive"');
    trail.stop();
  });

  it("forgets after ninety days", async () => {
    const { trail } = trailOn(await connected());
    const old = Date.now() - 91 * 86_400_000;
    await db.xadd("p:trail:operators", `${old}-0`, "e", JSON.stringify(redriven("old")));
    expect(await trail.latest(10, null)).toEqual([]);
    trail.record(redriven("7"));
    await until(async () => (await trail.latest(10, null)).length === 1, { what: "the new one" });
    expect(await db.xlen("p:trail:operators")).toBe(1);
  });

  it("makes of a flood of guesses a few entries that count them all", async () => {
    const { trail, acted } = trailOn(await connected());
    for (let i = 0; i < 20_000; i++) trail.loginFailed(`203.0.${i % 50}.7`);
    expect(acted).toHaveLength(10);
    trail.stop();
    expect(acted).toHaveLength(21);
    expect(acted.reduce((sum, { count }) => sum + (count ?? 0), 0)).toBe(20_000);
    expect(acted.at(-1)).toMatchObject({ action: "login_failed", by: null, from: null, count: 16_000 });
    await until(async () => (await db.xlen("p:trail:unauthenticated")) === 21, { what: "21 entries" });
  });

  it("cuts what an asker wrote", async () => {
    const { trail, acted } = trailOn(await connected());
    trail.record(redriven("x".repeat(100_000)));
    expect(acted[0]?.filter.unit).toHaveLength(200);
  });

  it("writes down how it ended, also when it fails, and hands the failure on", async () => {
    const { trail, acted } = trailOn(await connected());
    const { count: _, outcome: __, ...deed } = redriven("7");
    await trail.during(
      deed,
      async () => [1, 2, 3],
      ({ length }) => length,
    );
    const fault = new Error("Redis went away");
    await expect(
      trail.during(
        deed,
        () => Promise.reject(fault),
        () => 0,
      ),
    ).rejects.toBe(fault);
    expect(acted).toMatchObject([
      { count: 3, outcome: "done" },
      { count: null, outcome: "failed" },
    ]);
  });

  it("is logged and waits while Redis is away, and blocks no action", async () => {
    const redis = await connected();
    const { trail, acted, failures } = trailOn(redis);
    await gone(redis);
    for (let i = 0; i < 600; i++) trail.record(redriven(String(i)));
    expect(acted).toHaveLength(600);
    await until(() => failures.length === 100, { what: "what is beyond the bound to be given up" });
    await expect(trail.latest(10, null)).rejects.toThrow();
    await redis.connect();
    await until(async () => (await db.xlen("p:trail:operators")) === 500, { what: "the rest to be written" });
    expect(failures).toEqual(Array(100).fill("trail"));
  });
});

describe("ended sessions", () => {
  const session = (id: string) => ({
    id,
    token: { name: "boss", token: "x", role: "operate", destinations: null } as const,
    endsAtMs: Date.now() + 60_000,
  });
  const endingsOn = (redis: Redis) => createEndings(createEndedSessions(redis, "p"), Date.now);

  it("are ended in every process, for as long as they would have lasted", async () => {
    const [here, there] = [endingsOn(await connected()), endingsOn(await connected())];
    expect(await there.isEnded(session("a"))).toBe(false);
    here.end(session("a"));
    expect(await here.isEnded(session("a"))).toBe(true);
    await until(() => there.isEnded(session("a")), { what: "the other process to know" });
    expect(await there.isEnded(session("b"))).toBe(false);
    const [key = ""] = await db.keys("*");
    const left = await db.pttl(key);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(60_000);
  });

  it("are ended here at once while Redis is away, and everywhere when it is back", async () => {
    const redis = await connected();
    const [here, there] = [endingsOn(redis), endingsOn(await connected())];
    await gone(redis);
    here.end(session("a"));
    expect(await here.isEnded(session("a"))).toBe(true);
    // Whoever is logged in can look at the page, which says that Redis does not answer.
    expect(await here.isEnded(session("b"))).toBe(false);
    expect(await there.isEnded(session("a"))).toBe(false);
    await redis.connect();
    await until(() => there.isEnded(session("a")), { what: "the other process to know" });
    // What was known stays known without Redis.
    await db.flushall();
    expect(await there.isEnded(session("a"))).toBe(true);
  });

  it("do not hold up the page while Redis hangs", async () => {
    const endings = createEndings(
      { end: async () => undefined, isEnded: () => new Promise(() => undefined) },
      Date.now,
    );
    // The first waits for half a second; those after it do not wait at all.
    expect(await endings.isEnded(session("a"))).toBe(false);
    const before = performance.now();
    expect(await endings.isEnded(session("a"))).toBe(false);
    expect(performance.now() - before).toBeLessThan(450);
  });
});
