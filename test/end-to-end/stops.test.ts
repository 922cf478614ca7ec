/** Ends the gateway in good order, and stops it for a while, with traffic on: nothing is lost, nothing is done twice. */

import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { because } from "../support/because.ts";
import { type GatewayProcess, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { startMosquitto, whyNotMosquitto } from "../support/mosquitto.ts";
import { scaled } from "../support/speed.ts";
import { type SteadySenders, startSteadySenders } from "../support/steady-senders.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(180_000) });

const SHUTDOWN_MS = 5000;
const ENDS = 3;
const STOP_MS = 10_000;
/** A stop may find no request of the sleeper's under way. */
const MAX_STOPS = 4;
/** The sandbox has accepted and takes its time to say so, so that an end or a stop finds requests under way. */
const ANSWER_S = 0.3;
const LANES = 4;
const BATCH_PINGS = 50;

let redis: PrivateRedis;
let sandbox: SandboxApi;
let open: { stop(): Promise<void> }[] = [];
beforeEach(async () => {
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all" });
  sandbox.faults.set({ kind: "slow_body", seconds: ANSWER_S });
  open = [redis, sandbox];
});
afterEach(async () => {
  for (const each of open.reverse()) await each.stop();
});

async function own<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const started = await starting;
  open.push(started);
  return started;
}

function startGateway(more: { sources?: Record<string, unknown>; mqtt?: object } = {}) {
  const vans = { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } };
  return own(
    startGatewayProcess({
      redisUrl: redis.url,
      sandbox,
      // With no age limit and history delivered, everything acknowledged has to arrive.
      destination: {
        maxAgeMs: 0,
        backfill: "deliver",
        ratePerSecond: 50,
        maxBatchAgeMs: 100,
        lanes: LANES,
        maxBatchPings: BATCH_PINGS,
      },
      sources: { vans, ...more.sources },
      sections: { shutdownMs: SHUTDOWN_MS, ...(more.mqtt ? { mqtt: more.mqtt } : {}) },
    }),
  );
}

function times(): Map<string, number> {
  const found = new Map<string, number>();
  for (const { ping } of sandbox.pings()) found.set(ping.externalId, (found.get(ping.externalId) ?? 0) + 1);
  return found;
}

/** Waits until all that is owed has arrived and been counted. */
async function settled(gateway: GatewayProcess, senders: readonly SteadySenders[]) {
  const owed = senders.flatMap((each) => [...each.owed.keys()]);
  await until(() => owed.every((id) => times().has(id)), { what: "all that is owed" });
  const { totals } = await gateway.drained();
  const accepted = times();
  expect(totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
  // Settled twice, a ping would be counted twice.
  expect([totals.accounting.stored, totals.accounting.delivered]).toEqual([accepted.size, accepted.size]);
  const repeated = [...accepted.values()].reduce((sum, n) => sum + n - 1, 0);
  return { owed: owed.length, repeated };
}

test.skipIf(whyNotMosquitto() !== null)(
  `${ENDS} orderly ends with traffic on lose nothing, send nothing twice, and keep to their time${because(whyNotMosquitto())}`,
  async () => {
    const broker = await own(startMosquitto());
    const gateway = await startGateway({
      sources: {
        trackers: { vendor: "json", destination: "acme", mqtt: { broker: "main", topics: ["fleet"] } },
      },
      mqtt: { brokers: { main: { url: broker.url, clientId: "waypost" } } },
    });
    // Before anything is published: a broker keeps nothing for a session it does not know.
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
    const tookMs: number[] = [];
    for (let n = 0; n < ENDS; n++) {
      const before = senders.owed.size;
      await until(() => senders.owed.size > before + 100, { what: "traffic" });
      // Its answer is still being held back.
      const isUnderWay = () =>
        sandbox.requests().some(({ arrivedAtMs }) => arrivedAtMs > performance.now() - (ANSWER_S * 1000) / 2);
      await until(isUnderWay, { what: "a request under way" });
      const began = performance.now();
      gateway.kill("SIGTERM");
      expect(await until(gateway.ended, { what: "the end" })).toBe("exit code 0");
      tookMs.push(Math.round(performance.now() - began));
      await gateway.start();
    }
    await senders.stop();
    const { owed, repeated } = await settled(gateway, [senders]);
    // A message that was not kept is not answered as if it were.
    const odd = senders.answers.filter(({ status }) => ![200, 503, 0].includes(status));
    expect(odd).toEqual([]);
    console.log(
      `ended after ${tookMs.join(", ")} ms of ${SHUTDOWN_MS}; ${owed} readings acknowledged, ${repeated} sent twice`,
    );
    expect(Math.max(...tookMs)).toBeLessThan(SHUTDOWN_MS + scaled(1000));
    expect(repeated).toBe(0);
  },
);

test(`a process that wakes after ${STOP_MS / 1000} s settles nothing that another has settled`, async () => {
  const sleeper = await startGateway();
  const other = await startGateway();
  const senders = await Promise.all(
    [sleeper, other].map((gateway) =>
      own(startSteadySenders({ webhook: gateway.webhook("vans"), source: "vans", mqtt: null })),
    ),
  );
  // Asleep with requests under way: they were accepted, and it hears so when the other has dealt with them.
  let stale = 0;
  let stops = 0;
  for (; stale === 0 && stops < MAX_STOPS; stops++) {
    const before = sandbox.summary().accepted;
    await until(() => sandbox.summary().accepted > before + 200, { what: "traffic" });
    sleeper.kill("SIGSTOP");
    await pause(STOP_MS);
    sleeper.kill("SIGCONT");
    const woke = Date.now();
    await until(() => senders[0]?.answers.some(({ sentAt, status }) => status === 200 && sentAt > woke), {
      what: "the sleeper to take messages again",
    });
    stale = await sleeper.metric("waypost_swept_total");
  }
  for (const each of senders) await each.stop();
  const { owed, repeated } = await settled(other, senders);
  expect(repeated).toBeLessThanOrEqual(stops * LANES * BATCH_PINGS);
  expect(stale).toBeGreaterThan(0);
  console.log(
    `${stops} stops of ${STOP_MS / 1000} s: ${owed} readings acknowledged, ${repeated} sent twice, ${stale} batches found settled by the other`,
  );
});
