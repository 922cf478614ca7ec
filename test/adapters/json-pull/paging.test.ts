/** Pages of one round: each kind asks for all of them once, and no answer makes it ask for ever or somewhere else. */

import { describe, expect, test } from "vitest";
import { rowsIn, van, type Walk, walk } from "../../support/json-pull.ts";

/** Gives these answers until the round ends; the requests that were made. */
function round(at: Walk, answers: readonly unknown[]): string[] {
  const asked: string[] = [];
  for (const answer of answers) {
    asked.push(at.asks());
    const result = at.answer(answer);
    if (result.kind !== "page" || !result.more) return asked;
  }
  throw new Error("the round does not end");
}

const numbered = (page: object) =>
  walk({ path: "/vans", query: { page: "{page}" }, page: { by: "number", ...page } });
const pages = (count: number, extra: object = {}) =>
  Array.from({ length: count }, (_, index) => ({ vans: [van(`v${index}`)], ...extra }));

describe("by number", () => {
  test.each([
    ["until a page holds nothing", {}, [...pages(2), { vans: [] }], ["1", "2", "3"]],
    ["as many as the answer says", { pages: "of" }, pages(5, { of: 3 }), ["1", "2", "3"]],
    ["until all are there", { total: "all" }, pages(5, { all: "2" }), ["1", "2"]],
    ["until so many were asked for", { total: "all", size: 10 }, pages(5, { all: 21 }), ["1", "2", "3"]],
    [
      "until a condition holds",
      { until: "last" },
      [...pages(1), { vans: [van("x")], last: true }],
      ["1", "2"],
    ],
    ["counted from zero", { first: 0, pages: "of" }, pages(5, { of: 2 }), ["0", "1"]],
  ])("%s", (_, page, answers, expected) => {
    const asked = round(numbered(page), answers);
    expect(asked.map((path) => new URL(path, "https://x").searchParams.get("page"))).toEqual(expected);
  });

  test("the first without its number, where the vendor wants none", () => {
    expect(round(numbered({ omitFirst: true, pages: "of" }), pages(3, { of: 2 }))).toEqual([
      "/vans",
      "/vans?page=2",
    ]);
  });

  test("a total that is too high, absent or no number ends with the first page that holds nothing", () => {
    expect(round(numbered({ pages: "of" }), [...pages(2, { of: "many" }), { vans: [] }])).toHaveLength(3);
    // Asked for in good faith: at most 100 pages.
    expect(round(numbered({ pages: "of" }), pages(200, { of: 1e9 }))).toHaveLength(100);
  });

  test("begins again at the first page in the next round", () => {
    const at = numbered({ pages: "of" });
    round(at, pages(3, { of: 2 }));
    expect(at.asks()).toBe("/vans?page=1");
  });
});

test("by offset", () => {
  const page = { by: "offset", size: 50, total: "all" };
  const at = walk({ path: "/vans", query: { from: "{offset}" }, page });
  expect(round(at, pages(9, { all: 120 }))).toEqual(["/vans?from=0", "/vans?from=50", "/vans?from=100"]);
});

describe("by cursor", () => {
  const byCursor = () =>
    walk({ path: "/vans", query: { from: "{cursor}" }, page: { by: "cursor", next: "next" } });

  test.each([null, "", undefined, {}, false])("until there is none: %j", (end) => {
    const answers = [
      { vans: [van("1")], next: "p&2" },
      { vans: [van("2")], next: 3 },
      { vans: [van("3")], next: end },
    ];
    expect(round(byCursor(), answers)).toEqual(["/vans", "/vans?from=p%262", "/vans?from=3"]);
  });

  test("the same cursor again ends the round", () => {
    expect(round(byCursor(), pages(9, { next: "same" }))).toHaveLength(2);
  });

  test("cursors without end: 100 pages", () => {
    const answers = pages(200).map((page, index) => ({ ...page, next: `c${index}` }));
    expect(round(byCursor(), answers)).toHaveLength(100);
  });
});

describe("by link", () => {
  const byLink = (settings: object = {}) =>
    walk({ path: "/v2/vans", query: { n: 5 }, page: { by: "link", next: "links.next" }, ...settings });
  const linked = (next: unknown) => ({ vans: [van("1")], links: { next } });

  test.each([
    ["absolute", "https://api.vans.example/v2/vans?after=1&n=5", "/v2/vans?after=1&n=5"],
    ["from the root", "/v2/vans?after=1", "/v2/vans?after=1"],
    ["beside the request", "vans?after=1", "/v2/vans?after=1"],
    ["a query alone", "?after=1", "/v2/vans?after=1"],
  ])("%s", (_, link, asked) => {
    const at = byLink({ bearer: "{secret}" });
    expect(at.answer(linked(link))).toMatchObject({ kind: "page", more: true });
    expect(at.asks()).toBe(asked);
    expect(at.request().headers.authorization).toBe("Bearer s3cret");
    expect(at.answer(linked(null))).toMatchObject({ more: false });
    expect(at.asks()).toBe("/v2/vans?n=5");
  });

  test("a server behind a proxy says http of itself: it is asked by https as before", () => {
    const at = byLink();
    at.answer(linked("http://api.vans.example/v2/vans?after=1"));
    expect(at.request().url).toBe("https://api.vans.example/v2/vans?after=1");
  });

  test.each([
    "https://evil.example/v2/vans",
    "https://api.vans.example.evil.example/",
    "https://api.vans.example:8443/v2/vans",
    "https://api.vans.example@evil.example/",
    "//evil.example/v2/vans",
    "\\\\evil.example/v2/vans",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://",
  ])("to another place is refused, and what the page held is not taken for all of it: %s", (link) => {
    const at = byLink();
    expect(at.answer(linked(link))).toMatchObject({ kind: "refused", reason: "foreign_host" });
    expect(at.asks()).toBe("/v2/vans?n=5");
  });

  test("at the host of the request, where that is another than baseUrl's", () => {
    const at = byLink({
      path: undefined,
      url: "https://eu.vans.example/v2/vans",
      hosts: ["eu.vans.example"],
    });
    at.answer(linked("https://eu.vans.example/v2/vans?after=1"));
    expect(at.request().url).toBe("https://eu.vans.example/v2/vans?after=1");
    expect(at.answer(linked("https://api.vans.example/v2"))).toMatchObject({ reason: "foreign_host" });
  });

  test("the same link again ends the round", () => {
    expect(round(byLink(), pages(9, { links: { next: "/again" } }))).toHaveLength(2);
  });
});

test("a page that comes again ends the round: the vendor does not know the parameter", () => {
  const at = numbered({});
  const answer = { vans: [van("1"), van("2")] };
  expect(rowsIn(at.answer(answer))).toHaveLength(2);
  expect(at.answer(answer)).toMatchObject({
    kind: "page",
    body: null,
    more: false,
    rows: { read: 2, unchanged: 2 },
  });
});

test("after a restart within a round it begins anew, so that nothing is lost", () => {
  const at = numbered({ pages: "of" });
  at.answer({ vans: [van("1")], of: 2 });
  expect(at.asks()).toBe("/vans?page=2");
  at.restart();
  expect(at.asks()).toBe("/vans?page=1");
});
