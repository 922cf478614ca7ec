/** Each problem as an operator's script sees it: there within 5 s of its cause, with names and remedy, and gone with its cure. */

import { createHmac } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import mqtt from "mqtt";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import type { FaultInput } from "../../sandbox/faults.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import type { ApiProblem } from "../../src/ops/api/schema/problem.ts";
import {
  BEARER,
  type GatewayProcess,
  quietPort,
  startGatewayProcess,
  TOKEN,
} from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(120_000), hookTimeout: scaled(120_000) });

const SHOWN_WITHIN_MS = 5000;
const GONE_WITHIN_MS = 60_000;
/** A request is called unanswered after 5 s, and given up after this. */
const REQUEST_TIMEOUT_MS = 9000;
const STALE_AFTER_MS = 40_000;

/** Destination to tenant: a fault of the sandbox is of one tenant. */
const TENANTS = {
  acme: "1000001",
  "far-away": "1000002",
  silent: "1000003",
  unauthorized: "1000004",
  forbidden: "1000005",
  unknown: "1000006",
  unavailable: "1000007",
} as const;
type Destination = keyof typeof TENANTS;

const webhook = (destination: Destination = "acme") => ({
  vendor: "json",
  destination,
  auth: { method: "bearer", secret: TOKEN },
});
const PHONES = { username: "van-1", password: "a password for the van", source: "phones" };

let mqttUrl: string;
let redis: PrivateRedis;
let db: Redis;
let sandbox: SandboxApi;
let gateway: GatewayProcess;
/** What was measured, to be read where a deadline is missed. */
const measured: Record<string, string> = {};

beforeAll(async () => {
  redis = await startPrivateRedis();
  db = new Redis(redis.url);
  const client = { ...SANDBOX_CLIENT, tenants: Object.values(TENANTS) };
  sandbox = await startSandboxApi({ record: "all", clients: [client] });
  const port = await quietPort();
  mqttUrl = `mqtt://127.0.0.1:${port}`;
  const { clientId, clientSecret, appKey, providers } = SANDBOX_CLIENT;
  gateway = await startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    sources: {
      ...Object.fromEntries(
        ["rotated", "mixed", "stale", "mostly", "one-bad", "behind", "ahead", "quiet", "junk"].map((name) => [
          name,
          webhook(),
        ]),
      ),
      ...Object.fromEntries(
        ["silent", "unauthorized", "forbidden", "unknown", "unavailable"].map((name) => [
          `to-${name}`,
          webhook(name as Destination),
        ]),
      ),
      late: webhook("far-away"),
      pair: webhook("far-away"),
      cars: { vendor: "smartcar", destination: "acme", auth: { method: "hmac-sha256", secret: TOKEN } },
      phones: { vendor: "owntracks", destination: "acme", mqtt: { broker: "listen" } },
    },
    sections: {
      mqtt: {
        listen: { host: "127.0.0.1", port, devices: [{ ...PHONES, topics: ["%u/#", "/hfp/v2/#"] }] },
      },
      diagnosis: { silentFloorMs: 30_000, staleAfterMs: STALE_AFTER_MS },
      destinations: Object.fromEntries(
        Object.entries(TENANTS).map(([name, tenant]) => [
          name,
          {
            environment: "custom",
            apiUrl: sandbox.url,
            authUrl: sandbox.authUrl,
            provider: providers[0],
            ...{ tenant, appKey, clientId, clientSecret },
            requestTimeoutMs: REQUEST_TIMEOUT_MS,
            ...(name === "far-away" ? { maxAgeMs: 3_600_000 } : {}),
          },
        ]),
      ),
    },
  });
});
afterAll(async () => {
  console.table(measured);
  await gateway?.stop();
  await sandbox?.stop();
  db?.disconnect();
  await redis?.stop();
});

async function problems(): Promise<ApiProblem[]> {
  const answer = await fetch(`http://127.0.0.1:${gateway.opsPort}/api/v1/problems?limit=200`, {
    headers: BEARER,
  });
  if (!answer.ok) throw new Error(`/problems answered ${answer.status}`);
  const page: { items: ApiProblem[] } = JSON.parse(await answer.text());
  return page.items;
}

const found = async (kind: string, where: string) =>
  (await problems()).find((each) => each.kind === kind && each.where === where);

interface Told {
  kind: ApiProblem["kind"];
  where: string;
  cause(): Promise<unknown>;
  /** Beyond what the problem itself takes to be one, milliseconds. */
  dueAfterMs?: number;
  says: Record<string, unknown>;
  /** Left out: it ends by being quiet for a while, as test/ops/incidents.test.ts shows. */
  cure?(): Promise<unknown>;
}

