/** Takes Redis away in every way there is while messages come in: what was acknowledged and what Redis kept must arrive. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { startProxy } from "../../sandbox/proxy.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { because } from "../support/because.ts";
import { BEARER, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { startMosquitto, whyNotMosquitto } from "../support/mosquitto.ts";
import { scaled } from "../support/speed.ts";
import { type SteadySenders, startSteadySenders } from "../support/steady-senders.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(180_000) });

/** From Redis's return until positions are taken, and until they arrive. */
const RESUMES_WITHIN_MS = scaled(5000);
const OUTAGE_MS = 3000;
/** What was kept before Redis was emptied may be answered a little after. */
const ANSWERED_WITHIN_MS = scaled(500);
/** With this as its age limit 0 and history delivered, everything acknowledged has to arrive. */
const EVERYTHING = { maxAgeMs: 0, backfill: "deliver", ratePerSecond: 50, maxBatchAgeMs: 100 };

let sandbox: SandboxApi;
/** Undone in reverse. */
let open: { stop(): Promise<void> }[] = [];
beforeEach(async () => {
  sandbox = await startSandboxApi({ record: "all" });
  open = [sandbox];
});
afterEach(async () => {
  for (const each of open.reverse()) await each.stop();
});

async function own<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const started = await starting;
  open.push(started);
  return started;
}

/** A connection of the test's own, for giving orders. */
async function order(port: number, ...[command = "", ...args]: string[]): Promise<void> {
  const redis = new Redis({ port, maxRetriesPerRequest: 2 });
  redis.on("error", () => {});
  try {
    await redis.call(command, args);
  } finally {
    redis.disconnect();
  }
}

interface Outage {
  name: string;
  begin(redis: PrivateRedis): void | Promise<void>;
  end(redis: PrivateRedis): void | Promise<void>;
  lastsMs: number;
}

const OUTAGES: Outage[] = [
  {
    name: "killed",
    begin: (redis) => redis.kill("SIGKILL"),
    end: (redis) => redis.restart(),
    lastsMs: 2 * OUTAGE_MS,
  },
  {
    name: "frozen",
    begin: (redis) => redis.kill("SIGSTOP"),
    end: (redis) => redis.kill("SIGCONT"),
    lastsMs: 2 * OUTAGE_MS,
  },
  {
    name: "read-only",
    // A replica of nobody keeps its data and takes no writes.
    begin: ({ port }) => order(port, "REPLICAOF", "127.0.0.1", "1"),
    end: ({ port }) => order(port, "REPLICAOF", "NO", "ONE"),
    lastsMs: OUTAGE_MS,
  },
  {
    name: "out of memory",
    begin: ({ port }) => order(port, "CONFIG", "SET", "maxmemory", "1"),
    end: ({ port }) => order(port, "CONFIG", "SET", "maxmemory", "0"),
    lastsMs: OUTAGE_MS,
  },
  { name: "emptied", begin: ({ port }) => order(port, "FLUSHALL"), end: () => {}, lastsMs: 0 },
];

function acceptedIds(): Set<string> {
  return new Set(sandbox.pings().map(({ ping }) => ping.externalId));
}

/** Milliseconds from `since` until a message sent after it was taken, and until a position of each source arrived. */
async function resumed(senders: SteadySenders, since: number, sources: readonly string[]) {
  const taken = await until(
    () => senders.answers.find(({ sentAt, status }) => status === 200 && sentAt >= since),
    { what: "a message to be taken" },
  );
  const arrived = await Promise.all(
    sources.map((source) =>
      until(
        () =>
          sandbox
            .pings()
            .find(
              ({ ping }) => ping.externalId.startsWith(`${source}:`) && Date.parse(ping.eventTime) >= since,
            ),
        { what: `a position of ${source} to arrive` },
      ),
    ),
  );
  return {
    takenMs: taken.answeredAt - since,
    arrivedMs: Math.max(...arrived.map(({ acceptedAt }) => acceptedAt - since)),
  };
}

