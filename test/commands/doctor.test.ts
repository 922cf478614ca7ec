/** The `doctor` command itself: what it prints, its exit codes, and that it ends in time where nothing answers. */

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { stringify } from "yaml";
import { z } from "zod";
import { destinationAt, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { runCli } from "../support/cli-process.ts";
import { scaled } from "../support/speed.ts";

// Each run is a process, and the machine may be busy.
vi.setConfig({ testTimeout: scaled(90_000), hookTimeout: scaled(60_000) });

const dir = mkdtempSync(join(tmpdir(), "waypost-doctor-"));
let redis: PrivateRedis;
let api: SandboxApi;
/** Accepts connections and says nothing. */
let silent: Server;

beforeAll(async () => {
  silent = createServer((socket) => void socket.on("error", () => {})).listen(0, "127.0.0.1");
  await once(silent, "listening");
  redis = await startPrivateRedis();
  api = await startSandboxApi({ record: "all" });
});
afterAll(async () => {
  silent.close();
  await Promise.all([redis.stop(), api.stop()]);
  rmSync(dir, { recursive: true, force: true });
});

function configured(name: string, changes: { redis?: object; destination?: object } = {}): string {
  const file = join(dir, `${name}.yaml`);
  const settings = {
    redis: { url: redis.url, ...changes.redis },
    ops: { token: "5f0c2a96d3b14e7a" },
    sources: {
      fleet: {
        vendor: "json",
        destination: "acme",
        auth: { method: "bearer", secret: "5f0c2a96d3b14e7a99c1" },
      },
    },
    destinations: { acme: { ...destinationAt(api), ...changes.destination } },
  };
  writeFileSync(file, stringify(settings));
  return file;
}

const answer = z.object({
  well: z.boolean(),
  exitCode: z.number(),
  tookMs: z.number(),
  checks: z.array(
    z.object({
      area: z.string(),
      state: z.string(),
      finding: z.string().nullable(),
      remedy: z.string().nullable(),
    }),
  ),
});
const found = (text: string) => answer.parse(JSON.parse(text)).checks.flatMap(({ finding }) => finding ?? []);

test("a healthy set-up ends with 0, and one position is sent where a test ping is asked for", async () => {
  const args = ["doctor", "--config", configured("healthy"), "--within", "60s"];
  const { ended, stdout } = await runCli([...args, "--test-ping", "van-1", "--at", "1.5,-2.5"]);
  expect(stdout).toMatch(/NOT WELL|All is well: \d+ checks\.\n$/);
  expect({ ended, stdout }).toMatchObject({ ended: "exit code 0" });
  expect(stdout).toContain("test ping: accepted for van-1");
  expect(api.pings().map(({ ping }) => [ping.unitId, ping.latitude, ping.longitude])).toEqual([
    ["van-1", 1.5, -2.5],
  ]);
});

test("where nothing answers it ends with 69, in time, and says each by name", async () => {
  const nowhere = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const config = configured("silent", {
    redis: { url: `redis://${nowhere}` },
    destination: { apiUrl: `http://${nowhere}`, authUrl: `http://${nowhere}` },
  });
  const { ended, stdout } = await runCli(["doctor", "--config", config, "--json"], { maxOpenFiles: 100 });
  expect(ended, stdout).toBe("exit code 69");
  expect(found(stdout)).toEqual(["redis_unreachable", "descriptors_low", "host_unreachable"]);
  const { tookMs, exitCode, well, checks } = answer.parse(JSON.parse(stdout));
  expect({ exitCode, well }).toEqual({ exitCode: 69, well: false });
  expect(tookMs).toBeLessThan(scaled(10_000));
  for (const { state, remedy } of checks) expect(remedy !== null).toBe(state === "not_well");
});

test("a wrong configuration ends with 78, and nothing is asked", async () => {
  const asked = api.requests().length;
  const config = configured("wrong", { destination: { tenant: "acme-plumbing" } });
  const { ended, stdout } = await runCli(["doctor", "--config", config]);
  expect(ended).toBe("exit code 78");
  expect(stdout).toMatch(
    /line \d+: destinations\.acme\.tenant must be the numeric tenant id, not the tenant's name/,
  );
  expect(api.requests()).toHaveLength(asked);
});

test.each([
  ["an option there is not", ["--everything"], /unknown option/],
  ["a source there is not", ["--source", "trucks"], /no source called trucks/],
])("%s is a matter of usage: 2", async (_, args, words) => {
  const { ended, stderr } = await runCli(["doctor", "--config", configured("usage"), ...args]);
  expect({ ended, stderr }).toMatchObject({ ended: "exit code 2", stderr: expect.stringMatching(words) });
});