async function isTold({ kind, where, cause, dueAfterMs = 0, says, cure }: Told): Promise<void> {
  expect(await found(kind, where), "before its cause").toBeUndefined();
  await cause();
  const caused = performance.now();
  // It may be seen after some of its causes, and says more after the last.
  await until(
    async () => {
      expect(await found(kind, where)).toMatchObject({ kind, where, ...says });
      return true;
    },
    { withinMs: dueAfterMs + SHOWN_WITHIN_MS, what: `${kind} of ${where}` },
  );
  const shown = performance.now();
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  measured[`${kind} ${where}`] = `shown ${seconds(shown - caused)}`;
  if (!cure) return;
  await cure();
  const cured = performance.now();
  await until(async () => (await found(kind, where)) === undefined, {
    withinMs: GONE_WITHIN_MS,
    what: `the end of ${kind} of ${where}`,
  });
  measured[`${kind} ${where}`] += `, gone ${seconds(performance.now() - cured)}`;
}

interface Place {
  ageMs?: number;
  latitude?: number;
}
let lastTime = 0;
function reading(deviceId: string, { ageMs = 0, latitude = 32.78 }: Place = {}) {
  // No two have one time: the second would be a duplicate, and cure nothing.
  lastTime = Math.max(lastTime + 1, Date.now());
  return { deviceId, latitude, longitude: -96.8, time: new Date(lastTime - ageMs).toISOString() };
}

