/** What `pull` of a configured vendor may not say: each problem is found before anything is asked, at the setting's own path. */

import { describe, expect, test } from "vitest";
import { findAdapter } from "../../../src/adapters/index.ts";
import { expectProblem, problemsOf } from "../../support/json-pull.ts";

const login = { path: "/login", form: { user: "{username}", password: "{secret}" }, token: "token" };
const lookup = { path: "/list", at: "vans", id: "id" };
/** The least that is right with each of them. */
const loggedIn = { path: "/vans", bearer: "{token}", login };
const byNumber = { path: "/vans", query: { page: "{page}" }, page: { by: "number" } };

test.each([
  ["the least", { path: "/vans" }],
  ["with a login", loggedIn],
  ["with pages", byNumber],
  ["with a look-up by ids", { path: "/vans", query: { of: "{ids}" }, lookup }],
  ["with a look-up for names alone", { path: "/vans", lookup: { ...lookup, device: "imei" } }],
  ["with a window", { path: "/vans", query: { from: "{since.seconds}", to: "{until.seconds}" }, window: {} }],
  ["with a feed", { path: "/vans", query: { from: "{cursor}" }, feed: { cursor: "next" } }],
])("nothing is said against %s", (_, settings) => {
  expect(problemsOf({ baseUrl: "https://api.vans.example", ...settings })).toEqual({});
});

describe("placeholders", () => {
  test.each([
    ["in a path", { path: "/vans/{scret}" }, "path"],
    ["in a query", { path: "/vans", query: { a: "{Secret}" } }, "query.a"],
    ["in a header", { path: "/vans", headers: { "X-Key": "{key}" } }, "headers.X-Key"],
    ["as a time in no known spelling", { path: "/vans", query: { at: "{now.iso}" } }, "query.at"],
    ["deep in JSON", { path: "/vans", json: { a: [{ b: "{nope}" }] } }, "json"],
    ["in a login", { ...loggedIn, login: { ...login, form: { a: "{secret}{what}" } } }, "login.form.a"],
  ])("an unknown one %s", (_, settings, path) => {
    const problems = problemsOf({ baseUrl: "https://api.vans.example", ...settings });
    expect(Object.keys(problems).map((at) => at.startsWith(path))).toEqual([true]);
  });

  test.each([
    ["page", { query: { a: "{page}" } }, "query", /page: \{ by: number \}/],
    ["offset", { json: { a: ["{offset}"] } }, "json", /page: \{ by: offset \}/],
    ["cursor", { headers: { a: "{cursor}" } }, "headers", /by: cursor/],
    ["since", { query: { a: "{since.millis}" } }, "query", /window or feed/],
    ["until", { query: { a: "{until}" } }, "query", /window/],
    ["ids", { form: { a: "{ids}" } }, "form", /lookup/],
    ["id", { path: "/vans/{id}" }, "path", /lookup/],
    ["token", { bearer: "{token}" }, "bearer", /login/],
  ])("{%s} without what gives it", (_, settings, path, message) => {
    expectProblem({ path: "/vans", ...settings }, path, message);
  });

  test.each([
    ["login", { login }, "login"],
    ["page", { page: { by: "number" } }, "page"],
    ["page by cursor", { page: { by: "cursor", next: "next" } }, "page"],
    ["window", { window: {} }, "window"],
    ["feed", { feed: { cursor: "next" } }, "feed"],
    ["lookup", { lookup }, "lookup"],
  ])("%s that no request uses", (_, settings, path) => {
    expectProblem({ path: "/vans", ...settings }, path, "has no use");
  });

  test.each([
    [
      "{token} in the login that gives it",
      { ...login, headers: { a: "{token}" } },
      undefined,
      "login.headers",
    ],
    ["a page in the login", { ...login, query: { a: "{page}" } }, undefined, "login.query"],
    ["ids in the look-up that gives them", login, { ...lookup, json: "{ids}" }, "lookup.json"],
    ["a stretch of time in the look-up", login, { ...lookup, query: { a: "{since}" } }, "lookup.query"],
  ])("%s", (_, logsIn, looksUp, path) => {
    const asked = {
      ...byNumber,
      query: { page: "{page}", of: looksUp ? "{ids}" : "all" },
      bearer: "{token}",
    };
    expectProblem(
      { ...asked, login: logsIn, ...(looksUp && { lookup: looksUp }) },
      path,
      "does not know yet",
    );
  });

  test("{id} takes one at a time", () => {
    expectProblem({ path: "/vans/{id}", lookup }, "lookup.chunk", "must be 1");
  });

  test("{kept.…} that no login keeps, or that the login itself needs first", () => {
    const renewed = { ...login, form: { refresh: "{kept.refresh}" } };
    expectProblem({ ...loggedIn, login: renewed }, "login.keep", "must name refresh");
    const keep = { refresh: { at: "refresh" } };
    expectProblem({ ...loggedIn, login: { ...renewed, keep } }, "login.keep.refresh.first", "is required");
  });
});

