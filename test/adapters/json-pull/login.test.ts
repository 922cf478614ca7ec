/** The login of a configured vendor: what counts as a token, how long it is used, and what the next login needs. */

import { describe, expect, test } from "vitest";
import { NOON, van, type Walk, walk } from "../../support/json-pull.ts";

const login = { path: "/login", json: { user: "{username}", password: "{secret}" }, token: "token" };
const settings = { path: "/vans", bearer: "{token}", login };
const withLogin = (more: object) => walk({ ...settings, login: { ...login, ...more } });
const isLogin = (at: Walk) => at.request().isLogin === true;

test("logs in first, then asks with the token until it is refused, and goes on with the page it was at", () => {
  const at = walk({ ...settings, query: { n: "{page}" }, page: { by: "number" } });
  expect(at.request()).toMatchObject({
    isLogin: true,
    method: "POST",
    body: '{"user":"anna","password":"s3cret"}',
  });
  expect(at.answer({ token: "t1" })).toMatchObject({ kind: "session" });
  expect(at.request().headers.authorization).toBe("Bearer t1");
  at.answer({ vans: [van("1")] });
  expect(at.asks()).toBe("/vans?n=2");
  expect(at.answer({ error: "expired" }, 401)).toMatchObject({ kind: "session_expired" });
  expect(isLogin(at)).toBe(true);
  at.answer({ token: "t2" });
  expect(at.asks()).toBe("/vans?n=2");
  expect(at.request().headers.authorization).toBe("Bearer t2");
});

describe("what is a token", () => {
  test.each([
    ["a text", { token: " t1 " }, "t1"],
    ["a number", { token: 7 }, "7"],
  ])("%s", (_, answer, token) => {
    const at = walk(settings);
    at.answer(answer);
    expect(at.request().headers.authorization).toBe(`Bearer ${token}`);
  });

  test.each([
    ["the answer itself", "t1"],
    ["a JSON string", '"t1"'],
  ])("%s, where no path is set", (_, answer) => {
    const at = withLogin({ token: undefined });
    at.answer(answer);
    expect(at.request().headers.authorization).toBe("Bearer t1");
  });

  test.each([
    ["none", {}],
    ["null", { token: null }],
    ["an empty one", { token: "  " }],
    ["a list", { token: ["t"] }],
    ["one with a line break", { token: "a\r\nX-Injected: 1" }],
    ["one of a megabyte", { token: "a".repeat(1e6) }],
    ["a page of HTML", "<html>sign in</html>"],
  ])("%s is a refused login, whatever its status says", (_, answer) => {
    const at = walk(settings);
    expect(at.answer(answer)).toMatchObject({ kind: "refused", reason: "unauthorized", detail: "no_token" });
    expect(isLogin(at)).toBe(true);
  });
});

describe("an answer to the login", () => {
  test.each([
    [401, { kind: "refused", reason: "unauthorized" }],
    [403, { kind: "refused", reason: "forbidden" }],
    [400, { kind: "refused", reason: "bad_request" }],
    [302, { kind: "refused", reason: "redirect" }],
    [429, { kind: "throttled" }],
    [503, { kind: "unavailable", reason: "http_503" }],
    [204, { kind: "unavailable" }],
  ])("with status %i", (status, expected) => {
    expect(walk(settings).answer({ token: "t1" }, status)).toMatchObject(expected);
  });

  test("errors with 200, by the login's own conditions", () => {
    const at = withLogin({ answers: { refused: "error == `8`", unavailable: "error", code: "error" } });
    expect(at.answer({ error: 8 })).toMatchObject({ kind: "refused", detail: "8" });
    expect(at.answer({ error: 5, token: "t" })).toMatchObject({ kind: "unavailable", detail: "5" });
  });
});

describe("how long it is used", () => {
  const minute = 60_000;
  test.each([
    ["an hour: till a minute before", { expiresIn: "life" }, { life: 3600 }, 59 * minute],
    ["written as a text", { expiresIn: "life" }, { life: "3600" }, 59 * minute],
    ["a minute: four fifths of it", { expiresIn: "life" }, { life: 60 }, 48_000],
    ["to an end in seconds", { expiresAt: "end" }, { end: (NOON + 3_600_000) / 1000 }, 59 * minute],
    ["to an end in milliseconds", { expiresAt: "end" }, { end: NOON + 3_600_000 }, 59 * minute],
  ])("%s", (_, more, answer, ms) => {
    const at = withLogin(more);
    at.answer({ token: "t1", ...answer });
    at.later(ms - 1);
    expect(isLogin(at)).toBe(false);
    at.later(1);
    expect(isLogin(at)).toBe(true);
  });

  test.each([
    ["nothing", {}],
    ["zero", { life: 0 }],
    ["less", { life: -1 }],
    ["no number", { life: "soon" }],
  ])("until it is refused, where the answer says %s", (_, answer) => {
    const at = withLogin({ expiresIn: "life" });
    at.answer({ token: "t1", ...answer });
    at.later(100 * 86_400_000);
    expect(isLogin(at)).toBe(false);
  });

  test("until it is refused, where it ended before it was given: one of the clocks is wrong", () => {
    const at = withLogin({ expiresAt: "end" });
    at.answer({ token: "t1", end: NOON - 3_600_000 });
    expect(isLogin(at)).toBe(false);
  });
});

describe("what it keeps", () => {
  const keep = { refresh: { at: "refresh", first: "r0" } };
  const rotating = { json: { refresh: "{kept.refresh}" }, keep };

  test("the newest is used at the next login, also by a new process", () => {
    const at = withLogin(rotating);
    expect(at.request().body).toBe('{"refresh":"r0"}');
    expect(at.answer({ token: "t1", refresh: "r1" })).toMatchObject({ kept: { refresh: "r1" } });
    at.restart();
    expect(at.request().body).toBe('{"refresh":"r1"}');
  });

  test("an answer without a new one leaves the old one in force", () => {
    const at = withLogin(rotating);
    at.answer({ token: "t1", refresh: "r1" });
    at.restart();
    at.answer({ token: "t2" });
    at.restart();
    expect(at.request().body).toBe('{"refresh":"r1"}');
  });

  test("what only the requests need lives as long as the token", () => {
    const at = walk({
      ...settings,
      headers: { "X-Account": "{kept.account}" },
      login: { ...login, keep: { account: { at: "account" } } },
    });
    expect(at.answer({ token: "t1", account: "a/1" })).toMatchObject({ kept: {} });
    expect(at.request().headers["x-account"]).toBe("a/1");
    at.restart();
    expect(isLogin(at)).toBe(true);
  });
});

test("without a login, 401 is a refusal that a person has to end", () => {
  expect(walk({ path: "/vans", bearer: "{secret}" }).answer({}, 401)).toMatchObject({
    kind: "refused",
    reason: "unauthorized",
  });
});
