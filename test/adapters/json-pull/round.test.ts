/** A round of a configured vendor: what its answers mean, whom it asks for, what is new, and where the next one begins. */

import { describe, expect, test } from "vitest";
import { NOON, rowsIn, VANS, van, type Walk, walk } from "../../support/json-pull.ts";

const MINUTE_MS = 60_000;
const names = (result: Parameters<typeof rowsIn>[0]) =>
  rowsIn(result)?.map((row) => (row as { van: string }).van) ?? null;

describe("answers", () => {
  const answers = {
    expired: "error == `1`",
    throttled: ["error == `2`", 420],
    empty: ["error == `3`", "@ == ''", "contains(@, 'no vans')", 404],
    refused: ["error == `4`", "type(@) == 'string'"],
    unavailable: ["error == `5`", "error"],
    retryAfter: "wait",
    code: "error",
  };
  const login = { path: "/login", token: "token" };
  const asking = () => {
    const at = walk({ path: "/vans", bearer: "{token}", login, answers });
    at.answer({ token: "t" });
    return at;
  };

  test.each([
    ["errors with 200, each by its condition", { error: 1 }, 200, { kind: "session_expired" }],
    ["a number to wait", { error: 2, wait: "1.5" }, 200, { kind: "throttled", waitMs: 1500 }],
    ["no number to wait", { error: 2, wait: "soon" }, 200, { kind: "throttled" }],
    ["nothing there", { error: 3 }, 200, { kind: "page", body: null, more: false, rows: { read: 0 } }],
    ["refused, with the vendor's code", { error: 4 }, 200, { kind: "refused", detail: "4" }],
    ["what passes by itself", { error: 5 }, 200, { kind: "unavailable", detail: "5" }],
    ["an error that no condition names but the widest", { error: 6 }, 200, { kind: "unavailable" }],
    ["no error", { vans: [], error: 0, a: 1 }, 200, { kind: "unavailable" }],
    ["no error key", { vans: [] }, 200, { kind: "page", body: null }],
    ["a text", "8012: wrong password", 200, { kind: "refused", reason: "bad_request" }],
    ["a text that says nothing is there", "63, no vans", 200, { kind: "page", body: null }],
    ["no text at all", "", 200, { kind: "page", body: null }],
    ["a status that means nothing is there", "nothing", 404, { kind: "page", body: null }],
    ["a status that means too often", {}, 420, { kind: "throttled" }],
    ["a code that is a sentence is not shown", { error: "bad key s3cret!" }, 200, { detail: "HTTP 200" }],
  ])("%s", (_, body, status, expected) => {
    expect(asking().answer(body, status)).toMatchObject(expected);
  });

  test.each([502, 503, 302, 500])("status %i without a text is not taken for nothing there", (status) => {
    expect(asking().answer("", status).kind).not.toBe("page");
  });

  test.each([
    [401, { kind: "refused", reason: "unauthorized" }],
    [403, { kind: "refused", reason: "forbidden" }],
    [404, { kind: "refused", reason: "not_found" }],
    [302, { kind: "refused", reason: "redirect" }],
    [400, { kind: "refused", reason: "bad_request" }],
    [429, { kind: "throttled" }],
    [500, { kind: "unavailable", reason: "http_500" }],
    [408, { kind: "unavailable", reason: "http_408" }],
  ])("status %i by itself", (status, expected) => {
    expect(walk({ path: "/vans" }).answer({ vans: [van("1")] }, status)).toMatchObject(expected);
  });

  test.each(["<html>hello</html>", "", '{"vans":['])("no JSON is no answer: %s", (text) => {
    expect(walk({ path: "/vans" }).answer(text)).toMatchObject({ reason: "unreadable_answer" });
  });

  test("an answer of another shape is stored as it came, so that it is set aside with its reason", () => {
    const body = '{"trucks":[]}';
    expect(walk({ path: "/vans" }).answer(body)).toMatchObject({ kind: "page", body });
  });
});

