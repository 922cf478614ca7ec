/** What a token may see and do: every route of the whole app is walked with a token of one tenant and one that only reads. */

import { describe, expect, it } from "vitest";
import type { OpsToken } from "../../../src/config/ops-tokens.ts";
import { createLinks } from "../../../src/ops/access/links.ts";
import { sightOf } from "../../../src/ops/access/sight.ts";
import type { SmallStatus } from "../../../src/ops/api/schema/status.ts";
import type { TenantDetail } from "../../../src/ops/api/schema/tenant.ts";
import type { ClockWatch } from "../../../src/ops/diagnose/clocks.ts";
import type { QueueStatus } from "../../../src/status/queue.ts";
import { opsApp, tenantsOf } from "../ops-app.ts";
import { AT, destination, healthy, OPEN, source, unitAnswer, wholeMessage } from "../sample.ts";
import { deadLetters, quarantined, timelineOfOne } from "../sample-lists.ts";

const token = (name: string, role: OpsToken["role"], destinations: string[] | null = null): OpsToken => ({
  name,
  token: `${name}-secret-of-24-characters`,
  role,
  destinations,
});
const TOKENS = [
  token("boss", "operate"),
  token("auditor", "read"),
  token("mine-desk", "operate", ["mine"]),
  token("mine-screen", "read", ["mine"]),
];
const as = (name: string, headers: Record<string, string> = {}) => ({
  authorization: `Bearer ${name}-secret-of-24-characters`,
  ...headers,
});

/** Every name and id of the other tenant has this in it. */
const THEIRS = /rival/i;
const MINE_ID = "1795199803000-0";
const THEIR_ID = "1795199803000-1";

/** Made by the boss, for the tenant that is mine. */
const LINK = createLinks(() => TOKENS, Date.now)
  .make(TOKENS[0] ?? token("boss", "operate"), { tenant: "mine-tenant", destinations: ["mine"] }, 3_600_000)
  .path.slice("/open/".length);