async function post(source: string, body: unknown, secret: string = TOKEN): Promise<number> {
  const answer = await fetch(gateway.webhook(source), {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  await answer.text();
  return answer.status;
}

async function times(n: number, step: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < n; i++) await step(i);
}

describe.concurrent("before store", () => {
  test("a rotated secret, after a hundred good messages", () =>
    isTold({
      kind: "authentication_failing",
      where: "source rotated",
      async cause() {
        await times(100, (i) => post("rotated", reading(`van-${i}`)));
        await times(3, () => post("rotated", reading("van-1"), "the old secret of the vendor"));
      },
      says: {
        ...{ severity: "error", whose: "configuration", source: "rotated", destination: "acme" },
        what: expect.stringContaining("The last 3 messages were all refused (unauthenticated)"),
        doNext: expect.stringContaining("compare auth.secret of the source with the vendor's"),
      },
      cure: () => post("rotated", reading("van-1")),
    }));

  test("a source that took part in the vendor's handshake, and has only failed since", () => {
    const verify = JSON.stringify({ eventType: "VERIFY", data: { challenge: "3a7b-0c" } });
    const other = JSON.stringify({ eventType: "VEHICLE_ERROR", data: {} });
    const sign = (secret: string) => createHmac("sha256", secret).update(other).digest("hex");
    const car = (body: string, headers: Record<string, string>) =>
      fetch(gateway.webhook("cars"), {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
      });
    return isTold({
      kind: "authentication_failing",
      where: "source cars",
      async cause() {
        expect((await car(verify, {})).status).toBe(200);
        await times(3, () => car(other, { "SC-Signature": sign("another secret than ours") }));
      },
      says: {
        ...{ severity: "error", whose: "configuration" },
        what: expect.stringMatching(
          /handshake at .* and has only failed since: the address is right, the secret is not/,
        ),
      },
      cure: () => car(other, { "SC-Signature": sign(TOKEN) }),
    });
  });

  test("one sender among others with a wrong secret", () =>
    isTold({
      kind: "authentication_partly_failing",
      where: "source mixed",
      async cause() {
        await times(4, () => post("mixed", reading("van-1")));
        await times(6, async () => {
          await post("mixed", reading("van-1"), "the secret of another time");
          // Refusals are written together every 50 ms: without a pause all of them would come after the good ones.
          await pause(100);
          await post("mixed", reading("van-2"));
        });
      },
      says: {
        ...{ severity: "warning", whose: "vendor" },
        what: expect.stringContaining(
          "6 of 16 messages of the last 5 minutes were refused (unauthenticated)",
        ),
        doNext: expect.stringContaining("put its secret right"),
      },
      cure: () => times(20, () => post("mixed", reading("van-1"))),
    }));

  test("every reading of a source is rejected", () =>
    isTold({
      kind: "readings_rejected",
      where: "source stale",
      cause: () => times(3, (i) => post("stale", reading(`van-${i}`, { ageMs: 86_400_000 }))),
      says: {
        ...{ severity: "error", whose: "vendor" },
        what: expect.stringContaining("Every one of the last 3 positions was rejected (too_old)"),
        doNext: expect.stringContaining("maxAgeMs of the destination is the limit"),
      },
      cure: () => post("stale", reading("van-1")),
    }));

  test("most readings of a source are rejected", () => {
    const four = (i: number) => [0, 1, 2, 3].map((n) => reading(`van-${i}-${n}`, { latitude: 95 }));
    return isTold({
      kind: "readings_rejected",
      where: "source mostly",
      cause: () => times(8, (i) => post("mostly", [...four(i), reading(`good-${i}`)])),
      says: {
        ...{ severity: "warning", whose: "vendor" },
        what: expect.stringMatching(
          /\d+ of \d+ positions of the last 5 minutes were rejected, most as latitude_out/,
        ),
      },
      cure: () => times(30, (i) => post("mostly", reading(`good-${i}`))),
    });
  });

  test("every reading of one device is rejected while others are good", () =>
    isTold({
      kind: "device_rejected",
      where: "source one-bad",
      cause: () =>
        times(3, () => post("one-bad", [reading("van-bad", { latitude: 95 }), reading("a"), reading("b")])),
      says: {
        ...{ severity: "warning", whose: "vendor", subjects: ["van-bad"] },
        what: "All of 3 positions of device van-bad are rejected as latitude_out_of_range: their latitude is beyond 90°.",
        doNext: expect.stringContaining("latitude and longitude may be exchanged"),
      },
      cure: () => times(3, () => post("one-bad", reading("van-bad"))),
    }));

  test.for([
    ["behind", 5],
    ["ahead", -5],
  ] as const)("clocks that are 5 h %s are a time zone", ([name, hours]) =>
    isTold({
      kind: "clock_wrong",
      where: `source ${name}`,
      cause: () =>
        times(3, () =>
          post(
            name,
            ["a", "b", "c"].map((device) => reading(device, { ageMs: hours * 3_600_000 })),
          ),
        ),
      says: {
        ...{ severity: "warning", whose: "vendor" },
        subjects: expect.arrayContaining(["a", "b", "c"]),
        what: expect.stringContaining(`a is 5 h ${name}`),
        doNext: "Looks like a time zone: set the device or the vendor's account to UTC.",
      },
      cure: () =>
        times(3, () =>
          post(
            name,
            ["a", "b", "c"].map((device) => reading(device)),
          ),
        ),
    }),
  );

  test("a source that is silent for longer than usual", () =>
    isTold({
      kind: "source_silent",
      where: "source quiet",
      async cause() {
        await times(6, () => post("quiet", reading("van-1")));
        const [key = ""] = await db.keys("*:pulse:quiet");
        await db.hincrby(key, "goodAt", -300_000);
        // Nobody else writes there, so a gateway looks when something of the scope changes.
        await post("rotated", reading("van-1"));
      },
      says: {
        ...{ severity: "warning", whose: "vendor" },
        what: expect.stringMatching(/It has sent nothing for 5 min; .* at least every 15 s/),
        doNext: expect.stringContaining("outage"),
      },
      cure: () => post("quiet", reading("van-1")),
    }));

  test("a topic that nothing reads, with the vendor it would fit", () =>
    isTold({
      kind: "topic_unread",
      where: "source phones",
      cause: () =>
        publish(PHONES, "/hfp/v2/journey/ongoing/vp/bus/0018/00123/2551/1/Downtown/11:57/2222234/5/60"),
      says: {
        ...{ severity: "warning", whose: "configuration" },
        subjects: [expect.stringContaining("/hfp/v2/journey")],
        doNext: expect.stringContaining("would fit vendor hsl-hfp: add a source with vendor: hsl-hfp"),
      },
    }));

  test("a login with a username that is not configured", () =>
    isTold({
      kind: "device_login_refused",
      where: "mqtt login",
      cause: () =>
        expect(
          mqtt.connectAsync(mqttUrl, { username: "van-77", password: "x", reconnectPeriod: 0 }, false),
        ).rejects.toThrow(/Bad username/),
      says: {
        ...{ severity: "warning", whose: "device", subjects: ["van-77"] },
        what: expect.stringContaining("van-77: unknown username from"),
        doNext: expect.stringContaining("add its login under mqtt.listen.devices"),
      },
    }));

  test("a message that cannot be decoded, until others can", () =>
    isTold({
      kind: "quarantine_growing",
      where: "quarantine",
      cause: () => times(2, () => post("junk", "no JSON")),
      says: {
        ...{ severity: "warning", whose: "vendor", subjects: ["junk"] },
        what: expect.stringContaining("2 messages of the last 15 minutes could not be decoded"),
        doNext: expect.stringContaining("waypost decode"),
      },
      cure: () => times(5, () => post("junk", reading("van-1"))),
    }));
});

async function publish(login: { username: string; password: string }, topic: string): Promise<void> {
  const { username, password } = login;
  const client = await mqtt.connectAsync(mqttUrl, { username, password, reconnectPeriod: 0 });
  await client.publishAsync(topic, '{"_type":"lwt","tst":1}', { qos: 1 });
  await client.endAsync(true);
}

const faults = new Map<Destination, FaultInput>();
async function fault(destination: Destination, given: FaultInput | null): Promise<void> {
  if (given === null) faults.delete(destination);
  else faults.set(destination, Object.assign({}, given, { tenant: TENANTS[destination] }));
  sandbox.faults.set([...faults.values()]);
}

describe.concurrent("after store", () => {
  // One that fails must not hold up what follows.
  afterAll(() => sandbox.faults.clear());

  test.for([
    ["unauthorized", 401, "sending_blocked", "configuration", "appKey, clientId and clientSecret"],
    ["forbidden", 403, "sending_blocked", "configuration", "tn.dis.gpspings:w"],
    ["unknown", 404, "sending_blocked", "configuration", "Check tenant (the numeric id), provider"],
    ["unavailable", 503, "sending_paused", "servicetitan", "starts again by itself"],
  ] as const)("%s: ServiceTitan answers %i", ([name, status, kind, whose, remedy]) => {
    // Credentials are of one destination; an outage is of all that share the tenant.
    const where = status === 503 ? `tenant ${TENANTS[name]} (${name})` : `destination ${name}`;
    return isTold({
      ...{ kind, where },
      async cause() {
        await fault(name, { kind: "status", status });
        await post(`to-${name}`, reading("van-1"));
        await until(
          () =>
            sandbox.faults
              .list()
              .some(
                ({ fault, strikes }) => "tenant" in fault && fault.tenant === TENANTS[name] && strikes > 0,
              ),
          {
            what: `an answer ${status}`,
          },
        );
      },
      says: {
        severity: kind === "sending_blocked" ? "error" : "warning",
        whose,
        tenant: TENANTS[name],
        doNext: expect.stringContaining(remedy),
      },
      cure: () => fault(name, null),
    });
  });

  test("ServiceTitan does not answer for 5 s", () =>
    isTold({
      kind: "servicetitan_silent",
      where: "destination silent",
      async cause() {
        await fault("silent", { kind: "hang" });
        await post("to-silent", reading("van-1"));
      },
      dueAfterMs: 6000,
      says: {
        ...{ severity: "warning", whose: "servicetitan" },
        what: expect.stringMatching(/no answer for [56] s; 1 position is in flight/),
      },
      cure: () => fault("silent", null),
    }));

  test("a unit that is silent while others report", () =>
    isTold({
      kind: "device_silent",
      where: "destination far-away",
      async cause() {
        await post("pair", reading("gone", { ageMs: 16 * 60_000 }));
        await post("pair", reading("there"));
      },
      says: {
        ...{ severity: "warning", whose: "device" },
        what: expect.stringContaining("gone (16 min)"),
        doNext: expect.stringContaining("power, antenna, SIM"),
      },
      cure: () => post("pair", reading("gone")),
    }));
});

test("positions that are stale while their devices send", () => {
  const all = (ageMs: number) =>
    post(
      "late",
      ["a", "b", "c", "d", "e"].map((device) => reading(device, { ageMs })),
    );
  return isTold({
    kind: "positions_stale",
    where: "destination far-away",
    cause: () =>
      times(3, async () => {
        await all(50_000);
        await gateway.drained();
      }),
    says: {
      ...{ severity: "warning", whose: "machines" },
      what: expect.stringMatching(
        /At half of the \d+ units whose devices are sending, .* was 5\d s old or more/,
      ),
    },
    cure: () => all(0),
  });
});

test("a Redis that is slow is not called away, and its senders get 200 as soon as it answers", async () => {
  redis.kill("SIGSTOP");
  let isStopped = true;
  setTimeout(() => {
    redis.kill("SIGCONT");
    isStopped = false;
  }, 2000);
  // One status is shared for a second and a half: the last answer is of the slow Redis.
  const asked: ApiProblem[] = [];
  while (isStopped) asked.push(...(await problems()));
  expect(asked.filter(({ kind }) => kind === "redis_unreachable")).toEqual([]);
  expect(await post("rotated", reading("van-1"))).toBe(200);
});

test("nothing is left of it all but what is waited for", async () => {
  await gateway.drained();
  // Sources that have sent nothing for a while are silent indeed.
  const left = (await problems())
    .filter(({ kind }) => kind !== "source_silent")
    .map(({ kind, where }) => `${kind} ${where}`);
  expect(left.sort()).toEqual(["device_login_refused mqtt login", "topic_unread source phones"]);
});