describe("what is new", () => {
  const fleet = () => walk({ path: "/vans" });

  test("a parked fleet is read once", () => {
    const at = fleet();
    const answer = { vans: [van("1"), van("2")] };
    expect(names(at.answer(answer))).toEqual(["1", "2"]);
    at.later(MINUTE_MS);
    expect(at.answer(answer)).toMatchObject({ body: null, rows: { read: 2, unchanged: 2 } });
  });

  test("one van that moves is one row", () => {
    const at = fleet();
    at.answer({ vans: [van("1"), van("2"), van("3")] });
    const answer = { vans: [van("1"), van("2", 1, 39.2), van("3")] };
    const result = at.answer(answer);
    expect(names(result)).toEqual(["2"]);
    expect(result).toMatchObject({ rows: { read: 3, unchanged: 2 } });
  });

  test("a new time at the same place is new, and so is another place at the same time", () => {
    const at = fleet();
    at.answer({ vans: [van("1")] });
    expect(names(at.answer({ vans: [van("1", 1)] }))).toEqual(["1"]);
    expect(names(at.answer({ vans: [van("1", 1, 40)] }))).toEqual(["1"]);
  });

  test("what was not stored is new again", () => {
    const at = fleet();
    const before = at.context;
    at.answer({ vans: [van("1")] });
    at.context = before;
    expect(names(at.answer({ vans: [van("1")] }))).toEqual(["1"]);
  });

  test("a row without a device or a place is sent each time: an operator has to see it", () => {
    const at = fleet();
    for (const _ of [1, 2])
      expect(at.answer({ vans: [{ lat: 1, lon: 2 }] })).toMatchObject({ rows: { unchanged: 0 } });
  });
});

