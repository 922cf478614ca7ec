/** Two tenants and their operators on one Redis and two processes: what a token of one sees, does, and leaves behind. */

import { once } from "node:events";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { startCli } from "../support/cli-process.ts";
import { type GatewayProcess, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 180_000 });

const TOKENS = [
  { name: "boss", token: TOKEN, role: "operate" },
  { name: "mine-desk", token: "mine-desk-secret-of-24-characters", role: "operate", destinations: ["mine"] },
  { name: "mine-screen", token: "mine-screen-secret-of-24-characters", role: "read", destinations: ["mine"] },
];
const bearer = (name: string) => ({
  authorization: `Bearer ${TOKENS.find((token) => token.name === name)?.token}`,
});

let redis: PrivateRedis;
let sandbox: SandboxApi;
let gateway: GatewayProcess;
let second: GatewayProcess;

const start = () => {
  const { tenants, providers, ...credentials } = SANDBOX_CLIENT;
  const destination = {
    environment: "custom",
    apiUrl: sandbox.url,
    authUrl: sandbox.authUrl,
    tenant: tenants[0],
    provider: providers[0],
    ...credentials,
  };
  return startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    sources: Object.fromEntries(
      ["mine", "rival"].map((name) => [
        `${name}-vans`,
        {
          vendor: "json",
          destination: name,
          auth: { method: "bearer", secret: `${name}-webhook-secret-0123` },
        },
      ]),
    ),
    sections: {
      // One app and tenant: what is told apart cannot be told by the scope.
      destinations: { mine: destination, rival: destination },
    },
    tokens: TOKENS,
  });
};

