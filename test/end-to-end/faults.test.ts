/** What fails in the gateway with nobody waiting for it: it is told, and ends the process only where nobody caught it. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { BEARER, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(120_000) });

let sandbox: SandboxApi;
let redis: PrivateRedis;
const closers: (() => Promise<unknown> | unknown)[] = [];
beforeEach(async () => {
  sandbox = await startSandboxApi({ record: "all" });
  closers.push(() => sandbox.stop());
  redis = await startPrivateRedis();
  closers.push(() => redis.stop());
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function send(url: string, deviceId: string): Promise<number> {
  const body = JSON.stringify({
    deviceId,
    latitude: 30.27,
    longitude: -97.74,
    time: new Date().toISOString(),
  });
  return (await fetch(url, { method: "POST", headers: BEARER, body })).status;
}

test("an error that nobody caught is logged, and the gateway closes and ends with an error", async () => {
  const gateway = await startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    nodeArgs: ["--import", "./test/support/faults.mjs"],
    sections: { log: { level: "info" } },
  });
  closers.push(() => gateway.stop());
  expect(await send(gateway.webhook("vans"), "van-1")).toBe(200);
  gateway.kill("SIGUSR2");
  const ended = await until(gateway.ended, { withinMs: 30_000, what: "the gateway to end" });
  expect(ended).toBe("exit code 1");
  const lines = gateway.log().split("\n");
  const crashed = lines.find((line) => line.includes('"crashed"')) ?? "";
  expect(JSON.parse(crashed)).toMatchObject({
    level: "fatal",
    event: "crashed",
    origin: "unhandledRejection",
    err: { message: "nobody waits for this" },
  });
  expect(lines.some((line) => line.includes('"stopping"'))).toBe(true);
});

test("a mapping that changes while Redis refuses writes is told, and applied later", async () => {
  const dir = mkdtempSync(join(tmpdir(), "waypost-faults-"));
  closers.push(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, "mapping.csv");
  writeFileSync(file, "device,unit\nother,other\n");
  const vans = {
    vendor: "json",
    destination: "acme",
    auth: { method: "bearer", secret: TOKEN },
    unmapped: "hold",
  };
  const gateway = await startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    sources: { vans },
    sections: { mapping: { file } },
  });
  closers.push(() => gateway.stop());
  const order = new Redis(redis.url);
  closers.push(() => order.disconnect());
  expect(await send(gateway.webhook("vans"), "van-1")).toBe(200);
  await until(async () => (await gateway.accounting()).held === 1, { what: "the position to be held" });
  // Nobody copies this Redis, so from now on it reads and does not write.
  await order.config("SET", "min-replicas-to-write", "1");
  writeFileSync(file, "device,unit\nother,other\nvan-1,unit-1\n");
  await until(() => gateway.ended() ?? /"where":"mapping"/.test(gateway.log()), {
    withinMs: 30_000,
    what: "the failure",
  });
  expect(gateway.ended()).toBeNull();
  await order.config("SET", "min-replicas-to-write", "0");
  await until(async () => (await gateway.accounting()).held === 0, {
    withinMs: 30_000,
    what: "the position to be released",
  });
});
