/** Sends the stand-in API right and wrong requests, and switches on each of its faults. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import type { FaultInput } from "../../sandbox/faults.ts";
import { scaled } from "../support/speed.ts";

const TENANT = SANDBOX_CLIENT.tenants[0];
const PROVIDER = SANDBOX_CLIENT.providers[0];
const FORM = { "content-type": "application/x-www-form-urlencoded" };
const GRANT = {
  grant_type: "client_credentials",
  client_id: SANDBOX_CLIENT.clientId,
  client_secret: SANDBOX_CLIENT.clientSecret,
};

let api: SandboxApi;
beforeEach(async () => {
  api = await startSandboxApi({ record: "all" });
});
afterEach(() => api.stop());

let made = 0;
function ping(changes: Record<string, unknown> = {}): Record<string, unknown> {
  made += 1;
  return {
    unitId: "van-1",
    unitName: "Van 1",
    eventTime: "2026-11-20T15:04:05.000Z",
    latitude: 32.78,
    longitude: -96.8,
    speed: 34,
    street: "",
    city: "",
    region: "",
    postalCode: "",
    message: "",
    externalId: `ping-${made}`,
    isNew: false,
    statusMessage: "Moving 34 mph NE",
    ...changes,
  };
}

function without(key: string): Record<string, unknown> {
  const { [key]: _gone, ...rest } = ping();
  return rest;
}

function askToken(changes: Record<string, string> = {}): Promise<Response> {
  const body = new URLSearchParams({ ...GRANT, ...changes });
  return fetch(`${api.authUrl}/connect/token`, { method: "POST", body });
}

async function token(): Promise<string> {
  const answer = z.object({ access_token: z.string() }).parse(await (await askToken()).json());
  return answer.access_token;
}

/** The shapes of answers, as far as tests read them. */
const results = z.array(
  z.strictObject({ externalId: z.string(), status: z.enum(["Success", "Fail"]), message: z.string() }),
);
const problem = z.object({ errors: z.record(z.string(), z.array(z.string())) });
const gatewayAnswer = z.strictObject({ statusCode: z.number(), message: z.string() });
const readBack = z.object({ pings: z.array(z.object({ seq: z.number() })) });

interface Changes {
  path?: string;
  headers?: Record<string, string | null>;
  signal?: AbortSignal;
}

async function post(body: string, { path, headers = {}, signal }: Changes = {}): Promise<Response> {
  const given: Record<string, string | null> = {
    authorization: `Bearer ${headers.authorization === undefined ? await token() : ""}`,
    "st-app-key": SANDBOX_CLIENT.appKey,
    "content-type": "application/json",
    ...headers,
  };
  const sent = new Headers();
  for (const [name, value] of Object.entries(given)) if (value !== null) sent.set(name, value);
  const url = `${api.url}${path ?? `/dispatch/v2/tenant/${TENANT}/gps-provider/${PROVIDER}/gps-pings`}`;
  // A body of bytes, because fetch would add a content type of its own to text.
  const init = { method: "POST", headers: sent, body: new TextEncoder().encode(body) };
  return fetch(url, signal ? { ...init, signal } : init);
}

function push(...pings: unknown[]): Promise<Response> {
  return post(JSON.stringify(pings));
}

