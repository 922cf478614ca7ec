/** Whatever a vendor answers, no configured poller throws, asks somewhere else, or makes a message that cannot be decoded. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { adapters } from "../../../src/adapters/index.ts";
import type { Adapter } from "../../../src/adapters/kit/adapter.ts";
import { decode } from "../../support/decode.ts";
import { fixturesOf } from "../../support/fixtures.ts";
import { van, type WalkOptions, walk } from "../../support/json-pull.ts";

/** What only a customer knows, by vendor. */
const OWN: Readonly<Record<string, object>> = {
  "linxup-locations": { baseUrl: "https://app02.linxup.com" },
  "bouncie-vehicles": { login: { keep: { refresh: { first: "r0" } } } },
  spireon: { headers: { "X-Nspire-AppToken": "app" } },
  webfleet: { query: { account: "a", apikey: "k" } },
  "traccar-rest": { baseUrl: "https://traccar.vans.example" },
  gpswox: { baseUrl: "https://gps.vans.example" },
};

const login = { path: "/login", form: { key: "{secret}" }, token: "token", expiresIn: "life" };
const lookup = { path: "/list", at: "vans", id: "van", device: "next" };
/** By what they do. */
const SHAPES: Readonly<Record<string, object>> = {
  links: { path: "/vans", page: { by: "link", next: "next" } },
  cursors: {
    path: "/vans/{cursor}",
    headers: { "X-From": "{cursor}" },
    query: { c: "{cursor}" },
    page: { by: "cursor", next: "next" },
  },
  "a feed": { path: "/vans", bearer: "{token}", query: { c: "{cursor}" }, login, feed: { cursor: "next" } },
  "one by one": { path: "/vans/{id}", json: { id: "{id}" }, lookup: { ...lookup, chunk: 1 } },
  windows: {
    path: "/vans",
    query: { from: "{since}", n: "{page}" },
    window: {},
    page: { by: "number", total: "of" },
  },
  "the newest": { path: "/vans", query: { from: "{since.plain}" }, feed: { newest: "at" } },
};

type Tried = [string, Adapter, object, WalkOptions];

const configured = adapters.flatMap((adapter): Tried[] => {
  const { vendor, pull } = adapter;
  if (!pull || !("settings" in pull)) return [];
  if (vendor !== "json-pull") return [[vendor, adapter, OWN[vendor] ?? {}, { vendor }]];
  return Object.entries(SHAPES).map(([name, settings]): Tried => [name, adapter, settings, {}]);
});

/** Names and values by which the configurations above go on. */
const part = fc.oneof(
  fc.constantFrom<unknown>(
    "..",
    ".",
    "/",
    "//evil.example/",
    "https://evil.example/",
    "a\r\nX: 1",
    "\ud800",
    "",
    null,
  ),
  fc.constantFrom<unknown>(
    -1,
    1e308,
    "1e999",
    "__proto__",
    "2026-03-14T12:00:00Z",
    "9".repeat(400),
    "{secret}",
  ),
  fc.jsonValue({ maxDepth: 2 }),
);
const row = fc.oneof(
  fc.constantFrom(van("1"), van("2", 1)),
  fc.record({ van: part, lat: part, lon: part, at: part, next: part }, { requiredKeys: [] }),
);
const answer = fc.record(
  {
    vans: fc.array(row, { maxLength: 4 }),
    next: part,
    token: part,
    life: part,
    of: part,
    error: part,
    list: fc.array(row),
  },
  { requiredKeys: [] },
);
const token = fc.constantFrom(
  { token: "t", access_token: "t", eid: "t", data: { token: "t" }, life: 5 },
  { list: [{ id: 1 }, { id: ".." }], vans: [van("1")] },
);
const status = fc.oneof({ weight: 5, arbitrary: fc.constant(200) }, fc.integer({ min: 200, max: 599 }));

test.each(configured)("%s", (_, adapter, settings, given) => {
  const own = fixturesOf(adapter).map(({ body }) => Buffer.from(body).toString());
  const text = fc.oneof(
    fc.constantFrom(...own, "", "63, document is empty", "[[[["),
    fc.oneof(answer, token, fc.jsonValue()).map((value) => JSON.stringify(value)),
    fc.string({ unit: "binary", maxLength: 40 }),
  );
  const step = fc.record({ text, status, later: fc.constantFrom(0, 1000, 3_600_000) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 12 }), (steps) => {
      const at = walk(settings, given);
      const { host } = new URL(at.request().url);
      const known = new Set([host, new URL(at.context.baseUrl).host]);
      for (const { text, status, later } of steps) {
        const { url, headers } = at.request();
        expect(known).toContain(new URL(url).host);
        for (const value of Object.values(headers)) expect(value).toMatch(/^[\x20-\x7e]*$/);
        const result = at.answer(text, status);
        if (result.kind === "page" && result.body !== null) {
          const message = {
            body: Buffer.from(result.body),
            receivedAt: at.context.now,
            headers: {},
            query: {},
            retained: false,
          };
          const { options } = at.context;
          expect(["decoded", "malformed"]).toContain(
            decode(adapter, message, { options, credentials: { secrets: [] } }).kind,
          );
        }
        at.later(later);
      }
    }),
    { numRuns: 25 },
  );
});

test("every vendor that is configured is tried", () => {
  expect(configured.length).toBeGreaterThan(15);
});