async function send(name: string, body: object) {
  const answer = await fetch(gateway.webhook(`${name}-vans`), {
    method: "POST",
    headers: { authorization: `Bearer ${name}-webhook-secret-0123`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  await answer.text();
}

const readingOf = (deviceId: string) => ({
  deviceId,
  latitude: 32.78,
  longitude: -96.8,
  time: new Date().toISOString(),
});

const ask = (path: string, name: string, init: RequestInit = {}) =>
  fetch(`http://127.0.0.1:${gateway.opsPort}${path}`, {
    ...init,
    headers: { "content-type": "application/json", ...bearer(name) },
  });
const post = (path: string, name: string, body: object) =>
  ask(path, name, { method: "POST", body: JSON.stringify(body) });
const linesOf = async (answer: Response) =>
  (await answer.text()).split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));

beforeAll(async () => {
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all" });
  [gateway, second] = await Promise.all([start(), start()]);
  sandbox.faults.set(
    ["mine", "rival"].map((name) => ({ kind: "fail", match: { unitId: `${name}-refused` } })),
  );
  for (const name of ["mine", "rival"]) {
    await send(name, readingOf(`${name}-delivered`));
    await send(name, readingOf(`${name}-refused`));
    await send(name, { nonsense: `${name}-nonsense` });
  }
  await until(
    async () => {
      const { delivered, deadLettered, malformed } = await gateway.accounting();
      return delivered === 2 && deadLettered === 2 && malformed === 2;
    },
    { withinMs: 60_000, what: "everything to have come to an end" },
  );
});
afterAll(async () => {
  await gateway?.stop();
  await second?.stop();
  await sandbox?.stop();
  await redis?.stop();
});

describe("a token of one tenant", () => {
  test("is shown nothing of the other, at any route", async () => {
    const theirs: { id: string; source: string }[] = JSON.parse(
      await (await ask("/api/v1/quarantine", "boss")).text(),
    ).items;
    expect(theirs.map(({ source }) => source).sort()).toEqual(["mine-vans", "rival-vans"]);
    const mine = theirs.find(({ source }) => source === "mine-vans")?.id ?? "";
    const rivals = theirs.find(({ source }) => source === "rival-vans")?.id ?? "";
    const range = "fromUtc=2026-01-01T00:00:00Z&toUtc=2026-01-02T00:00:00Z";
    for (const [path, status] of [
      ["/", 200],
      ["/api/v1/status", 200],
      ["/metrics", 200],
      ["/api/v1/quarantine", 200],
      ["/api/v1/quarantine/export", 200],
      [`/api/v1/quarantine/${mine}`, 200],
      [`/api/v1/quarantine/${rivals}`, 404],
      ["/api/v1/dead-letters", 200],
      ["/api/v1/dead-letters/export", 200],
      ["/api/v1/dead-letters/export?destination=rival", 404],
      ["/api/v1/audit", 200],
      ["/api/v1/unit-pings?destination=mine&unit=mine-delivered", 200],
      ["/api/v1/unit-pings?destination=rival&unit=rival-delivered", 404],
      [`/api/v1/gps-pings?technicianId=1&${range}`, 200],
      [`/api/v1/gps-pings?destination=rival&technicianId=1&${range}`, 404],
    ] as const) {
      for (const name of ["mine-screen", "mine-desk"]) {
        const answer = await ask(path, name);
        expect({ path, status: answer.status }).toEqual({ path, status });
        expect(await answer.text(), path).not.toMatch(/rival/);
      }
      if (!path.includes("rival") && !path.startsWith("/api/v1/gps"))
        expect((await ask(path, "boss")).status).toBe(200);
    }
  });

  test("exports and redrives its own, and all is exported to whoever sees all", async () => {
    const exported = async (what: string, name: string) => {
      const answer = await ask(`/api/v1/${what}/export`, name);
      expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
      return (await linesOf(answer)).map(({ source }) => source).sort();
    };
    for (const what of ["quarantine", "dead-letters"]) {
      expect(await exported(what, "boss")).toEqual(["mine-vans", "rival-vans"]);
      expect(await exported(what, "mine-screen")).toEqual(["mine-vans"]);
      const dry = await post(`/api/v1/${what}/redrive`, "mine-desk", { mode: "dry_run" });
      const { matched, examples } = JSON.parse(await dry.text());
      expect(matched).toBe(1);
      expect(JSON.stringify(examples)).not.toContain("rival");
      expect((await post(`/api/v1/${what}/redrive`, "mine-screen", { mode: "do" })).status).toBe(403);
    }
    const done = await post("/api/v1/dead-letters/redrive", "mine-desk", { mode: "do" });
    expect(await done.json()).toMatchObject({ matched: 1 });
    const left = await linesOf(await ask("/api/v1/dead-letters/export", "boss"));
    expect(left.filter(({ source }) => source === "rival-vans")).toHaveLength(1);
  });

  test("is the only one that a command may ask with where it is named", async () => {
    const redrive = async (...args: string[]) => {
      const cli = await startCli(["redrive", "quarantine", ...args, "--config", gateway.configFile]);
      const end = await cli.end();
      const said = `${cli.stdout()}${cli.stderr()}`;
      await cli.stop();
      return { end, said };
    };
    expect((await redrive("--dry-run")).said).toContain("2 messages");
    expect((await redrive("--dry-run", "--token", "mine-screen")).said).toContain("1 messages");
    const refused = await redrive("--token", "mine-screen");
    expect(refused).toMatchObject({ end: "exit code 1" });
    expect(refused.said).toContain('needs a token with role operate; "mine-screen" has read');
    expect((await redrive("--token", "nobody")).said).toContain(
      "boss (operate), mine-desk (operate, limited)",
    );
  });
});

test("/gps-pings names the destinations there are", async () => {
  const answer = await ask(
    "/api/v1/gps-pings?technicianId=1&fromUtc=2026-01-01T00:00:00Z&toUtc=2026-01-02T00:00:00Z",
    "boss",
  );
  expect(answer.status).toBe(400);
  expect(await answer.text()).toContain("mine, rival");
});

test("a host that is not ours is refused by the server, and probes are answered", async () => {
  const asked = async (path: string, host: string) => {
    const sent = request({ port: gateway.opsPort, path, headers: { host, ...bearer("boss") } });
    sent.end();
    const [answer] = await once(sent, "response");
    return `${answer.statusCode} ${await text(answer)}`;
  };
  expect(await asked("/api/v1/status", "evil.example")).toMatch(/^421 .*ops\.hosts/);
  expect(await asked("http://evil.example/status", "localhost")).toMatch(/^421 /);
  expect(await asked("/healthz", "waypost-7f3a.pods.internal")).toMatch(/^200 /);
  expect(await asked("/api/v1/status", "localhost")).toMatch(/^200 /);
});

describe("what operators do", () => {
  const trailOf = async (from: GatewayProcess, name: string) => {
    const answer = await fetch(`http://127.0.0.1:${from.opsPort}/api/v1/audit?limit=200`, {
      headers: bearer(name),
    });
    const { items: entries }: { items: { action: string; by: string | null; at: string }[] } = JSON.parse(
      await answer.text(),
    );
    return entries;
  };
  const formOf = (gateway: GatewayProcess, path: string, cookie = "", token = TOKEN) => {
    const url = `http://127.0.0.1:${gateway.opsPort}`;
    const headers = { origin: url, cookie };
    return fetch(`${url}${path}`, {
      method: "POST",
      headers,
      body: new URLSearchParams({ token }),
      redirect: "manual",
    });
  };

  test("a logout ends the session in the other process too", async () => {
    const cookie = ((await formOf(gateway, "/login")).headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    const statusAt = async ({ opsPort }: GatewayProcess) =>
      (await fetch(`http://127.0.0.1:${opsPort}/api/v1/status`, { headers: { cookie } })).status;
    expect([await statusAt(gateway), await statusAt(second)]).toEqual([200, 200]);
    expect((await formOf(gateway, "/logout", cookie)).status).toBe(303);
    expect(await statusAt(gateway)).toBe(401);
    await until(async () => (await statusAt(second)) === 401, { what: "the other process to know" });
  });

  test("is written down for every process, bounded, and outlives a restart", async () => {
    await formOf(gateway, "/login", "", "a-guess-that-is-no-token");
    await ask("/api/v1/unit-pings?destination=mine&unit=mine-delivered", "mine-screen");
    await post("/api/v1/quarantine/redrive", "boss", { mode: "dry_run", source: "rival-vans" });
    const shown = await until(
      async () => {
        const entries = await trailOf(second, "boss");
        const found = [
          { action: "login_failed", by: null, from: "127.0.0.1", outcome: "refused" },
          { action: "login", by: "boss", outcome: "done" },
          { action: "logout", by: "boss", outcome: "done" },
          { action: "export", by: "mine-screen", filter: { what: "quarantine" }, count: 1 },
          { action: "redrive", by: "mine-desk", filter: { what: "dead-letters", mode: "do" }, count: 1 },
          { action: "redrive", by: "mine-screen", filter: { mode: "do" }, outcome: "refused" },
          { action: "redrive", by: "boss", filter: { mode: "dry_run", source: "rival-vans" }, count: 1 },
          {
            action: "unit_pings",
            by: "mine-screen",
            filter: { destination: "mine", unit: "mine-delivered" },
          },
          { action: "configuration_loaded", by: null, from: null },
        ].every((wanted) => entries.some((entry) => matches(entry, wanted)));
        return found ? entries : null;
      },
      { what: "all of it" },
    );
    expect([...shown].map(({ at }) => at)).toEqual(
      shown
        .map(({ at }) => at)
        .sort()
        .reverse(),
    );
    const everything = JSON.stringify(shown);
    for (const secret of [...TOKENS.map(({ token }) => token), "a-guess"])
      expect(everything).not.toContain(secret);
    const own = await trailOf(second, "mine-screen");
    expect(own.length).toBeGreaterThan(3);
    expect(own.every(({ by }) => by === "mine-screen")).toBe(true);

    await second.start();
    const after = await trailOf(second, "boss");
    expect(after.length).toBeGreaterThanOrEqual(shown.length);
    const db = new Redis(redis.url);
    expect((await db.keys("waypost:trail:*")).sort()).toEqual([
      "waypost:trail:operators",
      "waypost:trail:unauthenticated",
    ]);
    db.disconnect();
  });
});

function matches(entry: object, wanted: object): boolean {
  return Object.entries(wanted).every(([name, value]) => {
    const found: unknown = Reflect.get(entry, name);
    return typeof value === "object" && value !== null && typeof found === "object" && found !== null
      ? matches(found, value)
      : found === value;
  });
}