describe("the token endpoint", () => {
  test("issues a bearer token for 900 seconds with the client's scopes", async () => {
    const response = await askToken();
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      access_token: expect.any(String),
      expires_in: 900,
      token_type: "Bearer",
      scope: "tn.dis.gpspings:w",
    });
    expect(api.summary().tokensIssued).toBe(1);
  });

  test("writes tokens in the documented form, with the client's tenant and scopes", async () => {
    const [head = "", claims = ""] = (await token())
      .split(".")
      .map((part) => Buffer.from(part, "base64url").toString());
    expect(JSON.parse(head)).toEqual({ alg: "RS256", typ: "at+jwt" });
    expect(JSON.parse(claims)).toMatchObject({
      client_id: SANDBOX_CLIENT.clientId,
      tenant: TENANT,
      scope: ["tn.dis.gpspings:w"],
    });
  });

  test.each([
    ["a wrong secret", { client_secret: "wrong" }, "invalid_client"],
    [
      "a secret with a pasted newline",
      { client_secret: `${SANDBOX_CLIENT.clientSecret}\n` },
      "invalid_client",
    ],
    ["an unknown client", { client_id: "stranger" }, "invalid_client"],
    ["another grant", { grant_type: "password" }, "unsupported_grant_type"],
    ["a scope that is not the client's", { scope: "tn.crm.customers:r" }, "invalid_scope"],
  ])("refuses %s", async (_what, changes, error) => {
    const response = await askToken(changes);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error });
  });

  test("refuses a body that is not a form, and one without a grant", async () => {
    const url = `${api.authUrl}/connect/token`;
    const json = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(GRANT),
    };
    const asJson = await fetch(url, json);
    const empty = await fetch(url, { method: "POST", headers: FORM, body: "" });
    expect([asJson.status, empty.status]).toEqual([400, 400]);
    expect([await asJson.json(), await empty.json()]).toEqual(Array(2).fill({ error: "invalid_request" }));
  });
});

