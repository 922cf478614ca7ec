/** Long lists: every item once over all pages, and cursors that nobody handed out are refused. */

import { describe, expect, it } from "vitest";
import type { ErrorBody } from "../../../src/ops/api/errors.ts";
import { BEARER, opsApp } from "../ops-app.ts";
import { manyTenants, troubled } from "../sample.ts";

function appWith(status = troubled()) {
  const ops = opsApp();
  ops.state.status = status;
  const get = async (path: string) => {
    const answer = await ops.app.request(`/api/v1${path}`, BEARER);
    return { status: answer.status, body: JSON.parse(await answer.text()) };
  };
  return { ...ops, get };
}

const LISTS = [
  "/problems",
  "/tenants",
  "/sources",
  "/destinations",
  "/devices",
  "/quarantine",
  "/dead-letters",
  "/audit",
];

describe.each(LISTS)("%s", (path) => {
  it("comes in pages that together are the whole", async () => {
    const { get, state, app } = appWith();
    for (let i = 0; i < 3; i += 1) await app.request("/api/v1/timeline?q=7", BEARER);
    expect(state.acted).toHaveLength(3);
    const whole: unknown[] = (await get(`${path}?limit=200`)).body.items;
    expect(whole.length).toBeGreaterThan(1);
    const paged: unknown[] = [];
    for (let next: string | null = ""; next !== null; ) {
      const { body } = await get(`${path}?limit=1${next === "" ? "" : `&cursor=${next}`}`);
      expect(body.items).toHaveLength(1);
      paged.push(...body.items);
      next = body.next;
    }
    expect(paged).toEqual(whole);
  });

  it.each(["x", "WyJhIixbXV0", Buffer.from(JSON.stringify(["x", ["1-0", "s"]])).toString("base64url")])(
    "refuses the made-up cursor %s",
    async (cursor) => {
      const { get } = appWith();
      const { status, body }: { status: number; body: ErrorBody } = await get(`${path}?cursor=${cursor}`);
      expect(status).toBe(400);
      expect(body.errors?.map(({ parameter }) => parameter)).toEqual(["cursor"]);
    },
  );

  it("refuses a cursor of another list", async () => {
    const { get } = appWith();
    const other = path === "/sources" ? "/destinations" : "/sources";
    const { body } = await get(`${other}?limit=1`);
    expect((await get(`${path}?cursor=${body.next}`)).status).toBe(400);
  });
});

describe("/tenants", () => {
  it("has the worst first, and finds by a part of a number or name in any case", async () => {
    const { get } = appWith(manyTenants(300));
    const { body } = await get("/tenants?limit=2");
    expect(body.items[0]).toMatchObject({ tenant: "2207", problems: { error: 1 }, waiting: 1218 });
    const found = async (q: string) =>
      (await get(`/tenants?limit=200&q=${q}`)).body.items.map(({ tenant }: { tenant: string }) => tenant);
    expect(await found("BLUE")).toEqual(["2207"]);
    expect(await found("pany-77-VANS")).toEqual(["1000077"]);
    expect(await found("1000012")).toEqual(["1000012"]);
    expect(await found("nobody")).toEqual([]);
  });
});

describe("/problems", () => {
  it("are filtered by severity, kind, tenant, source and whose", async () => {
    const { get } = appWith();
    const all: { severity: string; kind: string; tenant: string | null; whose: string }[] = (
      await get("/problems")
    ).body.items;
    for (const name of ["severity", "kind", "tenant", "whose"] as const) {
      for (const value of new Set(all.flatMap((each) => each[name] ?? []))) {
        const { body } = await get(`/problems?${name}=${value}`);
        expect(body.items).toEqual(all.filter((each) => each[name] === value));
      }
    }
    expect((await get("/problems?kind=nonsense")).status).toBe(400);
  });
});

it("answers 503 for what Redis would have to say, and 405 with what is allowed", async () => {
  const { get, state, app } = appWith();
  state.fault = new Error("connect ECONNREFUSED");
  for (const path of ["/tenants", "/sources", "/destinations/acme-austin", "/quarantine", "/deliveries"]) {
    expect(await get(path)).toMatchObject({ status: 503, body: { type: "urn:waypost:error:unavailable" } });
  }
  expect(await get("/status")).toMatchObject({
    status: 200,
    body: { available: false, problems: [{ where: "Redis", what: expect.stringContaining("ECONNREFUSED") }] },
  });
  const headers = { ...BEARER.headers, "content-type": "application/json" };
  const answer = await app.request("/api/v1/status", { method: "POST", headers, body: "{}" });
  expect(answer.status).toBe(405);
  expect(answer.headers.get("allow")).toBe("GET, HEAD");
  expect(await get("/nothing")).toMatchObject({ status: 404, body: { instance: "/api/v1/nothing" } });
});

it("sets the log level for those who may, and writes it to the trail", async () => {
  const { app, state } = appWith();
  const put = (level: string) =>
    app.request("/api/v1/log-level", {
      method: "PUT",
      headers: { ...BEARER.headers, "content-type": "application/json" },
      body: JSON.stringify({ level }),
    });
  expect(await (await put("debug")).json()).toEqual({ level: "debug" });
  expect(state.logLevel).toBe("debug");
  expect((await put("loud")).status).toBe(400);
  expect(state.acted).toMatchObject([
    { action: "log_level", filter: { from: "info", to: "debug" }, by: "token" },
  ]);
});
