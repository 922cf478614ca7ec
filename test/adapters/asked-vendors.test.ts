/** What vendors that are asked may answer, hostile answers included: requests stay at their hosts, and nothing throws. */

import { describe, expect, it } from "vitest";
import { createRandom, type Random } from "../../sandbox/random.ts";
import { adapters } from "../../src/adapters/index.ts";
import type { Adapter, Message } from "../../src/adapters/kit/adapter.ts";
import type { Pull, PullAnswer, PullContext, PullResult } from "../../src/adapters/kit/pull.ts";
import { mutate } from "../fuzz/mutate.ts";
import { decode } from "../support/decode.ts";
import { fixturesOf } from "../support/fixtures.ts";

const asked = adapters.flatMap((adapter) =>
  adapter.pull && !("settings" in adapter.pull) ? [{ adapter, pull: adapter.pull }] : [],
);

/** Options that make each of them ask. */
const OPTIONS: Readonly<Record<string, unknown>> = {
  "verizon-reveal": { appId: "fleetmatics-p-us-own" },
  tracksolid: { appKey: "an-app", appSecret: "app-secret" },
};

/** Answers by which the vendors go on, with the places in which an answer could lead somewhere else. */
const GOOD = [
  "a-token-0001",
  '{"Token":"a-token-0002"}',
  '{"access_token":"a-token-0003","expires_in":"4102444800000"}',
  '{"code":0,"result":{"accessToken":"a-token-0004","expiresIn":"7200"}}',
  '{"result":{"credentials":{"database":"d","userName":"u","sessionId":"s"},"path":"ThisServer"}}',
  '{"result":{"credentials":{"database":"d","userName":"u","sessionId":"s"},"path":"evil.example"}}',
  '{"result":[{"id":"b1","name":"Van 1"}]}',
  '[{"VehicleNumber":"1"},{"VehicleNumber":"2/3"},{"VehicleNumber":"__proto__"},{"VehicleNumber":null}]',
  '{"next_page":null,"vehicles":[{"vin":"V1"},{"vin":".."},{"vin":"../../token?a=1#b"},{"vin":"V 3\\r\\nX: y"}]}',
  '{"next_page":"https://evil.example/?a=1&b=2","vehicles":[{"vin":"V2"}]}',
  '{"code":1004}',
  '{"code":1006}',
];

const HOSTILE = [
  "",
  "null",
  "0",
  '""',
  "[]",
  "{}",
  "<html>Bad gateway</html>",
  "a token\r\nX-Injected: 1",
  '"a-token\\r\\nX-Injected: 1"',
  '{"access_token":"a\\r\\nX-Injected: 1","expires_in":"1"}',
  '{"access_token":{"a":1},"expires_in":[]}',
  '{"code":0,"result":{"accessToken":"t","expiresIn":-1}}',
  '{"__proto__":{"token":"polluted","code":0}}',
  `${"[".repeat(2000)}${"]".repeat(2000)}`,
  `{"a":${"[".repeat(2000)}`,
  "\u0000",
  `[${'{"VehicleNumber":"1","StatusCode":200},'.repeat(2000)}{}]`,
];

const STATUSES = [
  200, 200, 200, 200, 200, 200, 204, 301, 302, 400, 401, 403, 404, 408, 412, 418, 429, 500, 503,
];

describe.each(asked.map(({ adapter, pull }) => [adapter.vendor, adapter, pull] as const))(
  "%s",
  (_, adapter, pull) => {
    const options = adapter.options?.parse(OPTIONS[adapter.vendor]);
    const bodies = [...GOOD, ...HOSTILE, ...fixturesOf(adapter).map(({ body }) => body)];

    it("asks nobody else, and takes whatever it is answered", () => {
      const random = createRandom(adapter.vendor);
      const pick = <T>(all: readonly T[]): T => all[Math.floor(random.next() * all.length)] as T;
      let context = start(pull, options);
      const seen = new Set<PullResult["kind"] | "message">();
      for (let step = 0; step < 1000; step++) {
        expectOurs(pull, pull.request(context));
        const text = pick(bodies);
        const answer: PullAnswer = {
          status: random.chance(0.85) ? 200 : pick(STATUSES),
          headers: {},
          text: random.chance(0.3) ? damaged(text, random) : text,
        };
        const result = pull.parse(answer, context);
        seen.add(result.kind === "page" && result.body !== null ? "message" : result.kind);
        if (result.kind === "page" && result.body !== null) expectMessage(adapter, result.body, options);
        context = after(context, result, step);
      }
      // Otherwise it would not have come beyond a login.
      expect(seen).toContain("page");
      expect(({} as { token?: unknown }).token).toBeUndefined();
    });

    it("needs no longer for an answer made to be slow", () => {
      const startedAt = performance.now();
      const context = start(pull, options);
      for (const text of [
        "[".repeat(5e5),
        '"'.repeat(5e5),
        " ".repeat(5e5),
        "a".repeat(5e5),
        `[${"{},".repeat(2e5)}{}]`,
      ]) {
        pull.parse({ status: 200, headers: {}, text }, context);
      }
      expect(performance.now() - startedAt).toBeLessThan(5000);
    });
  },
);

function start(pull: Pull, options: unknown): PullContext {
  const account = { secret: "a secret", username: "a user", database: "d" };
  return {
    baseUrl: pull.baseUrl,
    account,
    options,
    cursor: null,
    since: 0,
    session: null,
    now: 1_790_000_000_000,
    kept: {},
  };
}

/** As the poller goes on, but for refusals. */
function after(context: PullContext, result: PullResult, step: number): PullContext {
  const now = context.now + (step % 50 === 0 ? 3_600_000 : 1000);
  switch (result.kind) {
    case "page":
      return { ...context, now, session: result.session, cursor: result.cursor || context.cursor };
    case "session":
    case "session_expired":
      return { ...context, now, session: result.session };
    default:
      // The poller forgets the session where it is refused; going on brings this test to more places.
      return { ...context, now };
  }
}

function expectOurs(pull: Pull, { url, headers }: ReturnType<Pull["request"]>): void {
  const { protocol, hostname, port, username, pathname } = new URL(url);
  expect({ protocol, port, username }).toEqual({ protocol: "https:", port: "", username: "" });
  expect(hostname).toMatch(pull.hosts);
  // An id of dots and slashes must not lead to another address than the one that is meant.
  expect(url).toContain(pathname);
  expect(url).not.toMatch(/[\s#]/);
  for (const [name, value] of Object.entries(headers)) expect(value, name).toMatch(/^[\x20-\x7e]*$/);
}

function expectMessage(adapter: Adapter, body: string, options: unknown): void {
  const message: Message = {
    body: Buffer.from(body),
    receivedAt: 0,
    headers: {},
    query: {},
    retained: false,
  };
  expect(["decoded", "malformed"]).toContain(
    decode(adapter, message, { options, credentials: { secrets: [] } }).kind,
  );
}

function damaged(text: string, random: Random): string {
  const body = Buffer.from(text);
  return Buffer.from(
    mutate({ body, receivedAt: 0, headers: {}, query: {}, retained: false }, random).body,
  ).toString();
}