describe("gps-pings", () => {
  test("accepts a batch, answers for every ping, and shows what it accepted", async () => {
    const batch = [ping(), ping({ unitId: "van-2", latitude: null, longitude: null, speed: null })];
    const response = await push(...batch);
    expect(response.status).toBe(200);
    const items = results.parse(await response.json());
    expect(items).toHaveLength(2);
    for (const { externalId } of batch)
      expect(items).toContainEqual({ externalId, status: "Success", message: "" });
    expect(api.pings().map((accepted) => accepted.ping)).toEqual(batch);
    expect(api.summary()).toMatchObject({
      accepted: 2,
      distinct: 2,
      duplicates: 0,
      refused: 0,
      units: 2,
      requests: 1,
    });
  });

  test("accepts an empty batch", async () => {
    const response = await push();
    expect([response.status, await response.json()]).toEqual([200, []]);
  });

  test("does not answer in the order of the request", async () => {
    const batch = [ping(), ping(), ping()];
    const items = results.parse(await (await push(...batch)).json());
    expect(items.map((item) => item.externalId)).not.toEqual(batch.map((each) => each.externalId));
  });

  const gateway = (status: number) => ({ statusCode: status, message: expect.any(String) });
  test.each<[string, number, Changes]>([
    ["no token", 401, { headers: { authorization: null } }],
    ["a token nobody issued", 401, { headers: { authorization: "Bearer made-up" } }],
    ["another scheme", 401, { headers: { authorization: "Basic dTpw" } }],
    ["no app key", 401, { headers: { "st-app-key": null } }],
    ["another app's key", 401, { headers: { "st-app-key": "other" } }],
    ["a tenant of others", 404, { path: `/dispatch/v2/tenant/999/gps-provider/${PROVIDER}/gps-pings` }],
    ["a tenant's name", 404, { path: `/dispatch/v2/tenant/acme/gps-provider/${PROVIDER}/gps-pings` }],
    ["an unknown provider", 404, { path: `/dispatch/v2/tenant/${TENANT}/gps-provider/other/gps-pings` }],
    ["another path", 404, { path: `/accounting/v2/tenant/${TENANT}/gps-pings` }],
    ["text", 415, { headers: { "content-type": "text/plain" } }],
    ["no content type", 415, { headers: { "content-type": null } }],
    ["a compressed body", 415, { headers: { "content-encoding": "gzip" } }],
  ])("refuses %s with %i, as the gateway words it", async (_what, status, changes) => {
    const response = await post(JSON.stringify([ping()]), changes);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual(gateway(status));
    expect(api.summary().accepted).toBe(0);
  });

  test("GET is no operation", async () => {
    const response = await fetch(
      `${api.url}/dispatch/v2/tenant/${TENANT}/gps-provider/${PROVIDER}/gps-pings`,
    );
    expect([response.status, await response.json()]).toEqual([404, gateway(404)]);
  });

  test("403 without the scope; 401 after the token's life; the provider's status as set", async () => {
    await api.stop();
    const noScope = { ...SANDBOX_CLIENT, scopes: ["tn.crm.customers:r"] };
    api = await startSandboxApi({ record: "all", clients: [noScope] });
    expect((await push(ping())).status).toBe(403);
    await api.stop();
    api = await startSandboxApi({ record: "all", tokenTtlS: 0 });
    expect((await push(ping())).status).toBe(401);
    await api.stop();
    const elsewhere = { ...SANDBOX_CLIENT, providers: ["other"] };
    api = await startSandboxApi({ record: "all", clients: [elsewhere], unknownProviderStatus: 403 });
    expect((await push(ping())).status).toBe(403);
  });

  const strings = Object.keys(ping()).filter((key) => typeof ping()[key] === "string");
  const wrong: [string, unknown, string][] = [
    ...Object.keys(ping()).map((key): [string, unknown, string] => [
      `no ${key}`,
      [without(key)],
      `[0].${key}`,
    ]),
    ...[...strings, "isNew"].map((key): [string, unknown, string] => [
      `${key} null`,
      [ping({ [key]: null })],
      `[0].${key}`,
    ]),
    ...strings.map((key): [string, unknown, string] => [
      `${key} a number`,
      [ping({ [key]: 7 })],
      `[0].${key}`,
    ]),
    ["latitude as text", [ping({ latitude: "32.78" })], "[0].latitude"],
    ["longitude as text", [ping({ longitude: "-96.8" })], "[0].longitude"],
    ["speed a boolean", [ping({ speed: true })], "[0].speed"],
    ["isNew as text", [ping({ isNew: "false" })], "[0].isNew"],
    ["isNew a number", [ping({ isNew: 0 })], "[0].isNew"],
    ["an extra key", [ping({ heading: 90 })], "[0].heading"],
    ["a time without zone", [ping({ eventTime: "2026-11-20T15:04:05.000" })], "[0].eventTime"],
    ["a time with a space", [ping({ eventTime: "2026-11-20 15:04:05Z" })], "[0].eventTime"],
    ["the 30th of February", [ping({ eventTime: "2026-02-30T15:04:05Z" })], "[0].eventTime"],
    ["hour 25", [ping({ eventTime: "2026-02-03T25:04:05Z" })], "[0].eventTime"],
    ["a time in epoch milliseconds", [ping({ eventTime: "1795187045000" })], "[0].eventTime"],
    ["a wrong second ping", [ping(), without("unitId")], "[1].unitId"],
    ["a ping that is null", [null], "[0]"],
    ["a ping that is an array", [[]], "[0]"],
    ["a wrapper object", { pings: [ping()] }, "$"],
    ["a lone ping", ping(), "$"],
    ["null", null, "$"],
  ];
  test.each(wrong)("answers 400 for %s and names it", async (_what, body, key) => {
    const response = await post(JSON.stringify(body));
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      type: expect.stringContaining("http"),
      title: expect.any(String),
      status: 400,
      traceId: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/),
      errors: { [key]: [expect.any(String)] },
      data: {},
    });
    expect(api.summary().accepted).toBe(0);
  });

  test.each([
    ["an empty body", "", ""],
    ["half a body", '[{"unitId":', "$"],
    ["a speed beyond doubles", JSON.stringify([ping()]).replace('"speed":34', '"speed":1e999'), "[0].speed"],
  ])("answers 400 for %s", async (_what, text, key) => {
    const response = await post(text);
    expect(response.status).toBe(400);
    expect(Object.keys(problem.parse(await response.json()).errors)).toEqual([key]);
  });

  test.each(["2026-11-20T15:04:05Z", "2026-11-20T09:04:05-06:00", "2024-02-29T23:59:59.123456789+14:00"])(
    "accepts %s as a time",
    async (eventTime) => {
      expect((await push(ping({ eventTime }))).status).toBe(200);
    },
  );

  test("lets 60 requests of an app and tenant through in a second, and no more", async () => {
    const authorization = `Bearer ${await token()}`;
    const answers = await Promise.all(
      Array.from({ length: 90 }, () => post(JSON.stringify([ping()]), { headers: { authorization } })),
    );
    const refused = answers.filter((answer) => answer.status === 429);
    const arrivals = api.requests().map((request) => request.arrivedAtMs);
    const span = Math.max(...arrivals) - Math.min(...arrivals);
    // On a machine so busy that the requests took over a second to arrive, more than 60 are right.
    if (span < 1000) expect(refused).toHaveLength(30);
    for (const answer of refused) expect(answer.headers.get("retry-after")).toBe("1");
    const accepted = api.requests().filter((request) => request.status === 200);
    for (const { arrivedAtMs } of accepted) {
      const inSecond = accepted.filter(
        (each) => each.arrivedAtMs > arrivedAtMs - 1000 && each.arrivedAtMs <= arrivedAtMs,
      );
      expect(inSecond.length).toBeLessThanOrEqual(60);
    }
    expect(api.summary().statuses).toEqual({ 200: 90 - refused.length, 429: refused.length });
  });
});

