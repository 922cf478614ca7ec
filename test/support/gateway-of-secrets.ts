/** A gateway with every kind of secret in its configuration, each one made up, and senders that know them. */

import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import mqtt from "mqtt";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { BEARER, type GatewayProcess, quietPort, startGatewayProcess, TOKEN } from "./gateway-process.ts";
import { createMarkers } from "./markers.ts";

export const markers = createMarkers();
const { make, look } = markers;
make("ops token", TOKEN);
export const ENV = {
  FROM_ENV: make("secret of the environment"),
  WAYPOST_SEAL_KEY: make("seal key", randomBytes(32).toString("hex")),
  HTTPS_PROXY: `http://anna:${make("proxy password")}@127.0.0.1:9`,
};
export const S = {
  ...{ bearer: make("bearer"), basic: make("basic"), user: make("user of a list"), key: make("shared key") },
  ...{
    header: make("custom header"),
    url: make("url token"),
    body: make("body token"),
    sha1: make("hmac-sha1"),
  },
  ...{
    rotated: make("second of two secrets"),
    file: make("secret in a file"),
    device: make("device password"),
  },
  sha256: make("hmac-sha256"),
  base64: make("signing key in base64", randomBytes(33).toString("base64")),
  ...{ polled: make("polled vendor's secret"), login: make("login body"), header2: make("json-pull header") },
  ...{ geotab: make("geotab password"), redis: make("redis password"), broker: make("broker password") },
  ...{
    reader: make("second ops token"),
    api: make("secret of a tenant of the API"),
    next: make("its next secret"),
  },
};
export const cookie = make("cookie of a message");
const CLIENT = {
  ...SANDBOX_CLIENT,
  tenants: ["1000001", "1000002"],
  ...{ appKey: make("app key"), clientId: make("client id"), clientSecret: make("client secret") },
};

const dir = mkdtempSync(join(tmpdir(), "waypost-secrets-"));
let redis: PrivateRedis;
let sandbox: SandboxApi;
let vendor: Server;
let gateway: GatewayProcess;
let redisUrl = "";
let vendorUrl = "";
let mqttPort = 0;

/** A vendor that repeats in its answer what it was sent, as careless ones do. */
async function startVendor(): Promise<string> {
  vendor = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(Buffer.from(chunk));
      const sent = `${Buffer.concat(chunks)} ${JSON.stringify(request.headers)}`;
      response.writeHead(request.url === "/login" ? 200 : 403, { "content-type": "application/json" });
      response.end(JSON.stringify({ token: "t".repeat(30), error: sent, message: sent }));
    })();
  }).listen(0, "127.0.0.1");
  await once(vendor, "listening");
  const address = vendor.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
}

export function destination(n: number, more: object = {}) {
  const { appKey, clientId, clientSecret, tenants, providers } = CLIENT;
  const sandboxAt = { environment: "custom", apiUrl: sandbox.url, authUrl: sandbox.authUrl };
  return {
    ...sandboxAt,
    tenant: tenants[n],
    provider: providers[0],
    appKey,
    clientId,
    clientSecret,
    ...more,
  };
}

export function sourcesOf() {
  const of = (name: string, auth: object, more: object = {}) => ({
    vendor: name,
    destination: "acme",
    auth,
    ...more,
  });
  const pull = {
    baseUrl: vendorUrl,
    path: "/positions",
    privateNetwork: true,
    headers: { "X-Own": S.header2 },
  };
  const options = { readings: "vans", deviceId: "van", latitude: "lat", longitude: "lon", time: "at" };
  return {
    bearer: of("json", { method: "bearer", secrets: [S.bearer, S.rotated] }),
    basic: of("json", { method: "basic", username: "anna", secret: S.basic }),
    users: of("owntracks", { method: "basic", users: [{ username: "otto", secret: S.user }] }),
    key: of("bouncie", { secret: S.key }),
    header: of("json", { method: "custom-header", header: "X-Ours", secret: S.header }),
    url: of("json", { method: "url-token", secret: S.url }),
    body: of("jimi", { secret: S.body }),
    sha1: of("motive", { secret: S.sha1 }, { speedUnit: "mph" }),
    sha256: of("json", { method: "hmac-sha256", header: "X-Seal", secret: S.sha256 }),
    base64: of("samsara", { secret: S.base64 }),
    file: of("json", { method: "bearer", secret: `\${file:${join(dir, "a-secret")}}` }),
    env: of("json", { method: "bearer", secret: `\${FROM_ENV}` }),
    phones: { vendor: "owntracks", destination: "acme", mqtt: { broker: "listen" } },
    remote: { vendor: "owntracks", destination: "acme", mqtt: { broker: "far" } },
    polled: of(
      "json-pull",
      { secret: S.polled },
      {
        ...{ options, speedUnit: "mph" },
        pull: {
          ...pull,
          login: { path: "/login", json: { a: "{secret}", b: S.login }, token: "token" },
          bearer: "{token}",
        },
      },
    ),
    geotab: of("geotab", { secret: S.geotab, username: "anna@acme.example" }, { pull: { database: "acme" } }),
  };
}