/** How each route is asked, by whoever may see everything; a route that is not here fails the test. */
const ROUTES: Record<string, { path: string; body?: object; needs: "nothing" | "token" | "operate" }> = {
  "GET /healthz": { path: "/healthz", needs: "nothing" },
  "GET /readyz": { path: "/readyz", needs: "nothing" },
  "GET /page.css": { path: "/page.css", needs: "nothing" },
  "GET /icon.svg": { path: "/icon.svg", needs: "nothing" },
  "GET /login": { path: "/login", needs: "nothing" },
  "POST /login": { path: "/login", needs: "nothing" },
  "POST /logout": { path: "/logout", needs: "nothing" },
  "GET /": { path: "/", needs: "token" },
  "GET /page.js": { path: "/page.js", needs: "token" },
  "GET /page/ask.js": { path: "/page/ask.js", needs: "token" },
  "GET /page/dom.js": { path: "/page/dom.js", needs: "token" },
  "GET /page/words.js": { path: "/page/words.js", needs: "token" },
  "GET /page/find.js": { path: "/page/find.js", needs: "token" },
  "GET /page/line.js": { path: "/page/line.js", needs: "token" },
  "GET /page/lately.js": { path: "/page/lately.js", needs: "token" },
  "GET /page/settings.js": { path: "/page/settings.js", needs: "token" },
  "GET /tenants/:tenant": { path: "/tenants/mine-tenant", needs: "token" },
  "GET /page/stream.js": { path: "/page/stream.js", needs: "token" },
  "GET /page/tenants.js": { path: "/page/tenants.js", needs: "token" },
  "GET /page/trail.js": { path: "/page/trail.js", needs: "token" },
  "GET /api/v1/status": { path: "/api/v1/status", needs: "token" },
  "GET /metrics": { path: "/metrics", needs: "token" },
  "GET /api/v1/openapi.json": { path: "/api/v1/openapi.json", needs: "token" },
  "GET /api/v1/docs": { path: "/api/v1/docs", needs: "token" },
  "GET /api/v1/docs/viewer.js": { path: "/api/v1/docs/viewer.js", needs: "token" },
  "GET /api/v1/docs/swagger-ui.css": { path: "/api/v1/docs/swagger-ui.css", needs: "token" },
  "GET /api/v1/docs/swagger-ui-bundle.js": { path: "/api/v1/docs/swagger-ui-bundle.js", needs: "token" },
  "GET /api/v1/problems": { path: "/api/v1/problems", needs: "token" },
  "GET /api/v1/deliveries": { path: "/api/v1/deliveries", needs: "token" },
  "GET /api/v1/events": { path: "/api/v1/events", needs: "token" },
  "GET /api/v1/tenants": { path: "/api/v1/tenants", needs: "token" },
  "GET /api/v1/tenants/:tenant": { path: "/api/v1/tenants/mine-tenant", needs: "token" },
  "POST /api/v1/tenants": {
    path: "/api/v1/tenants",
    body: { tenant: "a-new-one", document: {} },
    needs: "operate",
  },
  "GET /api/v1/tenants/:tenant/document": { path: "/api/v1/tenants/mine-tenant/document", needs: "token" },
  "GET /api/v1/tenants/:tenant/export": { path: "/api/v1/tenants/mine-tenant/export", needs: "token" },
  "PUT /api/v1/tenants/:tenant/document": {
    path: "/api/v1/tenants/mine-tenant/document",
    body: {},
    needs: "operate",
  },
  "POST /api/v1/tenants/:tenant/pause": {
    path: "/api/v1/tenants/mine-tenant/pause",
    body: {},
    needs: "operate",
  },
  "POST /api/v1/tenants/:tenant/resume": {
    path: "/api/v1/tenants/mine-tenant/resume",
    body: {},
    needs: "operate",
  },
  "DELETE /api/v1/tenants/:tenant": { path: "/api/v1/tenants/mine-tenant", body: {}, needs: "operate" },
  "GET /open/:link": { path: `/open/${LINK}`, needs: "nothing" },
  "POST /api/v1/tenants/:tenant/links": {
    path: "/api/v1/tenants/mine-tenant/links",
    body: {},
    needs: "operate",
  },
  "POST /api/v1/tenants/:tenant/erasures": {
    path: "/api/v1/tenants/mine-tenant/erasures",
    body: {},
    needs: "operate",
  },
  "POST /api/v1/reseal": { path: "/api/v1/reseal", body: {}, needs: "operate" },
  "GET /api/v1/sources": { path: "/api/v1/sources", needs: "token" },
  "GET /api/v1/sources/:name": { path: "/api/v1/sources/mine-vans", needs: "token" },
  "GET /api/v1/destinations": { path: "/api/v1/destinations", needs: "token" },
  "GET /api/v1/destinations/:name": { path: "/api/v1/destinations/mine", needs: "token" },
  "GET /api/v1/devices": { path: "/api/v1/devices", needs: "token" },
  "GET /api/v1/timeline": { path: "/api/v1/timeline?q=7", needs: "token" },
  "GET /api/v1/log-level": { path: "/api/v1/log-level", needs: "token" },
  "PUT /api/v1/log-level": { path: "/api/v1/log-level", body: { level: "info" }, needs: "operate" },
  "POST /api/v1/reload": { path: "/api/v1/reload", body: {}, needs: "operate" },
  "GET /api/v1/quarantine": { path: "/api/v1/quarantine", needs: "token" },
  "GET /api/v1/dead-letters": { path: "/api/v1/dead-letters", needs: "token" },
  "GET /api/v1/audit": { path: "/api/v1/audit", needs: "token" },
  "GET /api/v1/unit-pings": { path: "/api/v1/unit-pings?destination=mine&unit=7", needs: "token" },
  "GET /api/v1/gps-pings": {
    path: "/api/v1/gps-pings?destination=mine&technicianId=7&fromUtc=2026-11-20T12:00:00Z&toUtc=2026-11-20T13:00:00Z",
    needs: "token",
  },
  "GET /api/v1/quarantine/:id": { path: `/api/v1/quarantine/${MINE_ID}`, needs: "token" },
  "GET /api/v1/dead-letters/export": { path: "/api/v1/dead-letters/export", needs: "token" },
  "GET /api/v1/quarantine/export": { path: "/api/v1/quarantine/export", needs: "token" },
  "POST /api/v1/captures": { path: "/api/v1/captures", body: { source: "mine-vans" }, needs: "operate" },
  "GET /api/v1/captures": {
    path: `/api/v1/captures?source=mine-vans&id=mine-vans:${MINE_ID}`,
    needs: "token",
  },
  "POST /api/v1/dead-letters/redrive": {
    path: "/api/v1/dead-letters/redrive",
    body: { mode: "do" },
    needs: "operate",
  },
  "POST /api/v1/quarantine/redrive": {
    path: "/api/v1/quarantine/redrive",
    body: { mode: "do" },
    needs: "operate",
  },
};