describe("where it may ask", () => {
  test.each([
    ["https://{username}.vans.example", "baseUrl"],
    ["https://api.vans.example/{secret}", "baseUrl"],
    ["https://api.vans.example/?key=1", "baseUrl"],
    ["https://api.vans.example/#top", "baseUrl"],
    ["https://me:pw@api.vans.example", "baseUrl"],
    ["ftp://api.vans.example", "baseUrl"],
    ["api.vans.example", "baseUrl"],
  ])("baseUrl %s", (baseUrl, path) => {
    expect(Object.keys(problemsOf({ baseUrl, path: "/vans" }))).toEqual([path]);
  });

  test("baseUrl is required where nobody else knows it", () => {
    expect(problemsOf({ path: "/vans" })).toEqual({ baseUrl: expect.stringMatching("is required") });
  });

  test.each([
    "vans",
    "//evil.example/vans",
    "/\\evil.example",
    "/a\\b",
    "https://evil.example/",
    "/vans#now",
    "/a b",
  ])("path %s", (path) =>
    expect(Object.keys(problemsOf({ baseUrl: "https://api.vans.example", path }))).toContain("path"),
  );

  test("no placeholder in the host of a url", () => {
    expectProblem({ url: "https://{username}.vans.example/vans" }, "url", "host holds no placeholder");
  });

  test.each(["https://auth.vans.example/token", "https://api.vans.example@evil.example/token"])(
    "a login at %s gets the credentials, so hosts has to name it",
    (url) => {
      const at = { ...loggedIn, login: { ...login, path: undefined, url } };
      expectProblem(at, "login.url", "hosts does not name");
      const { hostname } = new URL(url);
      if (!url.includes("@")) expectProblem({ ...at, hosts: ["other.example"] }, "login.url", hostname);
    },
  );

  test("with hosts it may", () => {
    const at = { ...loggedIn, login: { ...login, path: undefined, url: "https://auth.vans.example/token" } };
    expect(problemsOf({ baseUrl: "https://api.vans.example", ...at, hosts: ["auth.vans.example"] })).toEqual(
      {},
    );
  });
});

describe("a request", () => {
  test.each([
    "Host",
    "Content-Length",
    "Connection",
    "Transfer-Encoding",
    "Proxy-Authorization",
    "TE",
    "Upgrade",
  ])("does not set %s, which belongs to the connection", (name) =>
    expectProblem({ path: "/vans", headers: { [name]: "1" } }, `headers.${name}`, "connection"),
  );

  test("a header's name holds no line break", () => {
    const [path] = Object.keys(
      problemsOf({ baseUrl: "https://a.example", path: "/v", headers: { "a\r\nb": "1" } }),
    );
    expect(path).toMatch(/^headers/);
  });

  test.each([
    ["neither path nor url", {}, "path"],
    ["both of them", { path: "/a", url: "https://api.vans.example/a" }, "url"],
    ["json and form", { path: "/a", json: {}, form: { a: 1 } }, "form"],
    ["two proofs", { path: "/a", bearer: "x", basic: true }, "basic"],
    ["a body of a GET", { path: "/a", method: "GET", json: {} }, "method"],
    ["a window beside a feed", { path: "/a?{since}{cursor}", window: {}, feed: { cursor: "c" } }, "feed"],
  ])("%s", (_, settings, path) => {
    expect(Object.keys(problemsOf({ baseUrl: "https://api.vans.example", ...settings }))).toContain(path);
  });
});

describe("what would lose fixes without a word", () => {
  test("an overlap as wide as the window never gets on", () => {
    const asked = { path: "/fixes", query: { from: "{since}" } };
    expectProblem(
      { ...asked, window: { overlapMs: 60_000, widestMs: 60_000 } },
      "window.overlapMs",
      "less than",
    );
  });

  test("a feed has one place to go on: pages and parts of the fleet have others", () => {
    const feed = { newest: "at" };
    const paged = {
      path: "/fixes",
      query: { from: "{since}", page: "{page}" },
      page: { by: "number" },
      feed,
    };
    expectProblem(paged, "feed", "window");
    const inParts = { path: "/fixes", query: { from: "{since}", of: "{ids}" }, lookup, feed };
    expectProblem(inParts, "feed", "window");
  });
});

test("the settings say what the configuration has to give", () => {
  const needs = (settings: object) => {
    const pull = findAdapter("json-pull")?.pull;
    if (!pull || !("settings" in pull)) throw new Error("not described by settings");
    return pull.settings.parse({ baseUrl: "https://api.vans.example", ...settings }).needs;
  };
  expect(needs({ path: "/vans" })).toEqual([]);
  expect(needs({ path: "/vans", bearer: "{secret}" })).toEqual(["secret"]);
  expect(needs({ path: "/vans", basic: true })).toEqual(["secret", "username"]);
  expect(needs(loggedIn)).toEqual(["secret", "username"]);
  expect(needs({ path: "/vans", query: { of: "{ids}" }, lookup: { ...lookup, bearer: "{secret}" } })).toEqual(
    ["secret"],
  );
});
