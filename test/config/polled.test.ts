/** Sources whose vendor is asked, with the adapters as they are: where credentials may go, and what has to be given. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";

const dir = mkdtempSync(join(tmpdir(), "waypost-polled-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

type Settings = Record<string, unknown>;

const OPTIONS = { readings: "vans", deviceId: "van", latitude: "lat", longitude: "lon", time: "at" };
const API = "https://api.vans.example";

/** Problems of the source `vans`, by their path within it. */
function problemsOf(source: Settings): Record<string, string> {
  const destination = {
    tenant: "t.example",
    provider: "p",
    appKey: "ak1.x",
    clientId: "c",
    clientSecret: "cs",
  };
  const settings = {
    ops: { token: "3f1a9c07be52d8648e0b7d19" },
    destinations: { acme: destination },
    sources: { vans: { destination: "acme", ...source } },
  };
  const file = join(dir, "config.yaml");
  writeFileSync(file, stringify(settings));
  const loaded = loadConfig({ file, env: {}, adapters });
  const all = "problems" in loaded ? loaded.problems : [];
  return Object.fromEntries(
    all
      .filter(({ path }) => path.startsWith("sources.vans"))
      .map(({ path, message }) => [path.replace("sources.vans.", ""), message]),
  );
}

const polled = (pull: Settings, more: Settings = {}) =>
  problemsOf({
    vendor: "json-pull",
    options: OPTIONS,
    pull: { baseUrl: API, path: "/vans", ...pull },
    ...more,
  });

describe("where credentials may go", () => {
  const secret = { auth: { secret: "s3cret-of-the-vendor" } };
  const login = { form: { key: "{secret}" }, token: "token" };

  test.each([
    "http://127.0.0.1:8080",
    "http://10.1.2.3",
    "https://192.168.0.7",
    "http://vendor.internal",
    "http://[::1]",
  ])("%s is an address of our own network, which has to be meant", (baseUrl) => {
    expect(polled({ baseUrl })).toEqual({ "pull.baseUrl": expect.stringMatching("privateNetwork: true") });
    expect(polled({ baseUrl, privateNetwork: true })).toEqual({});
  });

  test("a public host is asked by https, whatever else is allowed", () => {
    const expected = { "pull.baseUrl": expect.stringMatching("must be https") };
    expect(polled({ baseUrl: "http://api.vans.example" })).toEqual(expected);
    expect(polled({ baseUrl: "http://api.vans.example", privateNetwork: true })).toEqual(expected);
  });

  test.each([
    ["http://auth.vans.example/token", "auth.vans.example", "must be https"],
    ["https://10.0.0.9/token", "10.0.0.9", "privateNetwork: true"],
    ["https://auth.vans.example/token", "other.example", "hosts does not name"],
  ])("a login at %s is held to the same", (url, host, message) => {
    const at = { bearer: "{token}", hosts: [host], login: { ...login, url } };
    expect(polled(at, secret)).toEqual({ "pull.login.url": expect.stringMatching(message) });
  });

  test("and a look-up", () => {
    const lookup = { url: "http://list.vans.example/", at: "@" };
    expect(polled({ query: { of: "{ids}" }, hosts: ["list.vans.example"], lookup })).toEqual({
      "pull.lookup.url": expect.stringMatching("must be https"),
    });
  });
});

describe("what has to be given", () => {
  test("a secret where a request uses it, and nowhere else", () => {
    const secret = { auth: { secret: "s3cret-of-the-vendor" } };
    expect(polled({})).toEqual({});
    expect(polled({}, secret)).toEqual({ "auth.secret": expect.stringMatching("has no effect") });
    expect(polled({ bearer: "{secret}" })).toEqual({ "auth.secret": expect.stringMatching("is required") });
    expect(polled({ bearer: "{secret}" }, secret)).toEqual({});
    expect(Object.keys(polled({ basic: true }))).toEqual(["auth.secret", "auth.username"]);
  });

  test("the paths of the answer", () => {
    expect(polled({}, { options: undefined })).toEqual({ options: expect.stringMatching("is required") });
  });

  test.each([
    ["linxup-locations", ["pull.baseUrl"]],
    ["bouncie-vehicles", ["pull.login.keep.refresh.first"]],
    ["spireon", ["pull.headers.X-Nspire-AppToken"]],
    ["webfleet", ["pull.query.account", "pull.query.apikey"]],
    ["traccar-rest", ["pull.baseUrl"]],
  ])("what only a customer of %s knows", (vendor, paths) => {
    const auth = { secret: "s3cret-of-the-vendor", username: "anna" };
    const found = Object.entries(problemsOf({ vendor, auth })).filter(([path]) => path.startsWith("pull"));
    expect(found.map(([path]) => path)).toEqual(expect.arrayContaining(paths));
    for (const path of paths) expect(Object.fromEntries(found)[path]).toMatch("is required");
  });
});

describe("settings that there are not", () => {
  test("a request of a vendor whose requests are fixed", () => {
    const auth = { secret: "samsara_api_0123456789" };
    expect(problemsOf({ vendor: "samsara-feed", auth, pull: { path: "/v1", query: {} } })).toEqual({
      "pull.path": "is not a setting",
      "pull.query": "is not a setting",
    });
  });

  test("a typing error is found, deep down too", () => {
    expect(polled({ intervallMs: 5000 })).toEqual({
      "pull.intervallMs": "is not a setting",
    });
    const page = { by: "number", size: 5, totl: "all" };
    expect(Object.keys(polled({ query: { page: "{page}" }, page }))).toEqual(["pull.page.totl"]);
  });

  test("a vendor that is asked has no webhook, and one with a webhook is not asked", () => {
    expect(polled({}, { auth: { method: "bearer", secret: "a90c4e7b12f36d58c1e8b042" } })).toHaveProperty([
      "auth.method",
    ]);
    const webhook = {
      vendor: "bouncie",
      auth: { method: "header", secret: "a90c4e7b12f36d58c1e8b042" },
      pull: {},
    };
    expect(problemsOf(webhook).pull).toMatch("bouncie-vehicles");
  });
});

describe("how often", () => {
  const auth = { secret: "s3cret-of-the-vendor" };
  test.each([
    ["azuga-live", 59_999, 60_000],
    ["onestepgps-devices", 9999, 10_000],
    ["motive-locations", 5000, 10_000],
  ])("%s bears no shorter interval than it says", (vendor, tooShort, shortest) => {
    const problems = problemsOf({ vendor, auth, pull: { intervalMs: tooShort } });
    expect(problems).toEqual({ "pull.intervalMs": expect.stringContaining(`${shortest}`) });
    expect(problemsOf({ vendor, auth, pull: { intervalMs: shortest } })).toEqual({});
  });

  test("nothing goes without a bound", () => {
    expect(polled({ intervalMs: 999 })).toHaveProperty(["pull.intervalMs"]);
    expect(polled({ requestsPerMinute: 0 })).toHaveProperty(["pull.requestsPerMinute"]);
    expect(polled({ loginsPerHour: 0 })).toHaveProperty(["pull.loginsPerHour"]);
  });

  test("a preset's host gets the credentials, and no other", () => {
    const problems = problemsOf({
      vendor: "onestepgps-devices",
      auth,
      pull: { baseUrl: "https://evil.example" },
    });
    expect(problems).toEqual({ "pull.baseUrl": expect.stringMatching("host of the vendor") });
  });
});
