import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { SANDBOX_CLIENT } from "../../sandbox/api.ts";
import { startPrivateRedis } from "../../sandbox/redis.ts";
import type { SmallStatus } from "../../src/ops/api/schema/status.ts";
import { startCli } from "../support/cli-process.ts";
import { BEARER, quietPort, TOKEN } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

const PASSWORD = "a-password-nobody-may-read";

const closings: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closings.splice(0).reverse()) await close();
});

async function startWithout(redisPort: number) {
  const dir = mkdtempSync(join(tmpdir(), "waypost-away-"));
  closings.push(() => rmSync(dir, { recursive: true, force: true }));
  const configFile = join(dir, "waypost.yaml");
  const [http, ops] = [await quietPort(), await quietPort()];
  const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
  const settings = {
    redis: { url: `redis://:${PASSWORD}@127.0.0.1:${redisPort}` },
    http: { host: "127.0.0.1", port: http },
    ops: { host: "127.0.0.1", port: ops, token: TOKEN },
    sources: { vans: { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } } },
    destinations: {
      acme: {
        environment: "custom",
        // Nothing is sent in these tests.
        apiUrl: "http://127.0.0.1:9",
        authUrl: "http://127.0.0.1:9",
        ...{ tenant: tenants[0], provider: providers[0], appKey, clientId, clientSecret },
      },
    },
  };
  writeFileSync(configFile, stringify(settings));
  const cli = await startCli(["start", "--allow-weak", "--config", configFile]);
  closings.push(() => cli.stop());
  return {
    dir,
    cli,
    lines: () =>
      cli
        .stdout()
        .split("\n")
        .filter((line) => line !== "")
        .map((line): Record<string, unknown> => JSON.parse(line)),
    post: () =>
      fetch(`http://127.0.0.1:${http}/webhooks/vans`, {
        method: "POST",
        headers: { ...BEARER, "content-type": "application/json" },
        body: JSON.stringify({
          deviceId: "van-1",
          latitude: 30.2,
          longitude: -97.7,
          time: new Date().toISOString(),
        }),
      }),
    ready: () => fetch(`http://127.0.0.1:${ops}/readyz`),
    status: () => fetch(`http://127.0.0.1:${ops}/api/v1/status`, { headers: BEARER }),
  };
}

/** Counts who knocks and shuts the door at once: no Redis, but somebody. */
async function startKnocker(port: number) {
  let knocks = 0;
  const server = createServer((socket) => {
    knocks++;
    socket.destroy();
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const stop = async () => {
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  };
  closings.push(stop);
  return { knocks: () => knocks, stop };
}

describe("Redis away", () => {
  test("is one line in words when it goes, one when it comes, and silence between", {
    timeout: scaled(120_000),
  }, async () => {
    const port = await quietPort();
    const gateway = await startWithout(port);
    const of = (event: string) => gateway.lines().filter((line) => line.event === event);
    const within = { withinMs: scaled(60_000) };
    await until(() => of("redisProblem").length > 0, { ...within, what: "the line" });
    await until(() => of("started").length > 0, { ...within, what: "the start" });
    expect(of("redisProblem")[0]).toEqual({
      level: "error",
      time: expect.any(String),
      pid: expect.any(Number),
      hostname: expect.any(String),
      event: "redisProblem",
      problem: `Redis does not answer at 127.0.0.1:${port} (connection refused). Is it running? Trying again every second; senders get 503 until then.`,
    });

    // A sender, an operator and the gateway's own work ask; none of it is said again.
    expect((await gateway.post()).status).toBe(503);
    const answer = await gateway.status();
    expect(answer.status).toBe(200);
    const { available, problems }: SmallStatus = JSON.parse(await answer.text());
    expect(available).toBe(false);
    expect(problems[0]?.what).toContain(`connection refused at 127.0.0.1:${port}`);
    expect(JSON.stringify(problems)).not.toContain("writeable");
    const knocker = await startKnocker(port);
    // Each of the three connections (ours, and the one that BullMQ makes for itself) has tried several times by then.
    await until(() => knocker.knocks() >= 9, { ...within, what: "nine attempts" });
    await knocker.stop();
    // A door that is shut at once is another reason than a refusal, and is told once as well.
    const told = gateway.lines().filter(({ level, event }) => level === "error" && event !== undefined);
    expect(told.map(({ problem }) => problem)).toEqual([
      of("redisProblem")[0]?.problem,
      expect.stringContaining(`Redis does not answer at 127.0.0.1:${port} (connection closed).`),
    ]);

    const redis = await startPrivateRedis({ port, dir: gateway.dir });
    closings.push(() => redis.stop());
    await until(async () => (await gateway.ready()).ok, { ...within, what: "readiness" });
    await until(() => of("redisRecovered").length === 1, { ...within, what: "the line of its coming" });

    for (const round of [1, 2]) {
      // The same words are written once a second at most.
      const lastMs = Date.parse(String(of("redisProblem").at(-1)?.time));
      await until(() => Date.now() > lastMs + 1000, { ...within, what: "a second to pass" });
      // Stopped in order, and killed.
      if (round === 1) await redis.stop();
      else redis.kill("SIGKILL");
      await until(() => of("redisProblem").length === 2 + round, {
        ...within,
        what: "the line of its going",
      });
      expect((await gateway.post()).status).toBe(503);
      await redis.restart();
      await until(() => of("redisRecovered").length === 1 + round, {
        ...within,
        what: "the line of its coming",
      });
      await until(async () => (await gateway.post()).ok, { ...within, what: "a message stored" });
    }
    const refused = of("redisProblem")[0]?.problem;
    expect(of("redisProblem").map(({ problem }) => problem)).toEqual([
      refused,
      expect.any(String),
      refused,
      refused,
    ]);
    expect(of("failed")).toEqual([]);
    expect(gateway.cli.stdout()).not.toMatch(/"stack"|writeable/);
    expect(gateway.cli.stdout() + gateway.cli.stderr()).not.toContain(PASSWORD);
  });
});
