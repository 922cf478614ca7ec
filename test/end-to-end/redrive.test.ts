/** What an operator does after a refusal: look, correct the cause, ask what would happen, and send it on its way. */

import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { startCli } from "../support/cli-process.ts";
import { BEARER, type GatewayProcess, startGatewayProcess } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000), hookTimeout: scaled(60_000) });

let redis: PrivateRedis;
let sandbox: SandboxApi;
let gateway: GatewayProcess;

beforeAll(async () => {
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all" });
  gateway = await startGatewayProcess({ redisUrl: redis.url, sandbox });
});
afterAll(async () => {
  await gateway?.stop();
  await sandbox?.stop();
  await redis?.stop();
});

async function redrive(...args: string[]): Promise<{ end: string; said: string }> {
  const cli = await startCli(["redrive", ...args, "--config", gateway.configFile]);
  try {
    return { end: await cli.end(), said: `${cli.stdout()}${cli.stderr()}` };
  } finally {
    await cli.stop();
  }
}

function send(deviceId: string) {
  const reading = { deviceId, latitude: 32.78, longitude: -96.8, time: new Date().toISOString() };
  return fetch(gateway.webhook("vans"), {
    method: "POST",
    headers: { ...BEARER, "content-type": "application/json" },
    body: JSON.stringify(reading),
  });
}

test("a dead letter is looked at, asked about and sent", async () => {
  sandbox.faults.set({ kind: "fail", match: { unitId: "van-7" } });
  expect((await send("van-7")).status).toBe(200);
  await until(async () => (await gateway.accounting()).deadLettered === 1, { what: "the dead letter" });
  sandbox.faults.clear();

  const dry = await redrive("dead-letters", "--unit", "van-7", "--dry-run");
  expect(dry).toMatchObject({ end: "exit code 0" });
  expect(dry.said).toMatch(/van-7 → acme {2}failed: /);
  expect(dry.said).toContain("1 dead letters: 1 waiting again");
  expect(await gateway.accounting()).toMatchObject({ deadLettered: 1, delivered: 0 });

  expect((await redrive("dead-letters", "--unit", "van-8")).said).toContain("0 dead letters");
  const answer = JSON.parse((await redrive("dead-letters", "--unit", "van-7", "--json")).said);
  expect(answer).toMatchObject({ matched: 1, waiting: 1, expired: 0, superseded: 0 });
  const { totals } = await gateway.drained();
  expect(totals.accounting).toMatchObject({ deadLettered: 0, delivered: 1 });
  expect(totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
  expect(sandbox.pings({ unitId: "van-7" })).toHaveLength(1);
  // Prometheus sees a counter that only grows, and why nothing is left of it.
  expect(await gateway.metric("waypost_pings_dead_lettered_total")).toBe(1);
  expect(await gateway.metric("waypost_redriven_pings_total")).toBe(1);
});

test("what cannot be done is said", async () => {
  const wrong = await redrive("dead-leters");
  expect(wrong).toMatchObject({ end: "exit code 1" });
  expect(wrong.said).toContain("use dead-letters or quarantine");
  const bad = await redrive("dead-letters", "--from", "yesterday");
  expect(bad).toMatchObject({ end: "exit code 1" });
  expect(bad.said).toContain("from: ");
});
