/** The gateway takes a new configuration up while it runs: from files, by itself and when asked; a wrong one changes nothing. */

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import pino from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { adapters } from "../../src/adapters/index.ts";
import { createConfigReader } from "../../src/config/load.ts";
import { type Gateway, startGateway } from "../../src/server.ts";
import { until } from "../support/wait.ts";

const OPS = "operators-token-0123456789";
const secret = (name: string) => `${name}-secret-8f31c2d07a`;

const CLIENT = { ...SANDBOX_CLIENT, tenants: ["1000001", "1000002"] };

const dir = mkdtempSync(join(tmpdir(), "waypost-live-"));
const file = join(dir, "waypost.yaml");
let redis: PrivateRedis;
let sandbox: SandboxApi;
let gateway: Gateway;
const log: Record<string, unknown>[] = [];

function mainSettings(more: object = {}) {
  return {
    redis: { url: redis.url },
    http: { host: "127.0.0.1", port: 0 },
    ops: { host: "127.0.0.1", port: 0, token: OPS },
    mqtt: { listen: { host: "127.0.0.1", port: 0 } },
    ...more,
  };
}

function destination(n: number, more: object = {}) {
  const { clientId, clientSecret, appKey, tenants, providers } = CLIENT;
  return {
    ...{ environment: "custom", apiUrl: sandbox.url, authUrl: sandbox.authUrl, maxBatchAgeMs: 100 },
    ...{ tenant: tenants[n], provider: providers[0], appKey, clientId, clientSecret, ...more },
  };
}

function tenant(name: string, n: number, more: object = {}) {
  return {
    sources: {
      [name]: { vendor: "json", destination: `st-${name}`, auth: { method: "bearer", secret: secret(name) } },
    },
    destinations: { [`st-${name}`]: destination(n) },
    ...more,
  };
}

function withDevice(name: string, n: number, username: string, password = secret(username)) {
  const { destinations } = tenant(name, n);
  return {
    destinations,
    sources: { [name]: { vendor: "owntracks", destination: `st-${name}`, mqtt: { broker: "listen" } } },
    mqtt: { listen: { devices: [{ username, password, source: name, topics: ["owntracks/%u/#"] }] } },
  };
}

/** As careful operators and Kubernetes do: the whole file takes the place of the old one. */
function write(name: string, document: object | string): void {
  const path = name === "" ? file : join(dir, "tenants.d", `${name}.yaml`);
  writeFileSync(`${path}.new`, typeof document === "string" ? document : stringify(document));
  renameSync(`${path}.new`, path);
}

