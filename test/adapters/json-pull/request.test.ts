/** Placeholders of a configured request: each is encoded for the place where it stands, or left out without a value. */

import { describe, expect, test } from "vitest";
import { van, walk } from "../../support/json-pull.ts";

/** What breaks out of a place that is not encoded. */
const NASTY = 'a/b?c&d=e#f %41"\\+é';

const secret = { account: { secret: NASTY, username: "anna" } };

test("in a path it stays within its part of the path", () => {
  const { url } = walk({ path: "/v1/{secret}/vans" }, secret).request();
  expect(url).toBe(`https://api.vans.example/v1/${encodeURIComponent(NASTY)}/vans`);
});

test("in a query it stays the value of its parameter, beside a query in the path", () => {
  const { url } = walk(
    { path: "/vans?format=json", query: { key: "k-{secret}", on: true, n: 7 } },
    secret,
  ).request();
  expect([...new URL(url).searchParams]).toEqual([
    ["format", "json"],
    ["key", `k-${NASTY}`],
    ["on", "true"],
    ["n", "7"],
  ]);
});

test("in a form it stays the value of its field, and an object is JSON in its field", () => {
  const form = { key: "{secret}", params: { deep: ["{secret}"] } };
  const { method, headers, body } = walk({ path: "/vans", form }, secret).request();
  expect(method).toBe("POST");
  expect(headers["content-type"]).toBe("application/x-www-form-urlencoded");
  const fields = new URLSearchParams(body);
  expect(fields.get("key")).toBe(NASTY);
  expect(JSON.parse(fields.get("params") ?? "")).toEqual({ deep: [NASTY] });
});

test("in JSON it stays one text", () => {
  const { headers, body = "" } = walk(
    { path: "/vans", json: { a: { key: "{secret}", n: 1, no: null } } },
    secret,
  ).request();
  expect(headers["content-type"]).toBe("application/json");
  expect(JSON.parse(body)).toEqual({ a: { key: NASTY, n: 1, no: null } });
});

test("in a header nothing ends the header, whoever the value comes from", () => {
  const page = { by: "cursor", next: "next" };
  const at = walk({ path: "/vans", headers: { "X-From": "{cursor}", "X-Key": "{secret}" }, page }, secret);
  expect(at.request().headers).not.toHaveProperty("x-from");
  at.answer({ vans: [van("1")], next: "a\r\nX-Injected: 1" });
  const { headers } = at.request();
  expect(headers["x-from"]).toBe("a%0D%0AX-Injected: 1");
  expect(headers["x-key"]).toMatch(/^[\x20-\x7e]+$/);
});

describe("proofs", () => {
  const account = { secret: "s3:cret", username: "anna" };
  test.each([
    ["a bearer token", { bearer: "{secret}" }, "Bearer s3:cret"],
    ["user name and password", { basic: true }, `Basic ${btoa("anna:s3:cret")}`],
    ["a basic text of its own", { basic: "{secret}:" }, `Basic ${btoa("s3:cret:")}`],
    ["a header as it is", { headers: { Authorization: "Token {secret}" } }, "Token s3:cret"],
  ])("%s", (_, proof, expected) => {
    expect(walk({ path: "/vans", ...proof }, { account }).request().headers.authorization).toBe(expected);
  });

  test("a user name beyond ASCII is written in UTF-8", () => {
    const { headers } = walk(
      { path: "/vans", basic: true },
      { account: { secret: "ü", username: "é" } },
    ).request();
    expect(headers.authorization).toBe(`Basic ${Buffer.from("é:ü").toString("base64")}`);
  });
});

describe("ids of a look-up", () => {
  const lookup = { path: "/list", at: "vans", id: "id" };
  const list = (...ids: unknown[]) => ({ vans: ids.map((id) => ({ id })) });

  test.each([
    ["numbers go back as numbers", [7, 12], [7, 12]],
    ["texts go back as texts, digits alone or not", ["356938035643809", "x"], ["356938035643809", "x"]],
    ["texts of digits stay texts", ["007", "12"], ["007", "12"]],
  ])("in JSON, %s", (_, ids, sent) => {
    const at = walk({ path: "/now", json: { of: "{ids}", text: "all {ids}" }, lookup });
    at.answer(list(...ids));
    expect(JSON.parse(at.request().body ?? "")).toEqual({ of: sent, text: `all ${ids.join(",")}` });
  });

  test("in a query they are one parameter", () => {
    const at = walk({ path: "/now", query: { of: "{ids}" }, lookup });
    at.answer(list("a&b", "c"));
    expect(new URL(at.request().url).searchParams.get("of")).toBe("a&b,c");
  });

  test("one that looks like a way elsewhere stays within its part of the path", () => {
    const at = walk({ path: "/vans/{id}/now", lookup: { ...lookup, chunk: 1 } });
    at.answer(list("..", ".", "../../admin", "a b", "\ud800"));
    const asked = [1, 2, 3, 4, 5].map(() => {
      const { pathname } = new URL(at.request().url);
      at.answer({ vans: [] });
      return pathname;
    });
    expect(asked.every((path) => /^\/vans\/[^/]+\/now$/.test(path))).toBe(true);
    expect(asked).toContain("/vans/..%2F..%2Fadmin/now");
  });
});

describe("without a value", () => {
  const page = { by: "cursor", next: "next" };

  test("a parameter that is the placeholder alone is left out everywhere", () => {
    const at = walk({
      path: "/vans",
      query: { from: "{cursor}", all: 1 },
      headers: { "X-From": "{cursor}" },
      page,
    });
    expect(at.asks()).toBe("/vans?all=1");
    const inJson = walk({ path: "/vans", json: { from: "{cursor}", list: ["{cursor}", 1] }, page });
    expect(JSON.parse(inJson.request().body ?? "")).toEqual({ list: [1] });
    const inForm = walk({ path: "/vans", form: { from: "{cursor}", all: 1 }, page });
    expect(inForm.request().body).toBe("all=1");
  });

  test("a longer text keeps what stands around it", () => {
    expect(walk({ path: "/vans", query: { q: "from:{cursor}" }, page }).asks()).toBe("/vans?q=from%3A");
  });
});

test("times come in the spelling that the setting names", () => {
  const spelled = ["", ".seconds", ".millis", ".date", ".plain"];
  const query = Object.fromEntries(spelled.map((end) => [`a${end}`, `{since${end}}`]));
  const at = walk({ path: "/fixes", query, window: { overlapMs: 0 } }, { cursor: String(NOON_SHARP) });
  expect(Object.fromEntries(new URL(at.request().url).searchParams)).toEqual({
    a: "2026-03-14T12:00:00.000Z",
    "a.seconds": "1773489600",
    "a.millis": "1773489600000",
    "a.date": "2026-03-14",
    "a.plain": "2026-03-14 12:00:00",
  });
});
const NOON_SHARP = 1_773_489_600_000;
