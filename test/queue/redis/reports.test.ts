/** What each process knows reaches the others: while it lives, after Redis was away, and within bounds. */

import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { connectRedis } from "../../../src/queue/redis/redis.ts";
import { createReports, type OwnReport } from "../../../src/queue/redis/reports.ts";
import type { IncidentState } from "../../../src/status/process.ts";
import { until } from "../../support/wait.ts";

const INDEX = "{waypost-processes}:reports:1";
const KEYS = "{waypost-processes}:report:1:*";

let server: PrivateRedis;
let db: Redis;
const cleanups: (() => void)[] = [];

beforeEach(async () => {
  server = await startPrivateRedis();
  db = new Redis(server.url);
  db.on("error", () => {});
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  db.disconnect();
  await server.stop();
});

const AT = "2026-11-29T12:00:00.000Z";

function incident(where: string, name = "van-41"): IncidentState {
  const times = { since: AT, lastAt: AT };
  const cause = { name, ...times, until: AT, count: 3, facts: { why: "wrong_password" } };
  return { kind: "device_login_refused", where, ...times, count: 3, subjects: [cause] };
}

function start(...places: string[]) {
  const known: OwnReport & { incidents: IncidentState[] } = {
    ...{ brokers: [], pollers: [], clocks: [], mapping: null, spool: null },
    incidents: places.map((place) => incident(place)),
  };
  const redis = connectRedis({ url: server.url, commandTimeoutMs: 2000 }, "ingest");
  redis.on("error", () => {});
  const reports = createReports(redis, "waypost", { own: () => known });
  cleanups.push(() => redis.disconnect(), reports.stop);
  const placesOf = async () =>
    (await reports.others()).flatMap((report) => report.incidents.map(({ where }) => where)).sort();
  return { reports, redis, known, others: placesOf };
}

const sees = (process: ReturnType<typeof start>, ...places: string[]) =>
  until(async () => JSON.stringify(await process.others()) === JSON.stringify(places), {
    what: `the others to know ${places.join(", ") || "nothing"}`,
  });

const calls = async (command: string) =>
  Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await db.info("commandstats"))?.[1] ?? 0);

it("each sees what the others know, and what changes there, but not its own", async () => {
  const [one, two] = [start("source a"), start("source b")];
  await sees(one, "source b");
  await sees(two, "source a");
  const [report] = await one.reports.others();
  expect(report?.incidents).toEqual([incident("source b")]);
  expect(Date.now() - (report?.at ?? 0)).toBeLessThan(60_000);
  two.known.incidents = [];
  await sees(one);
  const mapping = { file: "fleet.csv", sinceMs: 1, problems: ["line 7: device is missing"], rowsReadAtMs: 0 };
  Object.assign(two.known, { mapping });
  await until(async () => (await one.reports.others())[0]?.mapping?.sinceMs === 1, { what: "the mapping" });
});

it("what a process knew is gone at once where it stops, and 15 s after it was killed", async () => {
  const [one, stopped, killed] = [start("source a"), start("source b"), start("source c")];
  await sees(one, "source b", "source c");
  stopped.reports.stop();
  await sees(one, "source c");
  killed.redis.disconnect();
  expect(await one.others()).toEqual(["source c"]);
  for (const key of await db.keys(KEYS)) {
    const left = await db.pttl(key);
    expect(left).toBeGreaterThan(3000);
    expect(left).toBeLessThanOrEqual(15_000);
  }
  // As if 15 s had passed; who lives writes again.
  const names = await db.zrange(INDEX, "0", "-1");
  for (const name of names) await db.zincrby(INDEX, -15_000, name);
  for (const key of await db.keys(KEYS)) await db.pexpire(key, 1);
  one.known.incidents = [incident("source d")];
  await sees(one);
  await until(async () => (await db.zcard(INDEX)) === 1, { what: "the killed process to be forgotten" });
  const later = start();
  await sees(later, "source d");
});

it("Redis away costs the answer little time, and all is told again when it is back, though it was emptied", async () => {
  const [one, two] = [start("source a"), start("source b")];
  await sees(one, "source b");
  server.kill("SIGSTOP");
  const startedAt = performance.now();
  for (let i = 0; i < 3; i++) await one.others();
  expect(performance.now() - startedAt).toBeLessThan(2000);
  expect(await one.others()).toEqual(["source b"]);
  server.kill("SIGCONT");
  server.kill("SIGKILL");
  await server.restart();
  await db.ping();
  await db.flushall();
  two.known.incidents = [incident("source c")];
  await sees(one, "source c");
  await sees(two, "source a");
});

it("Redis is asked and told at most once a second, however many ask", async () => {
  const [one, two] = [start("source a"), start("source b")];
  await sees(one, "source b");
  const [asked, told] = [await calls("mget"), await calls("evalsha")];
  const startedAt = performance.now();
  await until(
    async () => {
      two.known.incidents = [incident(`source ${Math.random()}`)];
      await Promise.all(Array.from({ length: 100 }, () => one.others()));
      return performance.now() - startedAt > 1500;
    },
    { what: "a second and a half" },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  expect((await calls("mget")) - asked).toBeLessThanOrEqual(1 + seconds);
  expect((await calls("evalsha")) - told).toBeLessThanOrEqual(2 * (1 + seconds));
});

it("a report has bounds, and one that cannot be read is left out", async () => {
  const one = start("source a");
  const two = start();
  two.known.incidents = Array.from({ length: 2000 }, (_, i) => incident(`source ${i}`, "ü".repeat(100)));
  Object.assign(two.known, {
    mapping: { file: "f", sinceMs: 1, problems: Array(5000).fill("line 7: is wrong"), rowsReadAtMs: 0 },
  });
  await until(async () => (await one.others()).length > 10, { what: "part of the report" });
  for (const key of await db.keys(KEYS)) expect(await db.strlen(key)).toBeLessThan(65_000);
  await db.zadd(INDEX, Date.now(), "other");
  await db.zadd(INDEX, Date.now(), "broken");
  await db.set("{waypost-processes}:report:1:other", '{"process": "other"}', "PX", 15_000);
  await db.set("{waypost-processes}:report:1:broken", '{"process": "bro', "PX", 15_000);
  two.known.incidents = [incident("source b")];
  await sees(one, "source b");
});
