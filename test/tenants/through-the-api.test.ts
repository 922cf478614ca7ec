/** One gateway, and a tenant that comes, is paused, limited and goes through its API while it runs. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
const dir = mkdtempSync(join(tmpdir(), "waypost-tenants-"));
let redis: PrivateRedis;
let sandbox: SandboxApi;
let gateway: Gateway;

beforeAll(async () => {
  process.env.WAYPOST_SEAL_KEY = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all" });
  const file = join(dir, "waypost.yaml");
  const listen = { host: "127.0.0.1", port: 0 };
  writeFileSync(file, stringify({ redis: { url: redis.url }, http: listen, ops: { ...listen, token: OPS } }));
  const reader = createConfigReader({ file, adapters, takesTenants: true });
  const loaded = reader.read();
  if (!("config" in loaded)) throw new Error(JSON.stringify(loaded.problems));
  gateway = await startGateway(loaded.config, pino({ level: "silent" }), reader);
  const isReady = async () => (await fetch(`http://127.0.0.1:${gateway.opsPort}/readyz`)).ok;
  await until(isReady, { withinMs: 20_000, what: "a gateway that is ready" });
});
afterAll(async () => {
  await gateway?.close();
  await sandbox?.stop();
  await redis?.stop();
  rmSync(dir, { recursive: true });
});

async function api(method: string, path: string, body?: unknown) {
  const answer = await fetch(`http://127.0.0.1:${gateway.opsPort}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${OPS}`, "content-type": "application/json", "if-match": "*" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: JSON.parse(await answer.text()) };
}

let secret = "";
async function send(device: string) {
  const answer = await fetch(`http://127.0.0.1:${gateway.webhookPort}/webhooks/acme-vans`, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: JSON.stringify({
      ...{ deviceId: device, time: new Date().toISOString(), latitude: 30.2672, longitude: -97.7431 },
    }),
  });
  await answer.text();
  return answer.status;
}

const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
const document = () => ({
  sources: {
    "acme-vans": { vendor: "json", destination: "acme", auth: { method: "bearer", secret: "(generate)" } },
  },
  destinations: {
    acme: {
      ...{ environment: "custom", apiUrl: sandbox.url, authUrl: sandbox.authUrl, maxBatchAgeMs: 100 },
      ...{ tenant: tenants[0], provider: providers[0], appKey, clientId, clientSecret },
    },
  },
  limits: { devices: 2 },
});

test("it is used as soon as it is there, paused and resumed, limited, and gone again", async () => {
  const wrong = await api("POST", "/tenants", {
    tenant: "acme",
    document: { ...document(), destinations: {} },
  });
  expect(wrong).toMatchObject({
    status: 422,
    body: { errors: expect.arrayContaining([expect.objectContaining({ pointer: "/destinations" })]) },
  });
  const created = await api("POST", "/tenants", { tenant: "acme", document: document() });
  expect(created.status).toBe(200);
  secret = created.body.secrets[0].secret;
  await until(async () => (await send("one")) === 200, { what: "its webhook to be known" });
  const listed = (await api("GET", "/tenants?state=active")).body.items;
  expect(listed).toMatchObject([{ tenant: "acme", origin: "api", state: "active" }]);

  await api("POST", "/tenants/acme/pause", {});
  await until(async () => (await send("one")) === 503, { what: "the pause" });
  await api("POST", "/tenants/acme/resume", {});
  await until(async () => (await send("two")) === 200, { what: "the end of the pause" });
  await send("three");
  await until(
    async () => {
      const { body } = await api("GET", "/sources/acme-vans");
      return body.rejectedBy?.too_many_devices >= 1;
    },
    { what: "the third device to be one too many" },
  );
  const erased = await api("POST", "/tenants/acme/erasures", {});
  expect(erased.body.erased.devices).toBe(2);
  expect((await api("DELETE", "/tenants/acme")).body.state).toBe("deleted");
  await until(async () => (await send("one")) !== 200, { what: "it to be gone" });
});