/** Starts everything that it needs, and it. */
export async function startGatewayOfSecrets(): Promise<void> {
  writeFileSync(join(dir, "a-secret"), `${S.file}\n`);
  redis = await startPrivateRedis();
  const db = new Redis(redis.url);
  await db.config("SET", "requirepass", S.redis);
  db.disconnect();
  redisUrl = `redis://:${S.redis}@127.0.0.1:${redis.port}`;
  sandbox = await startSandboxApi({ record: "all", clients: [CLIENT] });
  vendorUrl = await startVendor();
  mqttPort = await quietPort();
  const brokerUrl = `mqtt://127.0.0.1:${await quietPort()}`;
  gateway = await startGatewayProcess({
    ...{ redisUrl, sandbox, sources: sourcesOf(), env: ENV },
    sections: {
      log: { level: "debug" },
      destinations: {
        acme: destination(0),
        wrong: destination(0, {
          provider: "another",
          clientSecret: make("refused client secret"),
          clientId: "somebody",
        }),
      },
      mqtt: {
        listen: {
          ...{ host: "127.0.0.1", port: mqttPort },
          devices: [{ username: "van-1", password: S.device, source: "phones", topics: ["owntracks/%u/#"] }],
        },
        brokers: { far: { url: brokerUrl, clientId: "waypost-x", username: "anna", password: S.broker } },
      },
    },
    tokens: [
      { name: "boss", token: TOKEN, role: "operate" },
      { name: "reader", token: S.reader, role: "read" },
    ],
  });
}
export async function stopGatewayOfSecrets(): Promise<void> {
  await gateway?.stop();
  await sandbox?.stop();
  await redis?.stop();
  vendor?.close();
  rmSync(dir, { recursive: true, force: true });
}

let sent = 0;
export function reading(): string {
  sent += 1;
  return JSON.stringify({
    ...{ deviceId: `van-${sent}`, latitude: 30 + sent / 100, longitude: -97, time: new Date().toISOString() },
  });
}

export async function ask(
  path: string,
  init: RequestInit = {},
): Promise<{ status: number; text: string; headers: Headers }> {
  const answer = await fetch(`http://127.0.0.1:${gateway.opsPort}${path}`, {
    ...init,
    headers: { "content-type": "application/json", ...BEARER, ...init.headers },
  });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
}
export const post = (path: string, body: object, method = "POST", headers: Record<string, string> = {}) =>
  ask(`/api/v1${path}`, { method, body: JSON.stringify(body), headers });

export async function send(
  source: string,
  headers: Record<string, string>,
  body: string,
  query = "",
): Promise<number> {
  const answer = await fetch(`${gateway.webhook(source)}${query}`, {
    ...{ method: "POST", body, headers: { "content-type": "application/json", ...headers } },
  });
  look("webhook answers", await answer.text());
  return answer.status;
}

export const basic = (username: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`,
});
export const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });
const signed = (algorithm: string, secret: string, body: string) =>
  createHmac(algorithm, secret).update(body).digest("hex");

/** Each source with its own credentials, beside them a secret in a header that no vendor documents. */
export async function sendAll(bodyOf: (token: string) => string): Promise<Record<string, number>> {
  const body = bodyOf("");
  const also = { "x-forwarded-client-cert": "x", cookie: `session=${cookie}` };
  const time = String(Math.floor(Date.now() / 1000));
  const key = Buffer.from(S.base64, "base64");
  const samsara = createHmac("sha256", key).update(`v1:${time}:${body}`).digest("hex");
  return {
    bearer: await send("bearer", { ...bearer(S.bearer), ...also }, body),
    rotated: await send("bearer", { ...bearer(S.rotated), "x-copy": S.rotated }, body),
    basic: await send("basic", { ...basic("anna", S.basic), ...also }, body),
    users: await send("users", basic("otto", S.user), body),
    key: await send("key", { "x-bouncie-authorization": S.key }, body),
    header: await send("header", { "x-ours": S.header }, body),
    url: await send("url", {}, body, `?token=${S.url}&copy=${S.url}`),
    body: await send("body", {}, bodyOf(S.body)),
    sha1: await send("sha1", { "x-kt-webhook-signature": signed("sha1", S.sha1, body) }, body),
    sha256: await send("sha256", { "x-seal": signed("sha256", S.sha256, body) }, body),
    base64: await send(
      "base64",
      { "x-samsara-signature": `v1=${samsara}`, "x-samsara-timestamp": time },
      body,
    ),
    file: await send("file", bearer(S.file), body),
    env: await send("env", bearer(ENV.FROM_ENV), body),
  };
}

export async function deviceAsks(password: string): Promise<void> {
  const client = mqtt.connect({
    ...{
      host: "127.0.0.1",
      port: mqttPort,
      username: "van-1",
      password,
      clientId: "one",
      reconnectPeriod: 0,
    },
  });
  const said = await new Promise<string>((resolve) => {
    client.once("connect", () => resolve("connected"));
    client.once("error", (error) => resolve(error.message));
  });
  look("MQTT answers", said);
  if (said === "connected") await client.publishAsync("owntracks/van-1/phone", '{"nonsense": 1}', { qos: 1 });
  await client.endAsync(true);
}

export const running = () => ({ gateway, redis, redisUrl, vendorUrl });