test.skipIf(whyNotMosquitto() !== null)(
  `Redis killed, frozen, read-only, out of memory, emptied: senders are told, nothing kept is lost, all resumes${because(whyNotMosquitto())}`,
  async () => {
    const redis = await own(startPrivateRedis());
    const broker = await own(startMosquitto());
    const gateway = await own(
      startGatewayProcess({
        redisUrl: redis.url,
        sandbox,
        destination: EVERYTHING,
        sources: {
          vans: { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } },
          trackers: { vendor: "json", destination: "acme", mqtt: { broker: "main", topics: ["fleet"] } },
        },
        sections: { mqtt: { brokers: { main: { url: broker.url, clientId: "waypost" } } } },
      }),
    );
    await until(async () => (await gateway.status()).brokers[0]?.state === "connected", {
      what: "the broker connection",
    });
    const senders = await own(
      startSteadySenders({
        webhook: gateway.webhook("vans"),
        source: "vans",
        mqtt: { url: broker.url, topic: "fleet", source: "trackers" },
      }),
    );
    const sources = ["vans", "trackers"];
    await resumed(senders, Date.now(), sources);

    const lines: string[] = [];
    let emptiedAt = { from: Number.POSITIVE_INFINITY, to: 0 };
    const missing = () => {
      const accepted = acceptedIds();
      return [...senders.owed].filter(([id]) => !accepted.has(id));
    };
    /** It lay in Redis when that was emptied, or was being sent then. */
    const isExempt = ([, at]: [string, number]) => at >= emptiedAt.from && at <= emptiedAt.to;
    for (const { name, begin, end, lastsMs } of OUTAGES) {
      const began = Date.now();
      // What the broker held back during the outage before is not to be mistaken for what Redis loses in this one.
      await until(() => missing().every(([, at]) => at > began), { what: "all that is owed so far" });
      if (name === "emptied") emptiedAt = { from: Date.now() - 2000, to: 0 };
      await begin(redis);
      const away = Date.now();
      await pause(lastsMs);
      const ending = Date.now();
      await end(redis);
      const back = Date.now();
      if (name === "emptied") emptiedAt.to = away + ANSWERED_WITHIN_MS;
      const { takenMs, arrivedMs } = await resumed(senders, back, sources);
      lines.push(`${name}: messages taken after ${takenMs} ms, positions arrive after ${arrivedMs} ms`);
      expect.soft(takenMs, name).toBeLessThan(RESUMES_WITHIN_MS);
      expect.soft(arrivedMs, name).toBeLessThan(RESUMES_WITHIN_MS);
      if (lastsMs === 0) continue;
      const refused = senders.answers.filter(
        ({ sentAt, answeredAt, status }) => status !== 200 && sentAt >= away && answeredAt <= ending,
      );
      const stored = senders.answers.filter(
        ({ sentAt, answeredAt, status }) => status === 200 && sentAt >= away && answeredAt <= ending,
      );
      expect.soft(stored, name).toEqual([]);
      expect.soft(refused.length, name).toBeGreaterThan(5);
      expect.soft(new Set(refused.map(({ status }) => status)), name).toEqual(new Set([503]));
      const told = refused.map(({ retryAfterS }) => retryAfterS ?? 0);
      expect.soft(Math.min(...told), name).toBeGreaterThanOrEqual(2);
      // It rises with the outage, and is never much more than that has lasted.
      expect.soft(Math.max(...told), name).toBeLessThanOrEqual(Math.ceil((lastsMs / 1000) * 1.25) + 2);
      if (lastsMs > OUTAGE_MS) expect.soft(Math.max(...told), name).toBeGreaterThan(Math.min(...told));
    }
    await senders.stop();
    await until(() => missing().every(isExempt), { what: "all that is owed" }).catch(() => {});
    const status = await gateway.drained();
    const lost = missing();
    expect(lost.filter((each) => !isExempt(each))).toEqual([]);
    const accepted = acceptedIds();
    expect([...accepted].filter((id) => !senders.sent.has(id))).toEqual([]);
    expect(status.totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
    await until(() => gateway.log().includes("emptied: what "), { what: "word of the emptied Redis" });
    const { duplicates } = sandbox.summary();
    console.log(
      `${lines.join("\n")}\n${senders.owed.size} readings acknowledged, ${lost.length} lost with the emptied Redis, ${duplicates} sent twice`,
    );
  },
);