describe("what it remembers", () => {
  test("duplicates, pings out of order, and the newest position of a unit", async () => {
    const second = ping({ eventTime: "2026-11-20T15:04:10.000Z", latitude: 32.79 });
    const first = ping({ eventTime: "2026-11-20T15:04:05.000Z" });
    for (const each of [second, first, second]) await push(each);
    expect(api.summary()).toMatchObject({ accepted: 3, distinct: 2, duplicates: 1, outOfOrder: 1 });
    expect(api.summary().outOfOrderByUnit).toEqual({ "van-1": 1 });
    expect(api.units()).toMatchObject([{ unitId: "van-1", latitude: 32.79, accepted: 3, outOfOrder: 1 }]);
  });

  test("read-back over HTTP, by unit, tenant and place in the sequence", async () => {
    await push(ping({ unitId: "a" }), ping({ unitId: "b" }), ping({ unitId: "a" }));
    const read = async (query: string) => {
      const response = await fetch(`${api.url}/_sandbox/pings?${query}`);
      return readBack.parse(await response.json()).pings.map(({ seq }) => seq);
    };
    expect(await read("")).toEqual([0, 1, 2]);
    expect(await read("unitId=a")).toEqual([0, 2]);
    expect(await read("unitId=a&from=1")).toEqual([2]);
    expect(await read("limit=1&from=1")).toEqual([1]);
    expect(await read("tenant=2")).toEqual([]);
    expect((await fetch(`${api.url}/_sandbox/pings?limit=many`)).status).toBe(400);
    const requests = await (await fetch(`${api.url}/_sandbox/requests`)).json();
    expect(requests).toMatchObject({
      maxPerSecond: 1,
      statuses: { 200: 1 },
      requests: [{ status: 200, pings: 3 }],
    });
    const units = await (await fetch(`${api.url}/_sandbox/units`)).json();
    expect(units).toMatchObject({ units: [{ unitId: "a" }, { unitId: "b" }] });
    const cleared = await fetch(`${api.url}/_sandbox/pings`, { method: "DELETE" });
    expect(await cleared.json()).toMatchObject({ requests: 0, accepted: 0, units: 0 });
    expect(api.pings()).toEqual([]);
  });

  test("only counts in mode `counts`", async () => {
    await api.stop();
    api = await startSandboxApi({ record: "counts" });
    await push(ping(), ping());
    expect(api.summary()).toMatchObject({
      accepted: 2,
      distinct: null,
      duplicates: null,
      units: 1,
      statuses: { 200: 1 },
    });
    expect([api.pings(), api.requests()]).toEqual([[], []]);
  });
});