/** Mine and the rival's, side by side in everything that can hold a name. */
function bothTenants(): QueueStatus {
  const letters = ["mine", "rival"].map((name) => ({
    id: `${name}-letter`,
    at: AT,
    destination: name,
    unit: `${name}-unit`,
    externalId: `${name}-vans:${name}-device:1`,
    reason: "failed",
    message: `${name} refused`,
  }));
  const paused = { ...OPEN, state: "paused", reason: "throttled", untilMs: Date.parse(AT) + 60_000 } as const;
  return healthy({
    at: new Date().toISOString(),
    sources: ["mine-vans", "rival-vans"].map((name) =>
      source({ name, destination: name.replace("-vans", ""), rejectedBy: { [`${name}_reason`]: 3 } }),
    ),
    destinations: ["mine", "rival"].map((name) =>
      destination({
        name,
        scope: `${name}-scope`,
        tenant: `${name}-tenant`,
        provider: `${name}-gps`,
        scopeGate: paused,
        silentUnits: [{ unit: `${name}-silent`, lastFixAt: AT, ageMs: 9e6 }],
        lanes: [
          { lane: 0, waiting: 1, inFlight: 1, batchId: `${name}-batch`, batchAgeMs: 1, unansweredMs: null },
        ],
      }),
    ),
    jobs: { waiting: 5, active: 7, delayed: 3, failed: 2 },
    quarantine: {
      count: 2,
      bytes: 2,
      oldestAt: AT,
      recent: ["mine", "rival"].map((name) => ({
        id: name === "mine" ? MINE_ID : THEIR_ID,
        at: new Date().toISOString(),
        source: `${name}-vans`,
        reason: "malformed",
        problem: `${name} problem`,
      })),
    },
    deadLetters: {
      count: 2,
      bytes: 2,
      recent: letters.map((each) => ({ ...each, at: new Date().toISOString() })),
    },
    ledger: {
      batches: 2,
      bytes: 2,
      reachesBackTo: AT,
      recent: ["mine", "rival"].map((name) => ({
        at: AT,
        destination: name,
        batchId: `${name}-batch`,
        pings: 1,
        outcome: "delivered",
        status: 200,
        tookMs: 1,
      })),
    },
    orphans: [{ destination: "rival-of-yesterday", waiting: 4 }],
    unmapped: ["mine", "rival"].map((name) => ({
      source: `${name}-vans`,
      device: `${name}-stray`,
      lastFixAt: new Date().toISOString(),
      policy: "hold",
    })),
  });
}

const clocks: ClockWatch = {
  observe: () => undefined,
  offsetOf: () => null,
  offenders: () =>
    ["mine", "rival"].map((name) => ({
      source: `${name}-vans`,
      deviceId: `${name}-clock`,
      offsetMs: -90_000,
      text: "ahead by about 90 s",
      looksLikeTimeZone: false,
    })),
};

const deviceOf = (name: string) => ({
  source: `${name}-vans`,
  device: `${name}-device`,
  unit: `${name}-unit`,
  unitName: `${name}-unit`,
  technician: null,
});