describe("devices that are looked up", () => {
  const lookup = { path: "/list", at: "list", id: "id", everyMs: 10 * MINUTE_MS };
  const list = (...ids: unknown[]) => ({ list: ids.map((id) => ({ id, imei: `imei-${id}` })) });

  test("are asked for in parts, each page of each part, then again from the first", () => {
    const page = { by: "number", pages: "of" };
    const query = { of: "{ids}", n: "{page}" };
    const at = walk({ path: "/now", query, page, lookup: { ...lookup, chunk: 2 } });
    expect(at.asks()).toBe("/list");
    expect(at.answer(list(1, 2, 3, 2))).toMatchObject({ kind: "session" });
    const asked = [2, 2, 1].map((of, index) => {
      const path = at.asks();
      expect(at.answer({ vans: [van(`${index}`)], of })).toMatchObject({ more: index < 2 });
      return decodeURIComponent(path);
    });
    expect(asked).toEqual(["/now?of=1,2&n=1", "/now?of=1,2&n=2", "/now?of=3&n=1"]);
    expect(decodeURIComponent(at.asks())).toBe("/now?of=1,2&n=1");
  });

  test("one by one, and a row is of the device that was asked for", () => {
    const options = { ...VANS, deviceId: { asked: true } };
    const at = walk({ path: "/vans/{id}/now", lookup: { ...lookup, chunk: 1 } }, { options });
    at.answer(list("a", "b"));
    const { van: _, ...nameless } = van("");
    expect(at.asks()).toBe("/vans/a/now");
    expect(at.answer({ vans: [nameless] })).toMatchObject({
      body: expect.stringContaining('"device":"a"'),
      more: true,
    });
    expect(at.asks()).toBe("/vans/b/now");
    expect(at.answer({ vans: [nameless] })).toMatchObject({
      body: expect.stringContaining('"device":"b"'),
      more: false,
    });
  });

  test("are looked up again when that is due, and not within a round", () => {
    const at = walk({ path: "/now", query: { of: "{ids}" }, lookup: { ...lookup, chunk: 1 } });
    at.answer(list(1, 2));
    at.answer({ vans: [] });
    at.later(11 * MINUTE_MS);
    expect(at.asks()).toBe("/now?of=2");
    at.answer({ vans: [] });
    expect(at.asks()).toBe("/list");
  });

  test.each([
    ["ids", { query: { of: "{ids}" }, lookup }, VANS],
    ["names", { lookup: { ...lookup, device: "imei" } }, { ...VANS, deviceId: { lookup: "van" } }],
  ])(
    "none at all, where they give %s: a round without a vehicle, looked up again in the next",
    (_, more, options) => {
      const at = walk({ path: "/now", ...more }, { options });
      const nothing = { kind: "page", body: null, more: false, rows: { read: 0, unchanged: 0 } };
      expect(at.answer({ list: [] })).toMatchObject(nothing);
      expect(at.asks()).toBe("/list");
      at.answer(list(1));
      expect(at.asks()).toMatch("/now");
    },
  );

  test.each([{}, { list: null }, { list: { a: 1 } }])("no list is no answer: %j", (answer) => {
    const at = walk({ path: "/now", query: { of: "{ids}" }, lookup });
    expect(at.answer(answer)).toMatchObject({ kind: "unavailable", reason: "unreadable_answer" });
  });

  describe("for their names", () => {
    const options = { ...VANS, deviceId: { lookup: "van" } };
    const named = (more: object = {}) =>
      walk(
        { path: "/now", lookup: { ...lookup, device: "imei" }, ...more },
        { options, cursor: "feed" in more ? null : String(NOON) },
      );
    const begun = (more?: object): Walk => {
      const at = named(more);
      at.answer(list(1));
      at.answer({ vans: [van("1")] });
      at.later(5 * MINUTE_MS);
      return at;
    };

    test("a row gets the name of its device, whether the id is a number or a text", () => {
      const at = named();
      at.answer(list(1, "x"));
      expect(at.answer({ vans: [{ ...van(""), van: 1 }, van("x")] })).toMatchObject({
        body: expect.stringMatching(/imei-1.*imei-x/),
      });
    });

    test.each([
      ["a snapshot", {}],
      ["a window", { query: { from: "{since}" }, window: {} }],
      ["a feed by cursor", { query: { from: "{cursor}" }, feed: { cursor: "next" } }],
      ["a feed by the newest", { query: { from: "{since}" }, feed: { newest: "at", size: 10 } }],
    ])("in %s a new device is looked up first, and nothing of it is lost", (_, more) => {
      const at = begun(more);
      const { cursor } = at.context;
      const asked = at.asks();
      const answer = { vans: [van("1", 1), van("2", 1)], next: "n2" };
      expect(names(at.answer(answer))).toEqual(["1"]);
      if (Object.keys(more).length > 0) expect(at.context.cursor).toBe(cursor);
      expect(at.asks()).toBe("/list");
      at.answer(list(1, 2));
      expect(at.asks()).toBe(asked);
      expect(at.answer(answer)).toMatchObject({ body: expect.stringContaining('"device":"imei-2"') });
      if (Object.keys(more).length > 0) expect(at.context.cursor).not.toBe(cursor);
    });

    test("one that the look-up never knows is let through, to be rejected by name, and holds nothing up", () => {
      const at = begun({ query: { from: "{since}" }, window: {} });
      const answer = { vans: [van("9", 1)] };
      expect(names(at.answer(answer))).toBeNull();
      at.answer(list(1));
      // However long the round takes.
      expect(names(at.answer(answer))).toEqual(["9"]);
      expect(at.context.cursor).toBe(String(at.context.now));
    });
  });
});

