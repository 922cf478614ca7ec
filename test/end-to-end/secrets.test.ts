/** No secret shows: one gateway with every kind of secret, good and bad callers, and a search through all that it says and keeps. */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { stringify } from "yaml";
import { LOGIN_ASSETS, PAGE_ASSETS } from "../../src/ops/page/assets.ts";
import { runCli } from "../support/cli-process.ts";
import {
  ask,
  basic,
  bearer,
  cookie,
  destination,
  deviceAsks,
  ENV,
  markers,
  post,
  reading,
  running,
  S,
  send,
  sendAll,
  sourcesOf,
  startGatewayOfSecrets,
  stopGatewayOfSecrets,
} from "../support/gateway-of-secrets.ts";
import { lookAtRedis } from "../support/markers.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

// The name of a variable, as in `${NAME}`, is no secret: what refuses a configuration has to say which one is not set.
// Three answers give out a secret once, by design: the one that creates a tenant with `(generate)`, a link, and a login's
// cookie. The test takes each of them from its answer, and from then on looks for it everywhere else.
const { make, look, places, kinds } = markers;

beforeAll(startGatewayOfSecrets);
afterAll(stopGatewayOfSecrets);

function logIn(token: string) {
  const headers = {
    "content-type": "application/x-www-form-urlencoded",
    origin: `http://127.0.0.1:${running().gateway.opsPort}`,
  };
  return ask("/login", { method: "POST", headers, body: `token=${token}`, redirect: "manual" });
}

/** A browser's session and a tenant's link: what opens the page is taken from the answer, and shown nowhere else. */
async function sessionAndLink(): Promise<void> {
  const session =
    /waypost_session=([^;]+)/.exec((await logIn(S.reader)).headers.get("set-cookie") ?? "")?.[1] ?? "";
  make("session", decodeURIComponent(session));
  const { path }: { path: string } = JSON.parse((await post("/tenants/1000001/links", { hours: 1 })).text);
  make("link", path.split(".").at(-1) ?? "");
  const opened = await ask(path, { headers: { authorization: "" }, redirect: "manual" });
  look("login answers", opened.text);
  expect(opened.status).toBeLessThan(400);
  const headers = { authorization: "", cookie: `waypost_session=${session}` };
  for (const { path } of [...LOGIN_ASSETS, ...PAGE_ASSETS]) {
    const asset = await ask(path.replace(":tenant", "1000001"), { headers });
    expect(asset.status).toBe(200);
    look("page and assets", asset.text);
  }
}

/** Callers that are wrong, each with a secret that might be right somewhere else. */
async function wrongCallers(): Promise<void> {
  const wrong = (kind: string) => make(`wrong: ${kind}`);
  expect(await send("bearer", bearer(wrong("bearer")), reading())).toBe(401);
  expect(await send("basic", basic("anna", wrong("basic")), reading())).toBe(401);
  expect(await send("url", {}, reading(), `?token=${wrong("url token")}`)).toBe(401);
  expect(await send("body", {}, `{"token":"${wrong("body token")}"}`)).toBe(401);
  expect(await send("nobody", bearer(wrong("unknown source")), reading(), `?token=${wrong("query")}`)).toBe(
    404,
  );
  const asked = await ask("/api/v1/status", { headers: bearer(wrong("ops token")) });
  look("refusals of the API", asked.text);
  const login = await logIn(wrong("login"));
  look("login answers", login.text);
  expect([asked.status, login.status]).toEqual([401, 401]);
  await deviceAsks(wrong("device"));
  await deviceAsks(S.device);
}

/** Files that are refused, for their settings and for their YAML: a text that was wrong is not shown for it. */
async function refusedReloads(): Promise<void> {
  const file = join(dirname(running().gateway.configFile), "tenants.d", "bad.yaml");
  mkdirSync(dirname(file));
  const secret = (kind: string) => make(`refused configuration: ${kind}`);
  const settings = {
    sources: {
      bad: {
        vendor: "json",
        destination: "bad",
        auth: { secrte: secret("misspelt"), secret: ` ${secret("space")}` },
      },
      worse: {
        vendor: "json",
        destination: "bad",
        auth: { method: "bearer", secrets: { a: secret("wrong type") } },
      },
      // A secret in the place of a name.
      third: { vendor: "json", destination: "bad", auth: secret("not in its section") },
    },
    destinations: { bad: { ...destination(1), apiUrl: `ftp://anna:${secret("URL password")}@x` } },
    mqtt: { brokers: { bad: { url: `mqtts://anna:${secret("broker URL")}@far.example`, clientId: "w" } } },
  };
  const yaml = `sources:\n  bad: { vendor: json, auth: { secret: "${secret("broken YAML")}\n`;
  for (const text of [stringify(settings), yaml]) {
    writeFileSync(file, text);
    const answer = await post("/reload", {});
    expect(JSON.parse(answer.text)).toMatchObject({ result: "refused" });
    look("API answers", answer.text);
    const { stdout, stderr } = await runCli(["check", "--config", running().gateway.configFile], {
      env: ENV,
    });
    look("check of a refused configuration", stdout + stderr);
    for (const path of ["/status", "/problems"]) look("API answers", (await ask(`/api/v1${path}`)).text);
  }
  rmSync(file);
  expect(JSON.parse((await post("/reload", {})).text)).not.toMatchObject({ result: "refused" });
}