let sent = 0;
async function send(source: string, token = secret(source)) {
  sent += 1;
  const reading = {
    ...{ deviceId: `van-${sent}`, latitude: 30.2 + sent / 1000, longitude: -97.7 },
    time: new Date().toISOString(),
  };
  const response = await fetch(`http://127.0.0.1:${gateway.webhookPort}/webhooks/${source}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(reading),
  });
  await response.arrayBuffer();
  return { status: response.status, device: reading.deviceId };
}

const delivered = (unit: string) => sandbox.pings().some(({ ping }) => ping.unitId === unit);

function api(path: string, init: RequestInit = {}) {
  const headers = { authorization: `Bearer ${OPS}`, "content-type": "application/json" };
  return fetch(`http://127.0.0.1:${gateway.opsPort}/api/v1${path}`, { headers, ...init });
}

interface Status {
  problems: { kind: string; what: string }[];
  processes: { isThis: boolean; configuration: { restart: string[] } }[];
}
interface Reloaded {
  result: string;
  changes: string[];
  problems: string[];
}
const status = async () => (await (await api("/status")).json()) as Status;
const reload = async () => (await (await api("/reload", { method: "POST", body: "{}" })).json()) as Reloaded;

function connect(username: string, password = secret(username)) {
  const client = mqtt.connect({
    ...{ host: "127.0.0.1", port: gateway.brokerPort ?? 0, username, password, clientId: "x" },
    reconnectPeriod: 0,
  });
  const closed: string[] = [];
  client.on("error", () => {});
  client.on("close", () => closed.push("closed"));
  return { client, isClosed: () => closed.length > 0 };
}

beforeAll(async () => {
  mkdirSync(join(dir, "tenants.d"));
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all", clients: [CLIENT] });
  write("", mainSettings());
  write("acme", tenant("acme", 0));
  const reader = createConfigReader({ file, adapters, env: {}, allowWeak: true });
  const loaded = reader.read();
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const stream = { write: (line: string) => void log.push(JSON.parse(line)) };
  gateway = await startGateway(loaded.config, pino({ level: "info" }, stream), reader);
  const isReady = async () => (await fetch(`http://127.0.0.1:${gateway.opsPort}/readyz`)).ok;
  await until(isReady, { withinMs: 20_000, what: "a gateway that is ready" });
}, 60_000);
afterAll(async () => {
  await gateway?.close();
  await sandbox?.stop();
  await redis?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test("a new tenant's file is noticed, and its first ping delivered; nothing else is touched", async () => {
  expect((await send("acme")).status).toBe(200);
  // A source is unknown for good once this process has heard what the others and the API's tenants are.
  await until(async () => (await send("bolt")).status === 404, {
    withinMs: 20_000,
    what: "404 for an unknown source",
  });
  write("bolt", tenant("bolt", 1));
  const { device } = await until(
    async () => {
      const answer = await send("bolt");
      return answer.status === 200 ? answer : null;
    },
    { withinMs: 10_000, what: "bolt's first answer with 200" },
  );
  await until(() => delivered(device), { withinMs: 10_000, what: "bolt's first ping" });
  expect((await send("acme")).status).toBe(200);
  expect(log.filter(({ event }) => event === "configurationReloaded")).toEqual([
    expect.objectContaining({
      ...{ cause: "file", restart: [] },
      changes: ["tenant bolt added", "source bolt added", "destination st-bolt added"],
    }),
  ]);
});

test("a secret is rotated: the old one is refused, the new one taken", async () => {
  const rotated = tenant("bolt", 1);
  const auth = { method: "bearer", secret: secret("rotated") };
  write("bolt", { ...rotated, sources: { bolt: { ...rotated.sources.bolt, auth } } });
  expect(await reload()).toMatchObject({ result: "applied", changes: ["source bolt changed"], problems: [] });
  expect((await send("bolt")).status).toBe(401);
  expect((await send("bolt", secret("rotated"))).status).toBe(200);
});

test("a wrong file changes nothing, and is a problem with its line until it is right", async () => {
  write("bolt", "sources:\n  bolt:\n    vendor: jsn\n");
  const refused = await reload();
  expect(refused).toMatchObject({ result: "refused", changes: [] });
  expect(refused.problems).toContainEqual(
    expect.stringMatching(/^tenants\.d\/bolt\.yaml line 3: sources\.bolt/),
  );
  expect((await send("bolt", secret("rotated"))).status).toBe(200);
  const found = await until(
    async () => (await status()).problems.find((each) => each.kind === "configuration_refused"),
    { withinMs: 10_000, what: "the problem" },
  );
  expect(found.what).toMatch(/tenants\.d\/bolt\.yaml line 3/);
  write("bolt", tenant("bolt", 1));
  expect(await reload()).toMatchObject({ result: "applied" });
  await until(async () => (await status()).problems.length === 0, { withinMs: 10_000, what: "no problem" });
});

test("a destination keeps its tenant: under the same name the change would leave behind what waits", async () => {
  write("bolt", { ...tenant("bolt", 1), destinations: { "st-bolt": destination(0) } });
  expect((await reload()).problems).toEqual([
    expect.stringMatching(
      /^destinations\.st-bolt has another tenant or app key than before: give the destination/,
    ),
  ]);
  const renamed = tenant("bolt", 1);
  const sources = { bolt: { ...renamed.sources.bolt, destination: "st-bolt-2" } };
  write("bolt", { sources, destinations: { "st-bolt-2": destination(0) } });
  expect((await reload()).result).toBe("applied");
  const { device } = await send("bolt");
  await until(() => delivered(device), { withinMs: 10_000, what: "the ping at the other tenant" });
});

test("devices whose login did not change stay connected; others are cut off", async () => {
  write("phones", withDevice("phones", 0, "van-a"));
  write("trucks", withDevice("trucks", 1, "van-b"));
  await reload();
  const [kept, changed] = [connect("van-a"), connect("van-b")];
  await until(() => kept.client.connected && changed.client.connected, { what: "both connections" });
  write("trucks", withDevice("trucks", 1, "van-b", secret("another")));
  expect((await reload()).changes).toContain("device van-b changed");
  await until(changed.isClosed, { what: "the end of the connection with the old password" });
  const fix = { _type: "location", lat: 30.1, lon: -97.1, tst: Math.floor(Date.now() / 1000), tid: "a" };
  await kept.client.publishAsync("owntracks/van-a/phone", JSON.stringify(fix), { qos: 1 });
  expect(kept.isClosed()).toBe(false);
  const back = connect("van-b", secret("another"));
  await until(() => back.client.connected, { what: "the connection with the new password" });
  for (const { client } of [kept, changed, back]) await client.endAsync(true);
});

test("a tenant's file that goes takes its sources away; what waits is sent", async () => {
  const { device } = await send("acme");
  rmSync(join(dir, "tenants.d", "acme.yaml"));
  expect((await reload()).changes).toEqual([
    "tenant acme removed",
    "source acme removed",
    "destination st-acme removed",
  ]);
  // 503 for half a minute, because another process may still know it, and then 404.
  expect((await send("acme")).status).toBe(503);
  await until(() => delivered(device), { withinMs: 10_000, what: "the ping that waited" });
});

test("what needs a restart is named, the rest taken up; and every process is shown", async () => {
  write("", mainSettings({ queue: { ledgerBytes: 1_000_000 }, log: { level: "warn" } }));
  expect(await reload()).toMatchObject({
    ...{ result: "applied", changes: ["setting log.level changed"], restart: ["queue.ledgerBytes"] },
  });
  const { processes } = await until(
    async () => {
      const now = await status();
      return now.processes[0]?.configuration.restart.length === 1 ? now : null;
    },
    { withinMs: 10_000, what: "the process in the status" },
  );
  expect(processes).toEqual([
    expect.objectContaining({
      isThis: true,
      configuration: expect.objectContaining({
        fingerprint: expect.stringMatching(/^[0-9a-f]{8}$/),
        refused: null,
      }),
    }),
  ]);
  const { items } = (await (await api("/audit")).json()) as { items: { action: string }[] };
  expect(items.map(({ action }) => action)).toEqual(
    expect.arrayContaining(["reload", "configuration_reloaded", "configuration_loaded"]),
  );
  expect(JSON.stringify([items, log])).not.toContain("8f31c2d07a");
});