const bothLetters = () =>
  ["mine", "rival"].flatMap((name) =>
    deadLetters().map((letter) => ({
      ...letter,
      destination: name,
      source: `${name}-vans`,
      unit: `${name}-unit`,
    })),
  );

const bothMessages = () =>
  ["mine", "rival"].flatMap((name) =>
    quarantined().map((message) => ({ ...message, source: `${name}-vans`, problems: [`${name} problem`] })),
  );

function twoTenants() {
  const whole = (id: string) => ({
    ...wholeMessage(),
    id,
    source: id === MINE_ID ? "mine-vans" : "rival-vans",
    body: id === MINE_ID ? "mine" : "rival",
  });
  const asked: { within: unknown }[] = [];
  const state = (name: string) => ({
    sinceMs: Date.parse(AT),
    reason: `no rights for rival/# at ${name}`,
    unacked: 3,
    clients: 4,
    name,
  });
  const ops = opsApp({
    tokens: () => TOKENS,
    clocks,
    tenants: tenantsOf({ "mine-tenant": { sources: {} }, "rival-tenant": { sources: { rival: {} } } }),
    topology: {
      destinations: ["mine", "rival"],
      sources: new Map([
        ["mine-vans", { destination: "mine", broker: "yard" }],
        ["rival-vans", { destination: "rival", broker: "yard" }],
        ["rival-trucks", { destination: "rival", broker: "rival-broker" }],
      ]),
      tenants: new Map(
        ["mine", "rival"].map((name) => [
          `${name}-tenant`,
          { origin: "api", destinations: [name], isPaused: false },
        ]),
      ),
    },
    brokers: () => [
      { ...state("yard"), kind: "client", state: "refused" },
      { ...state("rival-broker"), kind: "client", state: "refused" },
    ],
    pollers: () =>
      ["mine-vans", "rival-vans"].map((name) => ({
        name,
        state: "failing",
        sinceMs: Date.parse(AT),
        reason: "timeout",
        detail: name,
        lastSuccessAtMs: null,
        cursorAtMs: null,
        gap: null,
        reads: { pages: 0, rows: 0, unchanged: 0, emptyRounds: 0 },
      })),
    incidents: () =>
      ["source mine-vans", "source rival-vans", "destination rival", "mqtt port"].map((where) => ({
        kind: "foreign_device",
        where,
        since: AT,
        lastAt: new Date().toISOString(),
        count: 3,
        subjects: [
          {
            name: where.includes("mine") ? "mine-device" : "rival-device",
            since: AT,
            lastAt: AT,
            until: new Date(Date.now() + 60_000).toISOString(),
            count: 3,
            facts: {},
          },
        ],
      })),
    spool: () => ({ messages: 7, bytes: 7, maxBytes: 9, oldestAt: AT, spooled: 7, replayed: 0 }),
    info: {
      version: "9.8.7",
      startedAtMs: Date.now(),
      policies: [
        "gateway",
        "source mine-vans",
        "source rival-vans",
        "destination mine",
        "destination rival",
      ].map((where) => ({ where, name: "backfill", value: where })),
    },
    queryUnit: async () => unitAnswer(),
    devices: {
      async findDevice(_, within) {
        const candidates = ["mine", "rival"]
          .filter((name) => within?.destinations.has(name) !== false)
          .map((name) => ({ ...deviceOf(name), destination: name }));
        return { candidates, one: candidates.length === 1 ? (candidates[0] ?? null) : null };
      },
      deviceTimeline: async (source, device, { within } = {}) =>
        within?.sources.has(source) === false
          ? null
          : {
              ...timelineOfOne(),
              source,
              device,
              leadsTo: [],
              events: [],
              unknown: [source],
              sourceEvents: [],
            },
      listDevices: async (_, within) =>
        ["mine", "rival"]
          .filter((name) => within?.sources.has(`${name}-vans`) !== false)
          .map((name) => ({
            ...deviceOf(name),
            lastSeenAt: AT,
            lastFixAt: AT,
            lastRejection: null,
            offsetMs: null,
          })),
      clockOffsetOf: () => null,
    },
    queryMessage: async (id, from, within) => {
      const found = whole(id);
      if (within?.has(found.source) === false) return null;
      return from === null || from === found.source ? found : null;
    },
    redrive: {
      deadLetters: async ({ within }) => {
        asked.push({ within });
        return { matched: 1, waiting: 1, expired: 0, superseded: 0, examples: [] };
      },
      quarantine: async ({ within }) => {
        asked.push({ within });
        return { matched: 1, readable: 1, readings: 1, staying: 0, examples: [] };
      },
      listDeadLetters: async ({ filter: { within } }) => ({
        items: bothLetters().filter(({ destination }) => within?.destinations.has(destination) !== false),
        more: null,
      }),
      listQuarantine: async ({ filter: { within } }) => ({
        items: bothMessages().filter((message) => within?.sources.has(message.source) !== false),
        more: null,
      }),
      async *exportDeadLetters({ within }) {
        asked.push({ within });
        for (const name of ["mine", "rival"]) if (within?.destinations.has(name) !== false) yield { name };
      },
      async *exportQuarantine({ within }) {
        asked.push({ within });
        for (const name of ["mine-vans", "rival-vans"])
          if (within?.sources.has(name) !== false) yield { name };
      },
    },
  });
  ops.state.status = bothTenants();
  const ask = (key: string, name: string) => {
    const route = ROUTES[key];
    if (!route)
      throw new Error(`${key} is not in the list of routes: say what it needs, and whose data it shows.`);
    const [method = "GET"] = key.split(" ");
    return ops.app.request(route.path, {
      method,
      headers: as(name, {
        "content-type": "application/json",
        origin: "http://localhost",
        "if-match": "*",
      }),
      ...(route.body ? { body: JSON.stringify(route.body) } : {}),
    });
  };
  return { ...ops, ask, asked };
}

