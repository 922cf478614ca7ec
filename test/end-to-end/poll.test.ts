/** Two gateways and one vendor to ask: one of them asks, and the other goes on where it was killed. */

import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import type { PollerStatus } from "../../src/status/process.ts";
import { type GatewayProcess, startGatewayProcess } from "../support/gateway-process.ts";
import { SAMSARA_TOKEN, type Samsara, startSamsara } from "../support/samsara.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(240_000), hookTimeout: scaled(240_000) });

let redis: PrivateRedis;
let sandbox: SandboxApi;
let samsara: Samsara;
const gateways: GatewayProcess[] = [];

beforeAll(async () => {
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all" });
  samsara = await startSamsara({ pageFixes: 20 });
});

afterAll(async () => {
  for (const gateway of gateways) await gateway.stop();
  await samsara.close();
  await sandbox.stop();
  await redis.stop();
});

let reported = 0;
let lastAt = 0;

/** One new fix of each of ten vehicles; two reports in one millisecond must not be each other's duplicates. */
function report(): void {
  lastAt = Math.max(Date.now(), lastAt + 1);
  const time = new Date(lastAt).toISOString();
  for (let index = 0; index < 10; index++) {
    samsara.report({ vehicle: `20${index}`, time, latitude: 32.7 + index / 100, longitude: -96.8 });
  }
  reported += 10;
}

/** 1 in the process that polls, and no line in one that stands by; the status is that of all processes. */
const polls = (gateway: GatewayProcess) => gateway.metric("waypost_poller_working");

async function pollerOf(gateway: GatewayProcess): Promise<PollerStatus | undefined> {
  return (await gateway.status()).pollers[0];
}

test("one process asks; killed, it is followed by the other, and no fix is lost", async () => {
  const vans = {
    vendor: "samsara-feed",
    destination: "acme",
    auth: { secret: SAMSARA_TOKEN },
    pull: { baseUrl: samsara.url },
  };
  const options = { redisUrl: redis.url, sandbox, sources: { vans }, destination: { backfill: "deliver" } };
  report();
  for (let index = 0; index < 2; index++) gateways.push(await startGatewayProcess(options));
  // Which of them it is, is a matter of who came first, and of who is held up on a busy machine.
  const [first, second] = await until(
    async () => {
      const working = await Promise.all(gateways.map(polls));
      const asking = gateways[working.indexOf(1)];
      const waiting = gateways[working.indexOf(0)];
      return asking && waiting ? ([asking, waiting] as const) : null;
    },
    { withinMs: 30_000, what: "one to ask and one to stand by" },
  );
  // What one process does, all show.
  await until(async () => (await pollerOf(second))?.state === "polling", { what: "the second to know" });
  expect(await polls(second)).toBe(0);

  for (let round = 0; round < 3; round++) {
    report();
    const asked = samsara.asked.length;
    await until(() => samsara.asked.length > asked, { withinMs: 30_000, what: "a request" });
  }
  // Fixes that the first may have fetched, kept, or neither when it dies.
  report();
  first.kill("SIGKILL");
  report();
  await until(async () => (await polls(second)) === 1, {
    withinMs: 30_000,
    what: "the second to take over",
  });
  report();
  await until(
    async () => {
      // Thrown, so that a failure says what became of the rest.
      expect(await second.accounting()).toMatchObject({ stored: reported, rejected: 0 });
      return true;
    },
    { withinMs: 60_000, what: `all ${reported} fixes to be fetched and kept` },
  );
  const { sources, problems } = await second.drained();
  expect(sandbox.summary().distinct).toBe(reported);
  const [source] = sources;
  expect(source).toMatchObject({ name: "vans", transport: "pull", vendor: "samsara-feed" });
  expect(source?.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
  expect(source?.accounting).toMatchObject({ stored: reported, malformed: 0, refused: 0 });
  expect(problems.filter(({ where }) => where.startsWith("source"))).toEqual([]);
  expect(await pollerOf(second)).toMatchObject({ state: "polling", reason: null, gap: null });
});
