/** `doctor` against set-ups that are broken in one way each: it names what is wrong, in time, and sends no position. */

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Aedes } from "aedes";
import { Redis } from "ioredis";
import mqtt from "mqtt";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { destinationAt, SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import type { FaultInput } from "../../sandbox/faults.ts";
import { freePort } from "../../sandbox/owned-process.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Line, Surroundings } from "../../src/doctor/check.ts";
import { configurationLines } from "../../src/doctor/configuration.ts";
import type { FindingKind } from "../../src/doctor/findings.ts";
import { exitCodeOf, inWords } from "../../src/doctor/report.ts";
import { runDoctor } from "../../src/doctor/run.ts";
import type { TestPing } from "../../src/doctor/servicetitan.ts";
import { createAuthority } from "../support/certificates.ts";
import { type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { type PolledVendor, startPolledVendor } from "../support/polled-vendor.ts";
import { scaled } from "../support/speed.ts";

vi.setConfig({ testTimeout: scaled(60_000), hookTimeout: scaled(60_000) });

/** The bound for one run, and what the checks get of it. */
const BOUND_MS = scaled(10_000);
const WITHIN_MS = scaled(8_500);
const SECRET = "5f0c2a96d3b14e7a99c1";
const FEW_RETAINED = 20;

const dir = mkdtempSync(join(tmpdir(), "waypost-doctor-"));
const closing: (() => unknown)[] = [];
let redis: PrivateRedis;
let db: Redis;
let api: SandboxApi;
let broker: Mosquitto;
let vendor: PolledVendor;
/** Accepts connections and says nothing. */
let silent: number;

beforeAll(async () => {
  redis = await startPrivateRedis();
  db = new Redis(redis.url);
  api = await startSandboxApi({ record: "all" });
  broker = await startMosquitto();
  vendor = await startPolledVendor(() => ({ status: 200, body: { rows: [vehicle()] } }));
  silent = await listening(createServer((socket) => void socket.on("error", () => {})));
});
afterAll(async () => {
  db.disconnect();
  for (const close of closing) close();
  await Promise.all([redis.stop(), api.stop(), broker.stop(), vendor.close()]);
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => api.faults.clear());

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

function vehicle() {
  return { device: "356938035643809", lat: 33.4, lon: -112.1, time: new Date().toISOString(), kph: 30 };
}

interface Changes {
  redis?: object;
  destination?: object;
  broker?: object;
  topics?: string[];
  polled?: object;
  spool?: object;
  env?: Record<string, string>;
  testPing?: TestPing | null;
  withinMs?: number;
  given?: Partial<Surroundings>;
}

function settingsOf({ redis: redisOver, destination, broker: brokerOver, topics, polled, spool }: Changes) {
  return {
    redis: { url: redis.url, ...redisOver },
    ops: { token: SECRET },
    ...(spool ? { spool } : {}),
    mqtt: {
      brokers: {
        site: { url: broker.url, clientId: "gateway-1", receiveMaximum: FEW_RETAINED, ...brokerOver },
      },
    },
    sources: {
      phones: {
        vendor: "owntracks",
        destination: "acme",
        mqtt: { broker: "site", topics: topics ?? ["owntracks/+/+"] },
      },
      polled: {
        vendor: "json-pull",
        destination: "acme",
        auth: { secret: SECRET },
        pull: {
          baseUrl: vendor.url,
          path: "/vehicles",
          query: { key: "{secret}" },
          privateNetwork: true,
          ...polled,
        },
        options: { readings: "rows", deviceId: "device", speed: "kph" },
      },
    },
    destinations: { acme: { ...destinationAt(api), ...destination } },
  };
}

async function examined({ given, testPing = null, withinMs = WITHIN_MS, ...changes }: Changes = {}) {
  const settings = settingsOf(changes);
  const loaded = loadConfig({ settings, env: changes.env ?? {}, adapters, allowWeak: true });
  const startedAt = performance.now();
  const lines =
    "problems" in loaded
      ? configurationLines(loaded.problems)
      : await runDoctor({ config: loaded.config, only: {}, testPing, withinMs }, given);
  return { lines, tookMs: performance.now() - startedAt };
}

function foundIn(lines: readonly Line[]) {
  return lines.flatMap((line) => (line.state === "not_well" ? [line.finding] : []));
}

interface Broken {
  setUp: string;
  /** What is found, and nothing else. */
  finds: FindingKind | FindingKind[];
  says: RegExp;
  fault?: FaultInput;
  changes?: () => Changes | Promise<Changes>;
  /** Makes Redis well again. */
  mend?: () => unknown;
}

async function expectFound({ finds, says, fault, changes, mend }: Broken): Promise<void> {
  if (fault) api.faults.set(fault);
  try {
    const { lines, tookMs } = await examined(await changes?.());
    const found = foundIn(lines);
    expect(
      found.map(({ kind }) => kind),
      inWords(lines).join("\n"),
    ).toEqual([finds].flat());
    expect(found.map((each) => each.says).join("\n")).toMatch(says);
    for (const { says: text, remedy } of found) expect(`${text} ${remedy}`).not.toMatch(/[{}]|undefined/);
    expect(exitCodeOf(lines)).not.toBe(0);
    expect(tookMs).toBeLessThan(BOUND_MS);
    expect(inWords(lines).join("\n")).not.toContain(SANDBOX_CLIENT.clientSecret);
  } finally {
    await mend?.();
  }
}

const cases = (broken: Broken[]): [string, Broken][] => broken.map((each) => [each.setUp, each]);
const destination = (over: object) => () => ({ destination: over });

test("a healthy set-up is well, sends no position, and takes no session from a gateway", async () => {
  const gateway = await mqtt.connectAsync(broker.url, { clientId: "gateway-1" });
  let isThrownOut = false;
  gateway.once("close", () => {
    isThrownOut = true;
  });
  const { lines } = await examined({ spool: { dir: join(dir, "spool") } });
  expect(foundIn(lines), inWords(lines).join("\n")).toEqual([]);
  expect(exitCodeOf(lines)).toBe(0);
  expect(isThrownOut).toBe(false);
  gateway.end(true);
  const areas = new Set(lines.map(({ area }) => area));
  expect([...areas]).toEqual(["redis", "machine", "servicetitan", "broker", "polled"]);
  expect(lines.filter(({ state }) => state === "not_asked")).toEqual([]);
  expect(api.summary()).toMatchObject({ requests: 1, accepted: 0 });
});

describe("Redis", () => {
  const set = (name: string, value: string) => async () => {
    await db.config("SET", name, value);
    return {};
  };
  test.each(
    cases([
      {
        setUp: "is down",
        finds: "redis_unreachable",
        says: /connection refused at 127\.0\.0\.1/,
        changes: async () => ({ redis: { url: `redis://127.0.0.1:${await freePort()}` } }),
      },
      {
        setUp: "wants a password",
        finds: "redis_unreachable",
        says: /login is refused/,
        changes: set("requirepass", "another"),
        mend: () => db.config("SET", "requirepass", ""),
      },
      {
        setUp: "has no AOF",
        finds: "redis_aof_off",
        says: /AOF is off/,
        changes: set("appendonly", "no"),
        mend: () => db.config("SET", "appendonly", "yes"),
      },
      {
        setUp: "evicts",
        finds: "redis_evicts",
        says: /maxmemory-policy is allkeys-lru/,
        changes: set("maxmemory-policy", "allkeys-lru"),
        mend: () => db.config("SET", "maxmemory-policy", "noeviction"),
      },
      {
        setUp: "is nearly full",
        finds: "redis_memory",
        says: /\d+ % of Redis's maxmemory/,
        changes: async () => {
          const used = Number(/used_memory:(\d+)/.exec(await db.info("memory"))?.[1]);
          return set("maxmemory", String(Math.ceil(used * 1.12)))();
        },
        mend: () => db.config("SET", "maxmemory", "0"),
      },
      {
        setUp: "is a replica",
        finds: "redis_replica",
        says: /replica, which takes no writes/,
        changes: async () => {
          await db.replicaof("127.0.0.1", 1);
          return {};
        },
        mend: () => db.replicaof("NO", "ONE"),
      },
    ]),
  )("%s", (_, broken) => expectFound(broken));
});

describe("the way to ServiceTitan", () => {
  test.each(
    cases([
      {
        setUp: "has no DNS",
        finds: "dns_failed",
        says: /^DNS: the name api\.waypost-test\.invalid cannot be looked up/,
        changes: destination({ apiUrl: "https://api.waypost-test.invalid" }),
      },
      {
        setUp: "has a certificate that nobody signed",
        finds: "tls_failed",
        says: /^TLS: no trusted connection to 127\.0\.0\.1:\d+ \(\w+\)/,
        async changes() {
          const authority = createAuthority();
          closing.push(authority.remove);
          const port = await listening(createHttpsServer(authority.sign("api")));
          return { destination: { apiUrl: `https://127.0.0.1:${port}` } };
        },
      },
      {
        setUp: "has a proxy that refuses",
        finds: "proxy_failed",
        says: /^Proxy: 127\.0\.0\.1:\d+ makes no connection to 127\.0\.0\.1/,
        async changes() {
          const refuse = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
          const port = await listening(
            createServer((socket) => void socket.on("error", () => {}).end(refuse)),
          );
          // The vendor is not what is tested.
          const env = { HTTP_PROXY: `http://ana:pw@127.0.0.1:${port}`, NO_PROXY: new URL(vendor.url).host };
          return { env };
        },
      },
      {
        setUp: "leads to nobody",
        finds: "host_unreachable",
        says: /gives no answer \(ECONNREFUSED\)/,
        changes: async () => ({ destination: { authUrl: `http://127.0.0.1:${await freePort()}` } }),
      },
      {
        setUp: "passes a clock that is off",
        finds: "clock_off",
        says: /clock is 10 min behind that of 127\.0\.0\.1/,
        fault: { kind: "clock_off", seconds: 600 },
      },
      {
        setUp: "begins at a machine whose clock is off",
        finds: ["redis_clock", "clock_off"],
        says: /clock is 10 min ahead of that of Redis/,
        changes: () => ({ given: { now: () => Date.now() + 600_000 } }),
      },
    ]),
  )("%s", (_, broken) => expectFound(broken));
});

describe("the token", () => {
  test.each(
    cases([
      {
        setUp: "a secret with white space at its end",
        finds: "configuration",
        says: /clientSecret begins or ends with white space/,
        changes: destination({ clientSecret: `${SANDBOX_CLIENT.clientSecret}\n` }),
      },
      {
        setUp: "a secret in quotes",
        finds: "secret_malformed",
        says: /clientSecret holds quotes/,
        changes: destination({ clientSecret: `"${SANDBOX_CLIENT.clientSecret}"` }),
      },
      {
        setUp: "a wrong secret",
        finds: "credentials_refused",
        says: /invalid_client, HTTP 400\): one is wrong, of another environment/,
        changes: destination({ clientSecret: "another-secret" }),
      },
      {
        setUp: "credentials of the other environment",
        finds: "wrong_environment",
        says: /are of integration, and environment is custom/,
        fault: { kind: "wrong_environment", times: 1 },
        changes: () => ({
          given: { otherAuthUrl: () => ({ environment: "integration", authUrl: api.authUrl }) },
        }),
      },
      {
        setUp: "a client of another tenant",
        finds: "wrong_client",
        says: /belongs to tenant 1000001, and destination\.tenant is 999/,
        changes: destination({ tenant: "999" }),
      },
      {
        setUp: "a token endpoint that is down",
        finds: "token_unavailable",
        says: /no token now \(HTTP 503\)/,
        fault: { kind: "token_down" },
      },
    ]),
  )("%s", (_, broken) => expectFound(broken));
});

describe("an authorised request", () => {
  test.each(
    cases([
      {
        setUp: "with another app's key",
        finds: "app_key_wrong",
        says: /app key is not accepted \(HTTP 401: /,
        fault: { kind: "app_key_wrong" },
      },
      {
        setUp: "without the scope",
        finds: "scope_missing",
        says: /lacks the scope tn\.dis\.gpspings:w \(HTTP 403/,
        fault: { kind: "scope_missing" },
      },
      {
        setUp: "of a version that the tenant has not accepted",
        finds: "version_refused",
        says: /not accepted the app's newest version/,
        fault: { kind: "version_refused" },
      },
      {
        setUp: "with the tenant's name",
        finds: "configuration",
        says: /tenant must be the numeric tenant id, not the tenant's name/,
        changes: destination({ tenant: "acme-plumbing" }),
      },
      {
        setUp: "for a tenant that is not connected",
        finds: "tenant_unknown",
        says: /Tenant 1000001 is not known to this app in this environment/,
        fault: { kind: "tenant_unknown" },
      },
      {
        setUp: "with an unknown provider",
        finds: "provider_not_connected",
        says: /GPS provider named waypst .*wrong name/,
        changes: destination({ provider: "waypst" }),
      },
      {
        setUp: "with a provider that was not chosen",
        finds: "provider_not_connected",
        says: /not connected to a GPS provider named waypost/,
        fault: { kind: "provider_not_connected", status: 400 },
      },
      {
        setUp: "with a provider that is not activated",
        finds: "provider_inactive",
        says: /GPS provider waypost is not activated/,
        fault: { kind: "provider_inactive", status: 404 },
      },
      {
        setUp: "refused without a word, which can mean several things",
        finds: "call_refused",
        says: /HTTP 403.*newest version; the provider's name is wrong.*; the provider is not activated/,
        fault: { kind: "status", status: 403 },
      },
      {
        setUp: "above the rate that is allowed",
        finds: "call_throttled",
        says: /no more requests now \(HTTP 429.*ratePerSecond is 20/,
        fault: { kind: "throttle", seconds: 7 },
      },
      {
        setUp: "while ServiceTitan is down",
        finds: "call_unavailable",
        says: /cannot answer now \(HTTP 503/,
        fault: { kind: "status", status: 503 },
      },
    ]),
  )("%s", (_, broken) => expectFound(broken));

  test("carries no position: none of the requests above had one", () => {
    expect(api.requests().length).toBeGreaterThan(10);
    expect(api.pings()).toEqual([]);
    expect(api.summary().maxPerSecond).toBeLessThanOrEqual(20);
  });
});

describe("a test ping", () => {
  const testPing = { unit: "van-1", latitude: 0, longitude: 0 };

  test("is one, and comes back accepted", async () => {
    api.clear();
    const { lines } = await examined({ testPing });
    expect(foundIn(lines)).toEqual([]);
    expect(inWords(lines).join("\n")).toMatch(/test ping: accepted for van-1, as doctor:van-1:\d+/);
    expect(api.pings().map(({ ping }) => [ping.unitId, ping.latitude])).toEqual([["van-1", 0]]);
  });

  test("is refused in ServiceTitan's words", () =>
    expectFound({
      setUp: "",
      finds: "test_ping_refused",
      says: /test ping of van-1 \(Unit is not known to this provider\.\)/,
      fault: { kind: "fail", match: { unitId: "van-1" } },
      changes: () => ({ testPing }),
    }));

  test("is not sent where requests are refused", async () => {
    api.clear();
    api.faults.set({ kind: "provider_inactive" });
    const { lines } = await examined({ testPing });
    expect(lines).toContainEqual(expect.objectContaining({ check: "test ping", state: "not_asked" }));
    expect(api.pings()).toEqual([]);
  });
});

describe("a broker", () => {
  /** Mosquitto grants every subscription and leaves messages out; this one says no. */
  async function strictBroker(): Promise<string> {
    const strict = await Aedes.createBroker();
    strict.authenticate = (_client, username, _password, done) => done(null, username !== "stranger");
    strict.authorizeSubscribe = (_client, filter, done) =>
      done(null, filter.topic.startsWith("secret/") ? null : filter);
    const port = await listening(createServer(strict.handle));
    closing.unshift(() => strict.close());
    return `mqtt://127.0.0.1:${port}`;
  }

  test.each(
    cases([
      {
        setUp: "that refuses the login",
        finds: "broker_login",
        says: /refuses the login \(Not authorized\)/,
        changes: async () => ({
          broker: { url: await strictBroker(), protocolVersion: 4, username: "stranger", password: SECRET },
        }),
      },
      {
        setUp: "that refuses one of two filters",
        finds: "subscription_refused",
        says: /subscription to secret\/# /,
        changes: async () => ({
          broker: { url: await strictBroker(), protocolVersion: 4 },
          topics: ["owntracks/+/+", "secret/#"],
        }),
      },
      {
        setUp: "that is down",
        finds: "host_unreachable",
        says: /gives no answer \(ECONNREFUSED\)/,
        changes: async () => ({ broker: { url: `mqtt://127.0.0.1:${await freePort()}` } }),
      },
      {
        setUp: "that keeps a flood of retained messages",
        finds: "retained_flood",
        says: /More than 20 retained messages/,
        async changes() {
          const device = await mqtt.connectAsync(broker.url);
          const many = Array.from({ length: FEW_RETAINED + 5 }, (_, n) =>
            device.publishAsync(`owntracks/van/${n}`, "{}", { retain: true, qos: 1 }),
          );
          await Promise.all(many);
          await device.endAsync();
          return {};
        },
        mend: () => broker.restart(),
      },
    ]),
  )("%s", (_, broken) => expectFound(broken));

  test("is not joined as a member of a shared subscription", async () => {
    const { lines } = await examined({ topics: ["$share/gateway/owntracks/+/+"] });
    expect(foundIn(lines)).toEqual([]);
    expect(lines).toContainEqual(
      expect.objectContaining({ area: "broker", check: "$share/gateway/owntracks/+/+", state: "not_asked" }),
    );
  });
});

test("a polled vendor that refuses", async () => {
  vendor.instead.push({ status: 403, body: "" });
  await expectFound({ setUp: "", finds: "vendor_not_well", says: /\/vehicles: HTTP 403, forbidden/ });
});

describe("this machine", () => {
  test.each(
    cases([
      {
        setUp: "lets a process open few files",
        finds: "descriptors_low",
        says: /may open 90 files here; this configuration needs \d+ at least/,
        changes: () => ({ given: { fileLimit: () => 90 } }),
      },
      {
        setUp: "has no directory for the spool",
        finds: "spool_unwritable",
        says: /spool\.dir: .* cannot be written to \(ENOTDIR\)/,
        changes() {
          writeFileSync(join(dir, "file"), "");
          return { spool: { dir: join(dir, "file", "spool") } };
        },
      },
      {
        setUp: "has a disk that the spool may fill",
        finds: "spool_disk_full",
        says: /has \d+ MB free, and the spool may want 9000000000 MB more/,
        changes: () => ({ spool: { dir, maxBytes: 9e15 } }),
      },
    ]),
  )("%s", (_, broken) => expectFound(broken));
});

test("where nothing answers at all, the run ends in time and names each", async () => {
  const nowhere = `http://127.0.0.1:${silent}`;
  const { lines, tookMs } = await examined({
    redis: { url: `redis://127.0.0.1:${silent}` },
    destination: { apiUrl: nowhere, authUrl: nowhere },
    broker: { url: `mqtt://127.0.0.1:${silent}` },
    polled: { baseUrl: nowhere },
    // Only timers count here, however busy the machine is.
    withinMs: 2000,
  });
  expect(foundIn(lines).map(({ kind }) => kind)).toEqual([
    "redis_unreachable",
    "host_unreachable",
    "host_unreachable",
    "vendor_not_well",
  ]);
  const text = inWords(lines).join(" ");
  expect(text).toMatch(/Redis does not answer \(no answer in time at 127\.0\.0\.1.*no answer within 1\.8 s/);
  expect(lines).toContainEqual(expect.objectContaining({ of: "acme", check: "call", state: "not_asked" }));
  expect(tookMs).toBeLessThan(BOUND_MS);
});