/** Created with a secret of its own and one that is made for it, replaced, refused, exported. */
async function tenantOfTheApi(): Promise<void> {
  const headers = {
    Accept: "application/json",
    Authorization: `ApiKey ${make("header of a tenant of the API")}`,
  };
  const login = { path: "/login", json: { b: make("login body of a tenant of the API") }, token: "token" };
  const ownPull = {
    baseUrl: running().vendorUrl,
    path: "/positions",
    privateNetwork: true,
    headers: { ...headers, "X-Session": "{token}" },
    login,
  };
  const document = (secret: string) => ({
    sources: {
      bolt: { vendor: "json", destination: "bolt", auth: { method: "bearer", secret } },
      made: { vendor: "json", destination: "bolt", auth: { method: "bearer", secret: "(generate)" } },
      asked: { ...sourcesOf().polled, destination: "bolt", auth: undefined, pull: ownPull },
    },
    destinations: { bolt: destination(1) },
  });
  const created = await post("/tenants", { tenant: "bolt", document: document(S.api) });
  expect([created.status, created.text.slice(0, 200)]).toEqual([200, expect.any(String)]);
  look("API answers", created.text);
  expect(JSON.parse(created.text).document.sources.asked.pull).toMatchObject({
    ...{ headers: { Accept: "application/json", Authorization: "(set)" }, login: { json: { b: "(set)" } } },
  });
  const [{ secret = "" } = {}]: { secret?: string }[] = JSON.parse(created.text).secrets;
  make("made for a tenant", secret);
  await until(async () => (await send("bolt", bearer(S.api), reading())) === 200, { what: "the new tenant" });
  const put = (body: object) => post("/tenants/bolt/document", body, "PUT", { "if-match": "*" });
  const { sources, ...rest } = document(S.next);
  const replaced = await put({
    ...rest,
    sources: { ...sources, made: { ...sources.made, auth: { method: "bearer", secret: "(set)" } } },
  });
  expect(replaced.status).toBe(200);
  const refused = await put({
    ...rest,
    sources: { bolt: { vendor: make("secret in the vendor's place"), auth: { secrte: S.next } } },
  });
  expect(refused.status).toBe(422);
  for (const { text } of [replaced, refused]) look("API answers", text);
}

/** Every operation of the OpenAPI document: how it is asked here, or null where the test above has asked it. */
const OPERATIONS: Record<string, string | [path: string, body: object, method?: string] | null> = {
  ...{
    getStatus: "/status",
    listProblems: "/problems",
    listDeliveries: "/deliveries",
    listTenants: "/tenants",
  },
  ...{ createTenant: null, replaceTenant: null, reload: null, followEvents: null },
  ...{
    getTenant: "/tenants/1000001",
    getTenantDocument: "/tenants/bolt/document",
    exportTenant: "/tenants/bolt/export",
  },
  ...{ listSources: "/sources?limit=200", getSource: "/sources/polled", listDestinations: "/destinations" },
  ...{
    getDestination: "/destinations/wrong",
    listDevices: "/devices?limit=100",
    getTimeline: "/timeline?q=van-1",
  },
  getUnitPings: "/unit-pings?destination=acme&unit=van-1",
  listGpsPings:
    "/gps-pings?destination=wrong&technicianId=42&fromUtc=2026-11-20T12:00:00Z&toUtc=2026-11-20T19:00:00Z",
  ...{ listQuarantine: "/quarantine?limit=100", exportQuarantine: "/quarantine/export" },
  ...{ listDeadLetters: "/dead-letters?limit=100", exportDeadLetters: "/dead-letters/export" },
  redriveQuarantine: ["/quarantine/redrive", { mode: "do", source: "bearer" }],
  redriveDeadLetters: ["/dead-letters/redrive", { mode: "dry_run" }],
  getQuarantinedMessage: null,
  startCapture: ["/captures", { source: "basic", count: 5, minutes: 1 }],
  listCaptured: null,
  ...{ listAudit: "/audit?limit=200", getLogLevel: "/log-level" },
  setLogLevel: ["/log-level", { level: "debug" }, "PUT"],
  resealTenants: ["/reseal", {}],
  linkToTenant: null,
  ...{ pauseTenant: ["/tenants/bolt/pause", {}], resumeTenant: ["/tenants/bolt/resume", {}] },
  eraseTenantData: ["/tenants/bolt/erasures", { unit: "van-1" }],
  deleteTenant: null,
};