describe("windows", () => {
  const window = { overlapMs: 2 * MINUTE_MS, widestMs: 60 * MINUTE_MS };
  const query = { from: "{since.millis}", to: "{until.millis}", n: "{page}" };
  const windows = (cursor: string | null) =>
    walk({ path: "/fixes", query, window, page: { by: "number", pages: "of" } }, { cursor });
  const stretch = (at: Walk) => {
    const { searchParams } = new URL(at.request().url);
    const minutes = (name: string) => (Number(searchParams.get(name)) - NOON) / MINUTE_MS;
    return [minutes("from"), minutes("to"), searchParams.get("n")];
  };
  const fixes = (of: number, ...minutes: number[]) => ({
    vans: minutes.map((minute) => van("1", minute)),
    of,
  });

  test("follow each other with their overlap, as wide as allowed, until now", () => {
    const at = windows(String(NOON - 100 * MINUTE_MS));
    expect(stretch(at)).toEqual([-102, -42, "1"]);
    expect(at.answer(fixes(1, -50))).toMatchObject({ more: true });
    expect(stretch(at)).toEqual([-44, 0, "1"]);
    expect(at.answer(fixes(1, -43, -1))).toMatchObject({ more: false });
    at.later(MINUTE_MS);
    expect(stretch(at)).toEqual([-2, 1, "1"]);
  });

  test("the first reaches as far back as fixes are wanted", () => {
    expect(stretch(windows(null))).toEqual([-60, 0, "1"]);
  });

  test("keep their ends on all pages, while time goes on", () => {
    const at = windows(String(NOON));
    at.answer(fixes(2, 0));
    at.later(MINUTE_MS);
    expect(stretch(at)).toEqual([-2, 0, "2"]);
  });

  test("move on only after their last page: a restart before asks for all of it again", () => {
    const at = windows(String(NOON));
    at.later(MINUTE_MS);
    expect(at.answer(fixes(2, 0))).toMatchObject({ cursor: "", more: true });
    at.restart();
    expect(stretch(at)).toEqual([-2, 1, "1"]);
    at.answer(fixes(2, 0));
    expect(at.answer(fixes(2, 1))).toMatchObject({ cursor: String(NOON + MINUTE_MS) });
  });

  test("what comes again in the overlap is not sent again", () => {
    const at = windows(String(NOON));
    at.answer(fixes(1, -1));
    at.later(MINUTE_MS);
    const again = at.answer(fixes(1, -1, 1));
    expect(rowsIn(again)).toEqual([van("1", 1)]);
  });

  test("quiet hours are usual, and no sign of an account without vehicles", () => {
    expect(windows(String(NOON)).answer(fixes(1))).not.toHaveProperty("rows");
  });
});

describe("feeds", () => {
  test("by cursor: go on after each answer, and after a restart", () => {
    const feed = { cursor: "next", more: "hasMore" };
    const at = walk({ path: "/feed", query: { after: "{cursor}" }, feed });
    expect(at.asks()).toBe("/feed");
    expect(at.answer({ vans: [van("1")], next: "c1", hasMore: true })).toMatchObject({
      cursor: "c1",
      more: true,
    });
    expect(at.asks()).toBe("/feed?after=c1");
    at.restart();
    expect(at.asks()).toBe("/feed?after=c1");
    expect(at.answer({ vans: [], next: "c2", hasMore: false })).toMatchObject({ cursor: "c2", more: false });
    expect(at.answer({ vans: [], hasMore: false })).toMatchObject({ cursor: "" });
    expect(at.asks()).toBe("/feed?after=c2");
  });

  const newest = () => walk({ path: "/feed", query: { after: "{since}" }, feed: { newest: "at", size: 2 } });

  test("by the newest: as the vendor wrote it, in whatever order the fixes come", () => {
    const at = newest();
    const answer = { vans: [van("1", -1), { ...van("2"), at: "2026-03-14T11:58:00.123456789Z" }] };
    expect(at.answer(answer)).toMatchObject({ cursor: van("1", -1).at, more: true });
    const finer = { vans: [{ ...van("2"), at: "2026-03-14T11:59:30.123456789Z" }] };
    expect(at.answer(finer)).toMatchObject({ cursor: "2026-03-14T11:59:30.123456789Z", more: false });
    at.restart();
    expect(new URL(at.request().url).searchParams.get("after")).toBe("2026-03-14T11:59:30.123456789Z");
  });

  test("by the newest: a device with a wrong clock does not have all others wait until then", () => {
    const at = newest();
    expect(at.answer({ vans: [van("1", -1), { ...van("2"), at: "2036-01-01T00:00:00Z" }] })).toMatchObject({
      cursor: van("1", -1).at,
    });
  });

  // The tests run half a day from UTC, where a time without a zone would be another one, or still to come.
  test("by the newest: a time without a zone is UTC, whatever the zone of this process", () => {
    const given = { path: "/feed", query: { after: "{since.millis}" }, feed: { newest: "at" } };
    const at = walk(given);
    at.answer({ vans: [{ ...van("1"), at: "2026-03-14T11:58:00" }] });
    expect(new URL(at.request().url).searchParams.get("after")).toBe(String(Date.UTC(2026, 2, 14, 11, 58)));
  });

  test("by the newest: an answer without any leaves it where it is", () => {
    const at = newest();
    at.answer({ vans: [van("1", -1)] });
    at.answer({ vans: [] });
    expect(at.context.cursor).toBe(van("1", -1).at);
  });
});
