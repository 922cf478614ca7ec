/** Three gateways on one Redis: ServiceTitan sees no more than the rate in any second, and nearly as much as that. */

import { afterEach, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { BEARER, type GatewayProcess, startGatewayProcess } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";

vi.setConfig({ testTimeout: scaled(180_000) });

const PROCESSES = 3;
const RATE_PER_SECOND = 40;
const BATCH_PINGS = 5;
/** Requests over which use is measured: ten seconds at the full rate. */
const MEASURED = 10 * RATE_PER_SECOND;
/** Some more, for the start and the end are not steady. */
const BACKLOG_PINGS = (MEASURED + 4 * RATE_PER_SECOND) * BATCH_PINGS;
const DEVICES = 200;

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test("the rate is kept and used while nothing disturbs", async () => {
  const { arrivals } = await drainBacklog([]);
  const used = use(arrivals.map(({ latest }) => latest));
  report("undisturbed", arrivals, used);
  expect(crowded(arrivals)).toEqual([]);
  // On a machine of half the speed a request is late by twice as much, and its slot unused for twice as long.
  expect(1 - used).toBeLessThanOrEqual(scaled(50) / 1000);
});

test("the rate is kept while event loops stall", async () => {
  const { arrivals } = await drainBacklog(["--import", "./test/support/stalls.mjs"]);
  report("with stalls", arrivals, use(arrivals.map(({ latest }) => latest)));
  expect(crowded(arrivals)).toEqual([]);
});

/** When a request came to the door. The door's own loop may have been late to notice: earlier than `earliest` it was not. */
interface Arrival {
  earliest: number;
  latest: number;
}

async function drainBacklog(nodeArgs: string[]): Promise<{ arrivals: Arrival[] }> {
  const redis = await startPrivateRedis();
  cleanups.push(redis.stop);
  // It must not help by refusing.
  const sandbox = await startSandboxApi({ record: "all", ratePerSecond: 100_000 });
  cleanups.push(sandbox.stop);
  const gateways = await Promise.all(
    Array.from({ length: PROCESSES }, () => startWorker(redis, sandbox, nodeArgs)),
  );
  const door = watchDoor();
  cleanups.push(async () => door.stop());

  await preload(gateways);
  const [first] = gateways;
  const status = await first?.drained(120_000);
  expect(sandbox.summary()).toMatchObject({ distinct: BACKLOG_PINGS, duplicates: 0 });
  expect(status?.totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
  const requests = sandbox.requests();
  for (const gateway of gateways) {
    // Or it would be a test of fewer.
    expect(await gateway.metric("waypost_attempts_total")).toBeGreaterThan(requests.length / 10);
  }
  return { arrivals: requests.map(({ arrivedAtMs }) => door.arrival(arrivedAtMs)) };
}

async function startWorker(redis: PrivateRedis, sandbox: SandboxApi, nodeArgs: string[]) {
  const gateway = await startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    destination: { ratePerSecond: RATE_PER_SECOND, maxBatchPings: BATCH_PINGS, backfill: "deliver" },
    nodeArgs,
  });
  cleanups.push(gateway.stop);
  return gateway;
}

/** A backlog in which every unit has its share, taken in turns by the three. */
async function preload(gateways: readonly GatewayProcess[]): Promise<void> {
  const startedAt = Date.now() - 60_000;
  for (let sent = 0; sent < BACKLOG_PINGS; sent += DEVICES) {
    const readings = Array.from({ length: Math.min(DEVICES, BACKLOG_PINGS - sent) }, (_, i) => ({
      deviceId: `van-${i}`,
      latitude: 32.78,
      longitude: -96.8,
      time: new Date(startedAt + sent).toISOString(),
      speed: 10,
    }));
    const gateway = gateways[(sent / DEVICES) % gateways.length];
    const answer = await fetch(gateway?.webhook("vans") ?? "", {
      method: "POST",
      headers: { ...BEARER, "content-type": "application/json" },
      body: JSON.stringify(readings),
    });
    expect(answer.status).toBe(200);
  }
}

/**
 * The sandbox runs in this process, and notices a request only when this event loop turns: after a pause of the loop
 * all that came meanwhile seems to come at once. So the beginning of every pause is remembered.
 */
function watchDoor() {
  const turns: number[] = [performance.now()];
  const timer = setInterval(() => turns.push(performance.now()), 1);
  return {
    arrival(noticedAt: number): Arrival {
      let [low, high] = [0, turns.length - 1];
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if ((turns[middle] ?? 0) <= noticedAt) low = middle;
        else high = middle - 1;
      }
      // Timers come before arrivals in a turn: what came just before the last turn is noticed after it.
      return { earliest: turns[low - 1] ?? noticedAt, latest: noticedAt };
    },
    stop: () => clearInterval(timer),
  };
}

/** Every place where one request more than the rate came within a second, however late the door noticed. */
function crowded(arrivals: readonly Arrival[]): { at: number; withinMs: number }[] {
  return arrivals.flatMap(({ earliest }, at) => {
    const next = arrivals[at + RATE_PER_SECOND];
    const withinMs = next === undefined ? Number.POSITIVE_INFINITY : next.latest - earliest;
    return withinMs < 1000 ? [{ at, withinMs }] : [];
  });
}

/** Share of the rate that was used, in the median over all runs of MEASURED requests: they come in bursts. */
function use(arrivedAtMs: readonly number[]): number {
  const shares = arrivedAtMs
    .slice(MEASURED)
    .map((last, i) => (MEASURED / (last - (arrivedAtMs[i] ?? 0))) * (1000 / RATE_PER_SECOND))
    .sort((a, b) => a - b);
  return shares[Math.floor(shares.length / 2)] ?? 0;
}

function report(what: string, arrivals: readonly Arrival[], used: number): void {
  const spans = arrivals.slice(RATE_PER_SECOND).map(({ latest }, i) => latest - (arrivals[i]?.latest ?? 0));
  const closest = Math.min(...spans).toFixed(0);
  console.log(
    `${what}: ${arrivals.length} requests, ${(100 * used).toFixed(1)} % of the rate used, ${RATE_PER_SECOND + 1} requests never within less than ${closest} ms`,
  );
}