/** Of a stream without an end, what it begins with. */
async function textOf(answer: Response): Promise<string> {
  if (answer.headers.get("content-type") !== "text/event-stream") return answer.text();
  const reader = answer.body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  await reader?.cancel();
  return new TextDecoder().decode(value);
}

const everyRoute = [
  ...new Set(
    opsApp()
      .app.routes.filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path}`),
  ),
];

describe("every route of the whole app", () => {
  it("is in the list, and the list has no other", () => {
    expect([...everyRoute].sort()).toEqual(Object.keys(ROUTES).sort());
  });

  it.each(everyRoute)("%s is reached, whatever was added before it", async (key) => {
    const { ask } = twoTenants();
    const { status } = await ask(key, "boss");
    expect(status).toBeLessThan(key === "POST /login" ? 402 : 400);
    expect(status).not.toBe(404);
  });

  it.each(everyRoute)("%s reveals nothing of another tenant", async (key) => {
    const { ask, state } = twoTenants();
    for (const name of ["mine-screen", "mine-desk"]) {
      for (const fault of [null, new Error("connect ECONNREFUSED")]) {
        state.fault = fault;
        const answer = await ask(key, name);
        const text = `${JSON.stringify([...answer.headers])}${await textOf(answer)}`;
        expect(text.replaceAll(/[^\n]{0,60}rival[^\n]{0,60}/gi, (found) => `»${found}«`)).not.toMatch(THEIRS);
      }
    }
  });

  it.each(everyRoute)("%s needs the role in the list", async (key) => {
    const { app, ask } = twoTenants();
    const route = ROUTES[key];
    const [method = "GET"] = key.split(" ");
    if (route?.needs !== "nothing") {
      const answer = await app.request(route?.path ?? "", { method });
      expect(["GET /", "GET /tenants/:tenant"].includes(key) ? 303 : 401).toBe(answer.status);
    }
    const read = await ask(key, "auditor");
    if (route?.needs === "operate") {
      expect(read.status).toBe(403);
      expect(await read.json()).toMatchObject({
        type: "urn:waypost:error:role",
        detail: expect.stringContaining("role operate"),
      });
    } else expect(read.status).not.toBe(403);
  });
});

describe("a token of one tenant", () => {
  it("sees its own, with sums and problems made of nothing else", async () => {
    const { app, ask } = twoTenants();
    const answered = async (key: string) => JSON.parse(await (await ask(key, "mine-screen")).text());
    const status: Extract<SmallStatus, { available: true }> = await answered("GET /api/v1/status");
    const tenant: TenantDetail = await answered("GET /api/v1/tenants/:tenant");
    const names = (list: { name: string }[]) => list.map(({ name }) => name);
    expect(names(tenant.sources)).toEqual(["mine-vans"]);
    expect(names(tenant.destinations)).toEqual(["mine"]);
    expect(status.counts).toMatchObject({ tenants: 1, sources: 1, destinations: 1 });
    expect(names(status.pollers)).toEqual(["mine-vans"]);
    expect(status.totals.accounting).toEqual(tenant.sources[0]?.accounting);
    expect(status.jobs).toEqual({ waiting: 0, active: 1, delayed: 0, failed: 0 });
    expect(status.spool).toBeNull();
    expect(tenant.sources[0]?.clocks).toHaveLength(1);
    expect(status.incidents.map(({ where }) => where)).toEqual(["source mine-vans"]);
    const policies = [status, ...tenant.sources, ...tenant.destinations].flatMap((each) => each.policies);
    expect(policies.map(({ where }) => where)).toEqual(["gateway", "source mine-vans", "destination mine"]);
    expect(status.brokers).toMatchObject([{ name: "yard", state: "refused", unacked: 0, clients: null }]);
    const problems = JSON.stringify(status.problems);
    for (const fact of ["mine-stray", "mine-clock", "mine-device", "mine-silent", "yard"]) {
      expect(problems).toContain(fact);
    }
    for (const path of ["tenants/rival-tenant", "sources/rival-vans", "destinations/rival"]) {
      const answer = await app.request(`/api/v1/${path}`, { headers: as("mine-desk") });
      expect(answer.status, path).toBe(404);
    }
  });

  it("cannot change what concerns all", async () => {
    const { ask, state } = twoTenants();
    expect((await ask("PUT /api/v1/log-level", "mine-desk")).status).toBe(403);
    expect(state.acted).toEqual([]);
  });

  it("has metrics of its own only, without what the process counts for everybody", async () => {
    const { ask } = twoTenants();
    const text = await (await ask("GET /metrics", "mine-screen")).text();
    expect(text).toContain('waypost_destination_waiting_pings{destination="mine"}');
    expect(text).not.toContain("waypost_of_this_process_total");
    expect(await (await ask("GET /metrics", "auditor")).text()).toContain("waypost_of_this_process_total");
  });

  it.each([
    "/api/v1/unit-pings?destination=rival&unit=7",
    "/api/v1/gps-pings?destination=rival&technicianId=7&fromUtc=2026-11-20T12:00:00Z&toUtc=2026-11-20T13:00:00Z",
    `/api/v1/quarantine/${THEIR_ID}`,
    `/api/v1/quarantine/${THEIR_ID}?source=rival-vans`,
    `/api/v1/quarantine/${MINE_ID}?source=rival-vans`,
    "/api/v1/dead-letters/export?destination=rival",
    "/api/v1/dead-letters/export?source=rival-vans",
    "/api/v1/quarantine/export?source=rival-vans",
    "/api/v1/quarantine/export?destination=rival",
  ])("is told of %s what it is told of what does not exist", async (path) => {
    const { app, asked, state } = twoTenants();
    const theirs = await app.request(path, { headers: as("mine-desk") });
    expect(theirs.status).toBe(404);
    const nobodys = await app.request(path.replaceAll("rival", "nobody"), { headers: as("mine-desk") });
    expect(nobodys.status).toBe(404);
    expect(await theirs.text()).toBe(await nobodys.text());
    expect([asked, state.pingQueries, state.unitQueries]).toEqual([[], [], []]);
  });

  it("redrives and exports within its own, and names nothing of other tenants", async () => {
    const { app, asked } = twoTenants();
    for (const what of ["dead-letters", "quarantine"]) {
      const post = (body: object) =>
        app.request(`/api/v1/${what}/redrive`, {
          method: "POST",
          headers: as("mine-desk", { "content-type": "application/json" }),
          body: JSON.stringify(body),
        });
      expect((await post({ mode: "do" })).status).toBe(200);
      expect((await post({ mode: "dry_run", unit: "7" })).status).toBe(200);
      expect((await post({ mode: "do", destination: "rival" })).status).toBe(404);
      expect((await post({ mode: "dry_run", source: "rival-vans" })).status).toBe(404);
      await (await app.request(`/api/v1/${what}/export`, { headers: as("mine-desk") })).text();
    }
    const within = { destinations: new Set(["mine"]), sources: new Set(["mine-vans"]) };
    expect(asked).toEqual(Array(6).fill({ within }));
  });

  it("sees a broker whole where all its sources are its own", () => {
    const sources = new Map([
      ["a", { destination: "mine", broker: "own" }],
      ["b", { destination: "mine", broker: "shared" }],
      ["c", { destination: "rival", broker: "shared" }],
      ["d", { destination: "rival", broker: "theirs" }],
    ]);
    const sight = sightOf(token("x", "read", ["mine"]), { destinations: ["mine", "rival"], sources });
    expect(["own", "shared", "theirs", "none"].map((name) => sight.seesBroker(name))).toEqual([
      "whole",
      "shared",
      "not",
      "not",
    ]);
  });
});

describe("/gps-pings with several destinations", () => {
  const range = "technicianId=7&fromUtc=2026-11-20T12:00:00Z&toUtc=2026-11-20T13:00:00Z";

  it("asks for one, and names those the token may choose from", async () => {
    const { app, state } = twoTenants();
    const answer = await app.request(`/api/v1/gps-pings?${range}`, { headers: as("auditor") });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      type: "urn:waypost:error:bad_request",
      errors: [{ parameter: "destination", detail: "is required where there are several: mine, rival" }],
    });
    expect(state.pingQueries).toEqual([]);
    const chosen = await app.request(`/api/v1/gps-pings?destination=rival&${range}`, {
      headers: as("auditor"),
    });
    expect(chosen.status).toBe(200);
    expect(state.pingQueries).toMatchObject([{ destination: "rival", technicianId: "7" }]);
  });

  it("uses the only one a token sees, and finds no other", async () => {
    const { app, state } = twoTenants();
    expect((await app.request(`/api/v1/gps-pings?${range}`, { headers: as("mine-screen") })).status).toBe(
      200,
    );
    expect(state.pingQueries).toMatchObject([{ destination: "mine" }]);
    const unknown = await app.request(`/api/v1/gps-pings?destination=nobody&${range}`, {
      headers: as("auditor"),
    });
    expect(unknown.status).toBe(404);
  });
});

describe("a token that reads", () => {
  it("may try a redrive, and not do it", async () => {
    const { app, state } = twoTenants();
    const post = (mode: string) =>
      app.request("/api/v1/quarantine/redrive", {
        method: "POST",
        headers: as("auditor", { "content-type": "application/json" }),
        body: JSON.stringify({ mode }),
      });
    expect((await post("dry_run")).status).toBe(200);
    expect((await post("do")).status).toBe(403);
    expect(state.refusals).toEqual(["role"]);
    expect(state.acted).toMatchObject([
      { action: "redrive", by: "auditor", filter: { mode: "dry_run" }, count: 1, outcome: "done" },
      { action: "redrive", by: "auditor", filter: { mode: "do" }, count: null, outcome: "refused" },
    ]);
  });

  it("has no other method that changes anything, not even one that does not exist yet", async () => {
    const { app } = twoTenants();
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      for (const path of ["/api/v1/status", "/anything", "/api/v1/dead-letters/redrive/"]) {
        const headers = as("auditor", { "content-type": "application/json" });
        expect((await app.request(path, { method, headers, body: "{}" })).status, path).toBe(403);
      }
    }
  });
});