async function everyOperation(): Promise<void> {
  const document = (await ask("/api/v1/openapi.json")).text;
  look("API answers", document);
  const paths: Record<string, Record<string, { operationId: string }>> = JSON.parse(document).paths;
  const ids = Object.values(paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );
  expect(Object.keys(OPERATIONS).sort()).toEqual(ids.sort());
  for (const [id, how] of Object.entries(OPERATIONS)) {
    if (how === null) continue;
    const answer = typeof how === "string" ? await ask(`/api/v1${how}`) : await post(...how);
    expect({ id, status: answer.status, said: answer.status < 400 || answer.text }).toMatchObject({
      said: true,
    });
    look("API answers", answer.text);
  }
  const { items }: { items: { id: string; source: string }[] } = JSON.parse(
    (await ask("/api/v1/quarantine?limit=100")).text,
  );
  expect(new Set(items.map(({ source }) => source)).size).toBeGreaterThan(8);
  for (const { id } of items) look("quarantined messages", (await ask(`/api/v1/quarantine/${id}`)).text);
}

async function captured(source: string, sends: () => Promise<number>): Promise<void> {
  const { id } = JSON.parse((await post("/captures", { source, count: 1, minutes: 1 })).text);
  const items = await until(
    async () => {
      await sends();
      const { text } = await ask(`/api/v1/captures?source=${source}&id=${encodeURIComponent(id)}`);
      return text.includes("outcome") ? text : null;
    },
    { withinMs: 20_000, what: `a message of ${source} in a capture` },
  );
  look("captures", items);
}

async function commands(): Promise<void> {
  const how = ["--config", running().gateway.configFile];
  const ran = await Promise.all([
    runCli(["check", "--show", "--allow-weak", ...how], { env: ENV }),
    runCli(["doctor", "--json", ...how], { env: ENV }),
    runCli(["redrive", "dead-letters", ...how], { env: ENV }),
  ]);
  for (const [i, place] of ["check --show", "doctor --json", "redrive"].entries())
    look(place, `${ran[i]?.stdout}${ran[i]?.stderr}`);
  expect(ran[0]?.stdout).toContain("geotab");
  expect(ran[1]?.stdout).toContain("credentials_refused");
}

test("every kind of secret, in every place", async () => {
  const good = await sendAll((token) =>
    token === "" ? reading() : JSON.stringify({ token, msgType: "jimi.push.device.gps", data_list: [] }),
  );
  expect(good).toMatchObject({
    bearer: 200,
    rotated: 200,
    basic: 200,
    header: 200,
    url: 200,
    sha256: 200,
    file: 200,
    env: 200,
  });
  await sendAll((token) => JSON.stringify({ nonsense: "x", token }));
  await wrongCallers();
  await tenantOfTheApi();
  await refusedReloads();
  await sessionAndLink();
  await captured("body", () => send("body", {}, JSON.stringify({ nonsense: "x", token: S.body })));
  await captured("bearer", () =>
    send("bearer", { ...bearer(S.bearer), cookie: `session=${cookie}` }, reading()),
  );
  await everyOperation();
  look("/metrics", (await ask("/metrics")).text);
  await Promise.all([commands(), lookAtRedis(look, { url: running().redisUrl, dir: running().redis.dir })]);
  look("API answers", (await post("/tenants/bolt", {}, "DELETE", { "if-match": "*" })).text);
  look("trail", (await ask("/api/v1/audit?limit=200")).text);
  look("log", running().gateway.log());
  const found = Object.entries(places()).map(([place, counts]) => [place, counts.found]);
  expect(found).toEqual(Object.keys(places()).map((place) => [place, []]));
  // What was looked at is not empty for want of looking.
  expect(kinds().length).toBeGreaterThan(45);
  expect(places()).toMatchObject({ "quarantined messages": { items: expect.any(Number) } });
  for (const { bytes } of Object.values(places())) expect(bytes).toBeGreaterThan(40);
});
