/** Kills the gateway again and again while it works: what it acknowledged must arrive all the same. */

import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { createRandom } from "../../sandbox/random.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { BEARER, type GatewayProcess, startGatewayProcess } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(240_000) });

const LANES = 4;
const BATCH_PINGS = 50;
const KILLS = 22;
const MAX_ROUNDS = 15;
/** Every other kill comes at some moment of this time after the gateway was ready. */
const ALIVE_MS = [100, 1400] as const;
/** How long the sandbox takes to answer after it has accepted. */
const ANSWER_MS = 80;
/** A request that has arrived when its sender is killed is read and accepted so much later at most. */
const ACCEPTED_WITHIN_MS = 250;

let redis: PrivateRedis;
let sandbox: SandboxApi;
const gateways: GatewayProcess[] = [];
beforeEach(async () => {
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all", ratePerSecond: 10_000 });
});
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.stop();
  await sandbox.stop();
  await redis.stop();
});

async function startGateway(sections: Record<string, unknown> = {}): Promise<GatewayProcess> {
  const gateway = await startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    destination: {
      ratePerSecond: 200,
      lanes: LANES,
      maxBatchPings: BATCH_PINGS,
      maxBatchAgeMs: 100,
      maxAgeMs: 0,
      backfill: "deliver",
    },
    sections,
  });
  gateways.push(gateway);
  return gateway;
}

test(`${KILLS} kills with requests under way lose nothing that was acknowledged`, async () => {
  // Half of the answer comes late, so that a kill finds requests whose pings are accepted but not yet settled.
  sandbox.faults.set({ kind: "slow_body", seconds: ANSWER_MS / 1000 });
  const random = createRandom("kills");
  // As soon as the rules of the configuration allow, so that every life sees what the one before left behind.
  const gateway = await startGateway({
    queue: { lockMs: 1200, stalledCheckMs: 500, toleratedStallMs: 1000 },
  });
  const fleet = startSending(gateway.webhook("vans"));
  const kills: { at: number; underWay: number }[] = [];
  for (let n = 0; n < KILLS; n++) {
    // Every second kill finds a request under way; the others come when they come, perhaps before the first request.
    if (n % 2 === 0) await pause(random.between(...ALIVE_MS));
    else await until(() => requestsSince(performance.now() - ANSWER_MS) > 0, { what: "a request" });
    const underWay = requestsSince(performance.now() - ANSWER_MS);
    gateway.kill("SIGKILL");
    await until(gateway.ended, { what: "the gateway's death" });
    kills.push({ at: Date.now(), underWay });
    await gateway.start();
  }
  const { owed, sent } = await fleet.stop();
  const status = await gateway.drained(60_000);

  const accepted = acceptedTimes();
  expect([...owed].filter((id) => !accepted.has(id))).toEqual([]);
  expect([...accepted.keys()].filter((id) => !sent.has(id))).toEqual([]);
  // Twice only because a kill came between the first time and its settlement.
  const again = [...accepted].filter(([, times]) => times.length > 1);
  const unexplained = again.filter(([, [first = 0, ...others]]) =>
    others.some((at) => !kills.some((kill) => first - ACCEPTED_WITHIN_MS <= kill.at && kill.at <= at)),
  );
  expect(unexplained).toEqual([]);
  const repeated = again.reduce((sum, [, times]) => sum + times.length - 1, 0);
  expect(repeated).toBeLessThanOrEqual(KILLS * LANES * BATCH_PINGS);
  expect(kills.filter(({ underWay }) => underWay > 0).length).toBeGreaterThan(KILLS / 3);

  expect(status.sources.map(({ identity }) => identity)).toEqual([{ messages: 0, readings: 0, stored: 0 }]);
  expect(status.totals.accounting).toMatchObject({
    delivered: accepted.size,
    stored: accepted.size,
    rejected: 0,
  });
  const during = kills.filter(({ underWay }) => underWay > 0).length;
  console.log(
    `${KILLS} kills, ${during} of them with requests under way: ${owed.size} readings acknowledged, all accepted; ${repeated} of them once more; ${accepted.size - owed.size} kept without the sender having heard of it`,
  );
});

