/** Tenants through the API: created, read, changed and deleted, on conditions, and by whom. */

import { expect, test } from "vitest";
import type { OpsToken } from "../../../src/config/ops-tokens.ts";
import type { ErrorBody } from "../../../src/ops/api/errors.ts";
import { opsApp, tenantsOf } from "../ops-app.ts";

const SETTINGS = {
  sources: { vans: { vendor: "bouncie", destination: "acme", auth: { secret: "nobody-guesses-9dK2x" } } },
  destinations: { acme: { tenant: "1000003", clientSecret: "nor-this-one-7fQ4z" } },
};
const token = (name: string, role: OpsToken["role"], destinations: string[] | null = null): OpsToken => ({
  ...{ name, token: `${name}-of-24-characters-x`, role, destinations },
});
const TOKENS = [
  token("boss", "operate"),
  token("reader", "read"),
  token("desk", "operate", ["acme"]),
  token("other", "operate", ["rival"]),
];

function open(changes: Parameters<typeof opsApp>[0] = {}) {
  const ops = opsApp({
    tokens: () => TOKENS,
    topology: {
      destinations: ["acme", "rival"],
      sources: new Map(),
      tenants: new Map([["acme", { origin: "api", destinations: ["acme"], isPaused: false }]]),
    },
    tenants: tenantsOf({ acme: SETTINGS }),
    ...changes,
  });
  async function ask(
    method: string,
    path: string,
    {
      as = "boss",
      body,
      headers = {},
    }: { as?: string; body?: unknown; headers?: Record<string, string> } = {},
  ) {
    const answer = await ops.app.request(`/api/v1${path}`, {
      method,
      headers: {
        ...{ authorization: `Bearer ${as}-of-24-characters-x`, "content-type": "application/json" },
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.includes("json");
    return {
      status: answer.status,
      etag: answer.headers.get("etag"),
      text,
      body: isJson ? JSON.parse(text) : text,
    };
  }
  return { ...ops, ask };
}

const errorOf = (body: ErrorBody) => body.type.replace("urn:waypost:error:", "");

test("a tenant's way from creation to deletion, in the trail without any value", async () => {
  const { ask, state } = open();
  const document = { ...SETTINGS, sources: { trucks: { auth: { secret: "(generate)" } } } };
  const created = await ask("POST", "/tenants", { body: { tenant: "bolt", document } });
  expect(created).toMatchObject({ status: 200, body: { tenant: "bolt", state: "active" } });
  const [made] = created.body.secrets;
  expect(made).toEqual({
    pointer: "/sources/trucks/auth/secret",
    secret: expect.stringMatching(/^[0-9a-f]{48}$/),
  });

  const read = await ask("GET", "/tenants/bolt/document");
  expect(read.etag).toBe(created.etag);
  expect(read.body.document.sources.trucks.auth.secret).toBe("(set)");
  const changed = { ...read.body.document, limits: { devices: 3 } };
  const put = await ask("PUT", "/tenants/bolt/document", {
    body: changed,
    headers: { "if-match": read.etag ?? "" },
  });
  expect(put).toMatchObject({ status: 200, body: { document: changed, secrets: [] } });
  const late = await ask("PUT", "/tenants/bolt/document", {
    body: changed,
    headers: { "if-match": read.etag ?? "" },
  });
  expect([late.status, errorOf(late.body)]).toEqual([412, "changed"]);

  expect((await ask("POST", "/tenants/bolt/pause", { body: {} })).body.state).toBe("paused");
  expect((await ask("POST", "/tenants/bolt/resume", { body: {} })).body.state).toBe("active");
  const exported = await ask("GET", "/tenants/bolt/export");
  expect(exported.text).toContain("secret: (sealed)");
  const deleted = await ask("DELETE", "/tenants/bolt", { headers: { "if-match": "*" } });
  expect(deleted.body).toEqual({ tenant: "bolt", state: "deleted" });
  expect((await ask("GET", "/tenants/bolt/document")).status).toBe(404);

  expect(state.acted.map(({ action, filter, by }) => [action, filter.tenant, by])).toEqual(
    ["created", "replaced", "paused", "resumed", "deleted"].map((what) => [`tenant_${what}`, "bolt", "boss"]),
  );
  const everything = JSON.stringify([state.acted, read, put, exported.text]);
  for (const secret of [made.secret, "nobody-guesses", "nor-this-one"])
    expect(everything).not.toContain(secret);
});

test("a change wants to know what is meant, and a name is given once", async () => {
  const { ask } = open();
  const without = await ask("PUT", "/tenants/acme/document", { body: SETTINGS });
  expect([without.status, errorOf(without.body)]).toEqual([428, "no_condition"]);
  expect((await ask("DELETE", "/tenants/acme")).status).toBe(428);
  const again = await ask("POST", "/tenants", { body: { tenant: "acme", document: SETTINGS } });
  expect([again.status, errorOf(again.body)]).toEqual([409, "exists"]);
  const numbered = await ask("POST", "/tenants", { body: { tenant: "1000001", document: SETTINGS } });
  expect(numbered.status).toBe(400);
});

test("the same request with the same key is done once, another with it is refused", async () => {
  const { ask, state } = open();
  const headers = { "idempotency-key": "one" };
  const body = { tenant: "bolt", document: { sources: { vans: { auth: { secret: "(generate)" } } } } };
  const first = await ask("POST", "/tenants", { body, headers });
  const second = await ask("POST", "/tenants", { body, headers });
  expect(second).toEqual(first);
  expect(state.acted).toHaveLength(1);
  const other = await ask("POST", "/tenants", { body: { ...body, tenant: "volt" }, headers });
  expect([other.status, errorOf(other.body)]).toEqual([422, "other_request"]);
});

test("what is wrong with a document is told by pointers, and no key by what to set", async () => {
  const wrong = tenantsOf({}, undefined, () => ({
    kind: "wrong",
    problems: [{ path: "x", message: "is required", tenant: "bolt", steps: ["destinations", "a/b"] }],
  }));
  const body = { tenant: "bolt", document: SETTINGS };
  const refused = await open({ tenants: wrong }).ask("POST", "/tenants", { body });
  expect([refused.status, errorOf(refused.body), refused.body.errors]).toEqual([
    422,
    "wrong_document",
    [{ pointer: "/destinations/a~1b", detail: "is required" }],
  ]);
  const unsealed = await open({ tenants: tenantsOf({}, []) }).ask("POST", "/tenants", { body });
  expect([unsealed.status, errorOf(unsealed.body)]).toEqual([409, "no_seal_key"]);
  expect(unsealed.body.detail).toContain("WAYPOST_SEAL_KEY");
});

test("a token reads, pauses and sees what is within its own, and adds nothing unless it sees all", async () => {
  const { ask } = open();
  const statusOf = async (as: string, method: string, path: string, body?: unknown) =>
    (await ask(method, path, { as, body, headers: { "if-match": "*" } })).status;
  const body = { tenant: "bolt", document: SETTINGS };
  expect(await statusOf("reader", "GET", "/tenants/acme/document")).toBe(200);
  expect(await statusOf("reader", "POST", "/tenants", body)).toBe(403);
  expect(await statusOf("reader", "POST", "/tenants/acme/pause", {})).toBe(403);
  expect(await statusOf("desk", "GET", "/tenants/acme/document")).toBe(200);
  expect(await statusOf("desk", "POST", "/tenants/acme/pause", {})).toBe(200);
  expect(await statusOf("desk", "POST", "/tenants", body)).toBe(403);
  expect(await statusOf("desk", "PUT", "/tenants/acme/document", SETTINGS)).toBe(403);
  expect(await statusOf("desk", "DELETE", "/tenants/acme")).toBe(403);
  expect(await statusOf("other", "GET", "/tenants/acme/document")).toBe(404);
  expect(await statusOf("other", "POST", "/tenants/acme/pause", {})).toBe(404);
});

test("a tenant of a file is told to be one", async () => {
  const { ask } = open({
    topology: {
      destinations: ["acme"],
      sources: new Map(),
      tenants: new Map([["filed", { origin: "file", destinations: ["acme"], isPaused: false }]]),
    },
  });
  const answer = await ask("GET", "/tenants/filed/document");
  expect([answer.status, errorOf(answer.body)]).toEqual([409, "not_ours"]);
});