test("with a spool every webhook message is answered 200 and arrives once, whoever is killed meanwhile", async () => {
  const dir = mkdtempSync(join(tmpdir(), "waypost-spool-"));
  open.unshift({ stop: async () => rmSync(dir, { recursive: true, force: true }) });
  const redis = await own(startPrivateRedis());
  const gateway = await own(
    startGatewayProcess({
      redisUrl: redis.url,
      sandbox,
      destination: { ...EVERYTHING, lanes: 1 },
      sections: { spool: { dir } },
    }),
  );
  const sent: string[] = [];

  /** One after the other, as one sender does; the answer to each must say that it is kept. */
  async function send(messages: number): Promise<number> {
    let slowestMs = 0;
    for (let i = 0; i < messages; i++) {
      const fixTime = Date.now();
      const deviceId = `van-${sent.length}`;
      const time = new Date(fixTime).toISOString();
      const answer = await fetch(gateway.webhook("vans"), {
        method: "POST",
        headers: { ...BEARER, "content-type": "application/json" },
        body: JSON.stringify({ deviceId, latitude: 32.78, longitude: -96.8, time, speed: 10 }),
      });
      expect([answer.status, await answer.json()]).toEqual([200, { spooled: true }]);
      sent.push(`vans:${deviceId}:${fixTime}`);
      slowestMs = Math.max(slowestMs, Date.now() - fixTime);
    }
    return slowestMs;
  }

  redis.kill("SIGKILL");
  await until(async () => (await fetch(`http://127.0.0.1:${gateway.opsPort}/readyz`)).status === 503, {
    what: "the outage to be noticed",
  });
  const slowestMs = await send(200);
  gateway.kill("SIGKILL");
  await until(gateway.ended, { what: "the gateway's death" });
  // It starts without Redis, and takes messages before it is ready.
  const starting = gateway.start();
  await until(
    async () => (await fetch(gateway.webhook("vans"), { method: "POST", headers: BEARER, body: "{" })).status,
    { withinMs: 60_000, what: "the webhook port" },
  );
  await send(100);
  await redis.restart();
  const backAt = Date.now();
  await starting;
  await until(() => sent.every((id) => acceptedIds().has(id)), { what: "all of them to arrive" });
  const tookMs = Date.now() - backAt;
  const status = await gateway.drained();
  const arrived = sandbox.pings().map(({ ping }) => ping.externalId);
  // In which order depends on how far behind sending was; ingest got them in theirs (spool.test.ts).
  expect([...arrived].sort()).toEqual([...sent].sort());
  expect(status.totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
  expect(status.totals.accounting).toMatchObject({ stored: 300, delivered: 300, duplicates: 0 });
  // Those of the process that was killed, what made us see the port, and those of its successor.
  expect(status.spool).toMatchObject({ messages: 0, bytes: 0, replayed: 301 });
  console.log(
    `300 messages answered 200 without Redis, the slowest after ${slowestMs} ms; the last arrived ${tookMs} ms after Redis was back`,
  );
});

test("failover: a planned one loses nothing; after a crash all that the replica had arrives", async () => {
  const primary = await own(startPrivateRedis());
  const replica = await own(startPrivateRedis());
  const address = await own(startProxy(primary.port));
  await order(replica.port, "REPLICAOF", "127.0.0.1", String(primary.port));
  const isSynced = async (port: number) => {
    const redis = new Redis({ port });
    const info = await redis.info("replication").finally(() => redis.disconnect());
    return info.includes("master_link_status:up");
  };
  await until(() => isSynced(replica.port), { what: "the replica to be in step" });
  const gateway = await own(
    startGatewayProcess({
      redisUrl: `redis://127.0.0.1:${address.port}`,
      sandbox,
      destination: EVERYTHING,
    }),
  );
  const senders = await own(
    startSteadySenders({ webhook: gateway.webhook("vans"), source: "vans", mqtt: null }),
  );
  await resumed(senders, Date.now(), ["vans"]);
  const lines: string[] = [];

  async function check(what: string, since: number, mayBeLostFrom: number): Promise<void> {
    const { takenMs, arrivedMs } = await resumed(senders, since, ["vans"]);
    const missing = () => {
      const accepted = acceptedIds();
      return [...senders.owed].filter(([id, at]) => at < since && !accepted.has(id));
    };
    await until(() => missing().every(([, at]) => at >= mayBeLostFrom), { what: "all that is owed" });
    const lost = missing().length;
    lines.push(
      `${what}: messages taken after ${takenMs} ms, positions arrive after ${arrivedMs} ms, ${lost} lost`,
    );
    expect.soft(takenMs, what).toBeLessThan(RESUMES_WITHIN_MS);
    expect.soft(arrivedMs, what).toBeLessThan(RESUMES_WITHIN_MS);
  }

  // Planned: the old primary lives on as a replica, and so do the connections to it.
  await order(primary.port, "FAILOVER", "TO", "127.0.0.1", String(replica.port));
  await until(() => isSynced(primary.port), { what: "the roles to be swapped" });
  address.moveTo(replica.port);
  await check("planned", Date.now(), Number.POSITIVE_INFINITY);

  // A crash: what was not replicated yet is gone with the machine.
  await pause(1000);
  const crashedAt = Date.now();
  replica.kill("SIGKILL");
  await pause(OUTAGE_MS);
  await order(primary.port, "REPLICAOF", "NO", "ONE");
  address.moveTo(primary.port);
  await check("crash", Date.now(), crashedAt - 1000);

  await senders.stop();
  const status = await gateway.drained();
  expect(status.totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
  const accepted = sandbox.pings().map(({ ping }) => ping.externalId);
  expect(accepted.filter((id) => !senders.sent.has(id))).toEqual([]);
  console.log(`${lines.join("\n")}\n${senders.owed.size} readings acknowledged`);
});