describe("faults", () => {
  function setOverHttp(fault: unknown): Promise<Response> {
    return fetch(`${api.url}/_sandbox/faults`, { method: "POST", body: JSON.stringify(fault) });
  }

  test("are set, listed and cleared over HTTP, and refused where unknown", async () => {
    expect((await setOverHttp({ kind: "status", status: 503, times: 2 })).status).toBe(200);
    expect([(await push(ping())).status, (await push(ping())).status]).toEqual([503, 503]);
    expect((await push(ping())).status).toBe(200);
    const listed = await (await fetch(`${api.url}/_sandbox/faults`)).json();
    expect(listed).toEqual([{ fault: { kind: "status", status: 503, times: 2 }, strikes: 2, active: false }]);
    for (const wrong of [{ kind: "flood" }, { kind: "status" }, { kind: "poison", match: {} }, null]) {
      const refusal = await setOverHttp(wrong);
      expect([refusal.status, await refusal.json()]).toEqual([400, { problems: expect.any(String) }]);
    }
    await fetch(`${api.url}/_sandbox/faults`, { method: "DELETE" });
    expect(api.faults.list()).toEqual([]);
  });

  test.each<[FaultInput & { kind: "throttle" }, RegExp | null, RegExp]>([
    [{ kind: "throttle", hint: "seconds", seconds: 7 }, /^7$/, /exceeded/],
    [{ kind: "throttle", hint: "date", seconds: 7 }, / GMT$/, /exceeded/],
    [{ kind: "throttle", hint: "body", seconds: 7 }, null, /try again in 7 seconds/i],
    [{ kind: "throttle", hint: "none" }, null, /exceeded\.$/],
  ])("429 with its hint: %o", async (fault, header, message) => {
    api.faults.set(fault);
    const response = await push(ping());
    expect(response.status).toBe(429);
    if (header === null) expect(response.headers.get("retry-after")).toBeNull();
    else expect(response.headers.get("retry-after")).toMatch(header);
    expect(gatewayAnswer.parse(await response.json()).message).toMatch(message);
  });

  test.each<[FaultInput, number, RegExp]>([
    [{ kind: "app_key_wrong" }, 401, /ST-App-Key/],
    [{ kind: "tenant_unknown" }, 404, /Unable to match/],
    [{ kind: "scope_missing" }, 403, /does not have the scope/],
    [{ kind: "version_refused" }, 403, /newest version is not accepted/],
    [{ kind: "provider_not_connected" }, 403, /not connected to the GPS provider waypost/],
    [{ kind: "provider_inactive", status: 404 }, 404, /waypost is not activated/],
  ])("%o refuses every request with %i", async (fault, status, words) => {
    api.faults.set(fault);
    const response = await push(ping());
    expect(response.status).toBe(status);
    expect(gatewayAnswer.parse(await response.json()).message).toMatch(words);
    expect(api.summary().accepted).toBe(0);
    api.faults.clear();
    expect((await push(ping())).status).toBe(200);
  });

  test("a provider that is refused with 400 is named in the errors", async () => {
    api.faults.set({ kind: "provider_inactive", status: 400 });
    const response = await push(ping());
    expect(response.status).toBe(400);
    expect(Object.keys(problem.parse(await response.json()).errors)).toEqual(["gps_provider"]);
  });

  test("credentials of the other environment are of no client; without the scope a token says so", async () => {
    api.faults.set({ kind: "wrong_environment" });
    const refused = await askToken();
    expect([refused.status, await refused.json()]).toEqual([400, { error: "invalid_client" }]);
    api.faults.set({ kind: "scope_missing" });
    expect(await (await askToken()).json()).toMatchObject({ scope: "" });
  });

  test("a clock that is off shows in every answer", async () => {
    api.faults.set({ kind: "clock_off", seconds: -600 });
    for (const response of [await fetch(`${api.url}/`), await push(ping())]) {
      const date = Date.parse(response.headers.get("date") ?? "");
      expect(Math.abs(Date.now() - 600_000 - date)).toBeLessThan(scaled(30_000));
    }
  });

  test("one poison ping refuses its batch and no other", async () => {
    api.faults.set({ kind: "poison", match: { unitId: "bad" } });
    const refused = await push(ping(), ping({ unitId: "bad" }));
    expect([refused.status, Object.keys(problem.parse(await refused.json()).errors)]).toEqual([400, ["[1]"]]);
    expect((await push(ping())).status).toBe(200);
    expect(api.summary()).toMatchObject({ accepted: 1, refused: 2 });
  });

  test("single pings fail, or are missing in the answer", async () => {
    api.faults.set([
      { kind: "fail", match: { externalId: "no" }, message: "Unknown unit" },
      { kind: "omit", match: { externalId: "lost" } },
    ]);
    const answer = await push(ping({ externalId: "no" }), ping({ externalId: "lost" }), ping());
    const items = results.parse(await answer.json());
    expect(items).toHaveLength(2);
    expect(items).toContainEqual({ externalId: "no", status: "Fail", message: "Unknown unit" });
    expect(api.summary()).toMatchObject({ accepted: 1, failed: 2 });
  });

  test("a 2xx that cannot be read counts as accepted", async () => {
    api.faults.set({ kind: "unreadable" });
    const response = await push(ping());
    expect(response.status).toBe(200);
    await expect(response.json()).rejects.toThrow(SyntaxError);
    expect(api.summary().accepted).toBe(1);
  });

  test("413 above the cap", async () => {
    api.faults.set({ kind: "byte_cap", bytes: 1000 });
    const small = await push(ping());
    const large = await push(ping(), ping(), ping(), ping());
    expect([small.status, large.status]).toEqual([200, 413]);
  });

  test("hangs until the sender gives up", async () => {
    api.faults.set({ kind: "hang" });
    const impatient = new AbortController();
    const answer = post(JSON.stringify([ping()]), { signal: impatient.signal });
    await expect.poll(() => api.requests().length, { timeout: scaled(10_000) }).toBe(1);
    impatient.abort();
    await expect(answer).rejects.toThrow("aborted");
    expect(api.summary()).toMatchObject({ accepted: 0, statuses: { none: 1 } });
  });

  test.each(["before_accepting", "after_accepting"] as const)("resets the connection %s", async (when) => {
    api.faults.set({ kind: "reset", when, times: 1 });
    await expect(push(ping())).rejects.toThrow("fetch failed");
    expect(api.summary().accepted).toBe(when === "after_accepting" ? 1 : 0);
    expect((await push(ping())).status).toBe(200);
  });

  test("a body in two halves is whole in the end", async () => {
    api.faults.set({ kind: "slow_body", seconds: 0.05 });
    const response = await push(ping());
    expect(await response.json()).toMatchObject([{ status: "Success" }]);
  });

  test("tokens are revoked, and new ones work", async () => {
    const authorization = `Bearer ${await token()}`;
    const send = () => post(JSON.stringify([ping()]), { headers: { authorization } });
    expect((await send()).status).toBe(200);
    api.faults.set({ kind: "token_revoked" });
    expect((await send()).status).toBe(401);
    expect((await push(ping())).status).toBe(200);
  });

  test("the token endpoint is down", async () => {
    api.faults.set({ kind: "token_down", times: 1 });
    expect((await askToken()).status).toBe(503);
    expect((await askToken()).status).toBe(200);
  });

  test("reach one tenant only, and end after their time", async () => {
    api.faults.set({ kind: "status", status: 500, tenant: "999" });
    expect((await push(ping())).status).toBe(200);
    api.faults.set({ kind: "status", status: 500, tenant: TENANT, forMs: 60_000 });
    expect((await push(ping())).status).toBe(500);
    api.faults.set({ kind: "status", status: 500, forMs: 20 });
    await expect.poll(async () => (await push(ping())).status, { timeout: scaled(10_000) }).toBe(200);
  });
});