test("another process takes over what a killed one had under way", async () => {
  const survivor = await startGateway();
  const victim = await startGateway();
  const took: number[] = [];
  // Often the survivor has taken all the batches: whoever is awake takes what there is. Then it is tried again.
  for (let round = 0; took.length < 2 && round < MAX_ROUNDS; round++) {
    sandbox.faults.set({ kind: "slow_body", seconds: 3 });
    const began = performance.now();
    const readings = Array.from({ length: LANES * BATCH_PINGS }, (_, i) => reading(`van-${i}`, Date.now()));
    expect(await post(victim.webhook("vans"), readings)).toBe(true);
    await until(() => requestsSince(began) >= LANES, { what: "a request of every lane" });
    const killedAt = Date.now();
    victim.kill("SIGKILL");
    sandbox.faults.clear();
    // Nobody who sends to the survivor notices anything.
    expect(await post(survivor.webhook("vans"), [reading("van-of-another-sender", Date.now())])).toBe(true);
    const status = await survivor.drained(30_000);
    expect(status.totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
    const again = [...acceptedTimes().values()].flatMap(([first = 0, second]) =>
      second !== undefined && first <= killedAt && second > killedAt ? [second - killedAt] : [],
    );
    if (again.length > 0) took.push(Math.max(...again));
    await victim.start();
  }
  console.log(`taken over after ${took.map((ms) => `${(ms / 1000).toFixed(1)} s`).join(", ")}`);
  expect(took.length).toBeGreaterThan(0);
  expect(Math.max(...took)).toBeLessThan(scaled(5000));
  const accepted = acceptedTimes();
  const { stored, delivered } = await survivor.accounting();
  expect([stored, delivered]).toEqual([accepted.size, accepted.size]);
});

test("an orderly end does not wait for a ServiceTitan that hangs, and loses nothing", async () => {
  sandbox.faults.set({ kind: "hang" });
  const gateway = await startGateway({ shutdownMs: 2000 });
  const began = performance.now();
  expect(await post(gateway.webhook("vans"), [reading("van-1", Date.now())])).toBe(true);
  await until(() => requestsSince(began) === 1, { what: "the request that will hang" });
  gateway.kill("SIGTERM");
  // The request itself would be given up after 20 s.
  expect(await until(gateway.ended, { withinMs: 15_000, what: "the end" })).toBe("exit code 0");
  sandbox.faults.clear();
  await gateway.start();
  const status = await gateway.drained();
  expect(status.totals.accounting).toMatchObject({ stored: 1, delivered: 1 });
  expect(sandbox.summary()).toMatchObject({ accepted: 1 });
});

test("an orderly end waits, by itself, for an answer that takes long, and sends nothing twice", async () => {
  // Longer than Docker's ten seconds, and than any end but one that waits for it.
  sandbox.faults.set({ kind: "slow_body", seconds: 12 });
  const gateway = await startGateway();
  const began = performance.now();
  expect(await post(gateway.webhook("vans"), [reading("van-1", Date.now())])).toBe(true);
  await until(() => sandbox.summary().accepted === 1, { what: "the pings to be accepted" });
  gateway.kill("SIGTERM");
  expect(await until(gateway.ended, { withinMs: 30_000, what: "the end" })).toBe("exit code 0");
  sandbox.faults.clear();
  await gateway.start();
  expect((await gateway.drained()).totals.accounting).toMatchObject({ stored: 1, delivered: 1 });
  expect(requestsSince(began)).toBe(1);
});

/** Requests that came after this moment of the monotonic clock. */
function requestsSince(ms: number): number {
  return sandbox.requests().filter(({ arrivedAtMs }) => arrivedAtMs > ms).length;
}

/** When each ping was accepted, by externalId. */
function acceptedTimes(): Map<string, number[]> {
  const times = new Map<string, number[]>();
  for (const { ping, acceptedAt } of sandbox.pings()) {
    times.set(ping.externalId, [...(times.get(ping.externalId) ?? []), acceptedAt]);
  }
  return times;
}

interface Reading {
  deviceId: string;
  latitude: number;
  longitude: number;
  time: string;
  speed: number;
}

function reading(deviceId: string, at: number): Reading {
  return { deviceId, latitude: 32.78, longitude: -96.8, time: new Date(at).toISOString(), speed: 10 };
}

/** False: no answer, or one that says to come again. */
async function post(url: string, readings: readonly Reading[]): Promise<boolean> {
  try {
    const headers = { ...BEARER, "content-type": "application/json" };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(readings) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}

const SENDERS = 4;
const READINGS_PER_MESSAGE = 10;
/** Between messages of a sender: some 1,600 readings a second together, somewhat less than is delivered. */
const REST_MS = 25;

/**
 * Senders that go on whatever happens. Every second message is offered until it is taken, as vendors do; the others
 * are forgotten when they fail, and nobody may count on them.
 */
function startSending(url: string): { stop(): Promise<{ owed: Set<string>; sent: Set<string> }> } {
  const owed = new Set<string>();
  const sent = new Set<string>();
  const startedAt = Date.now();
  let stopping = false;

  async function send(sender: number): Promise<void> {
    for (let n = 0; !stopping; n++) {
      const readings = Array.from({ length: READINGS_PER_MESSAGE }, (_, i) =>
        reading(`van-${sender}-${i}`, startedAt + n),
      );
      const ids = readings.map(({ deviceId, time }) => `vans:${deviceId}:${Date.parse(time)}`);
      for (const id of ids) sent.add(id);
      let taken = await post(url, readings);
      while (!taken && n % 2 === 0) {
        await pause(REST_MS);
        taken = await post(url, readings);
      }
      if (taken) for (const id of ids) owed.add(id);
      await pause(REST_MS);
    }
  }

  const senders = Array.from({ length: SENDERS }, (_, sender) => send(sender));
  return {
    async stop() {
      stopping = true;
      await Promise.all(senders);
      return { owed, sent };
    },
  };
}
