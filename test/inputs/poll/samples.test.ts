/** Conversations with vendors put together by others from their documentation; not in this repository. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, it } from "vitest";
import type { PullResult } from "../../../src/adapters/kit/pull.ts";
import { because, howToGet } from "../../support/because.ts";
import { type ExpectedReading, expectReadings } from "../../support/conversations.ts";
import { startPolledVendor, type VendorAnswer, type VendorRequest } from "../../support/polled-vendor.ts";
import { distinctReadings, pullOf, usePollings, viaHosts } from "../../support/polling.ts";
import { until } from "../../support/wait.ts";

const SAMPLES = new URL("../../../../shared/samples/pull/", import.meta.url);
const noSamples = existsSync(SAMPLES) ? null : howToGet("samples");

interface Exchange {
  request: {
    method: string;
    url: string;
    headers: Record<string, string>;
    body?: { method: string; params: Params };
  };
  response: { status: number; headers: Record<string, string>; body: string | object };
  kind: string;
  yields: number;
}

type Params = Record<string, unknown> & { fromVersion?: string };

interface Conversation {
  name: string;
  vendor: string;
  exchanges: Exchange[];
  expected: ExpectedReading[];
}

const VENDORS: Record<string, string> = { samsara: "samsara-feed", geotab: "geotab" };
const ACCOUNTS = {
  samsara: { secret: "test-token" },
  geotab: { secret: "test-secret", username: "svc-gps@acme.example", database: "acme_field" },
};

const conversations = noSamples === null ? Object.keys(VENDORS).flatMap(conversationsWith) : [];

/** What each kind of answer has to mean to us. */
const MEANING: Record<string, PullResult["kind"]> = {
  data: "page",
  names: "session",
  session: "session",
  "session-expired": "session_expired",
  throttled: "throttled",
  transient: "unavailable",
  auth: "refused",
  permission: "refused",
  config: "refused",
};

describe.skipIf(noSamples !== null)(`answers${because(noSamples)}`, () => {
  it("are there for each vendor", () => {
    expect(new Set(conversations.map(({ vendor }) => vendor))).toEqual(new Set(Object.keys(VENDORS)));
  });

  const answers = conversations.flatMap(({ name, vendor, exchanges }) =>
    exchanges.map((exchange, index) => [`${name} ${index} (${exchange.kind})`, vendor, exchange] as const),
  );

  it.each(answers)("%s is understood", (_, vendor, { request, response, kind }) => {
    const pull = pullOf(VENDORS[vendor] ?? "");
    const method = request.body?.method;
    const session = {
      login: {
        baseUrl: "https://my184.geotab.com",
        credentials: { database: "d", userName: "u", sessionId: "s" },
      },
      names: new Map(),
      namesAfter: method === "Get" && kind === "names" ? "" : null,
      nameless: new Set(),
    };
    const text = typeof response.body === "string" ? response.body : JSON.stringify(response.body);
    const result = pull.parse(
      { status: response.status, headers: lowerCased(response.headers), text },
      {
        baseUrl: pull.baseUrl,
        account: { secret: "x" },
        options: undefined,
        cursor: null,
        since: 0,
        now: 0,
        kept: {},
        session: vendor === "samsara" || method === "Authenticate" ? null : session,
      },
    );
    expect(result?.kind).toBe(MEANING[kind]);
  });
});

describe.skipIf(noSamples !== null)(`conversations${because(noSamples)}`, () => {
  const pollings = usePollings();

  // What ends in a refusal, or asks for what we never ask for, is among the answers above.
  const whole = conversations.filter(({ expected }) => expected.length > 0);

  it.each(whole.map((conversation) => [conversation.name, conversation] as const))(
    "%s is held as recorded, and gives the readings expected",
    async (_, { name, vendor, exchanges, expected }) => {
      const script = [...before(vendor, exchanges), ...exchanges];
      const surprises: string[] = [];
      let next = 0;
      const standIn = await startPolledVendor((asked) => {
        const exchange = script[next++];
        if (exchange === undefined) return atTheEnd(exchanges);
        const surprise = differenceBetween(asked, exchange);
        if (surprise !== null) surprises.push(`${next}: ${surprise}`);
        // The waits of hours and minutes are tested elsewhere.
        const { "Retry-After": wait = "0", ...headers } = exchange.response.headers;
        const soon =
          Number(wait) > 1 ? { "Retry-After": "0.1" } : wait === "0" ? {} : { "Retry-After": wait };
        return { ...exchange.response, headers: { ...headers, ...soon } };
      });
      pollings.closing(standIn);
      const hosts = ["https://api.samsara.com", "https://my.geotab.com", "https://my184.geotab.com"];
      const ids = new URL(exchanges[0]?.request.url ?? "").searchParams.get("ids");
      const { store } = pollings.start({
        vendor: VENDORS[vendor] ?? "",
        baseUrl: pullOf(VENDORS[vendor] ?? "").baseUrl,
        account: vendor === "geotab" ? ACCOUNTS.geotab : ACCOUNTS.samsara,
        // What was recorded is as old as the recording.
        lookBackMs: 10 * 365 * 86_400_000,
        http: viaHosts(Object.fromEntries(hosts.map((host) => [host, standIn.url]))),
        source: { options: ids === null ? undefined : { assetIds: ids.split(",") } },
      });
      await until(() => next >= script.length + 1, { what: `the end of ${name}` });
      expect(surprises).toEqual([]);
      const readings = distinctReadings(store);
      expectReadings(readings, expected);
    },
  );
});

/** How a new process gets to where the conversation begins. */
function before(vendor: string, [first]: readonly Exchange[]): Exchange[] {
  if (first === undefined) return [];
  const { url, body } = first.request;
  const after = new URL(url).searchParams.get("after");
  if (vendor === "samsara" && after !== null) {
    const page = { data: [], pagination: { endCursor: after, hasNextPage: false } };
    return [exchangeOf({ ...first.request, url: url.replace(/&after=.*/, "") }, page)];
  }
  if (vendor !== "geotab" || body?.method !== "GetFeed") return [];
  const { fromVersion, credentials, ...params } = body.params;
  const { username, database, secret } = ACCOUNTS.geotab;
  const login = { userName: username, database, password: secret };
  return [
    exchangeOf(
      {
        ...first.request,
        url: "https://my.geotab.com/apiv1",
        body: { method: "Authenticate", params: login },
      },
      { result: { credentials, path: "my184.geotab.com" } },
    ),
    exchangeOf(
      { ...first.request, body: { method: "Get", params: { typeName: "Device", credentials } } },
      { result: [] },
    ),
    exchangeOf(
      { ...first.request, body: { method: "GetFeed", params: { ...params, search: {}, credentials } } },
      { result: { data: [], toVersion: fromVersion } },
    ),
  ];
}

function exchangeOf(request: Exchange["request"], body: object): Exchange {
  return { request, response: { status: 200, headers: {}, body }, kind: "before", yields: 0 };
}

/** Nothing more to fetch, where the last page ended. */
function atTheEnd(exchanges: readonly Exchange[]): VendorAnswer {
  const body = JSON.parse(JSON.stringify(exchanges.at(-1)?.response.body ?? {}));
  if (body.pagination) body.pagination.hasNextPage = false;
  if (body.result) body.result.data = [];
  else body.data = [];
  return { status: 200, body };
}

/** Not compared: how many rows are asked for, from which date, and which fields of a device. */
const FREE_PARAMS = ["resultsLimit", "propertySelector", "search"];

function differenceBetween(
  { method, path, headers, body }: VendorRequest,
  { request }: Exchange,
): string | null {
  const wanted = new URL(request.url);
  const given = new URL(path, wanted);
  if (method !== request.method || given.pathname !== wanted.pathname) return `${method} ${path}`;
  wanted.searchParams.delete("startTime");
  for (const key of ["types", "after", "ids", "includeSpeed"]) {
    if (given.searchParams.get(key) !== wanted.searchParams.get(key)) return `${key} in ${path}`;
  }
  if (request.body === undefined) {
    return headers.authorization === request.headers.Authorization ? null : "another proof";
  }
  const asked = JSON.parse(body);
  const bare = (params: Params) =>
    Object.fromEntries(Object.entries(params).filter(([key]) => !FREE_PARAMS.includes(key)));
  const isSame =
    asked.method === request.body.method &&
    isDeepStrictEqual(bare(asked.params), bare(request.body.params)) &&
    "search" in asked.params === "search" in request.body.params;
  return isSame ? null : `asked ${body} instead of ${JSON.stringify(request.body)}`;
}

function conversationsWith(vendor: string): Conversation[] {
  const folder = new URL(`${vendor}/`, SAMPLES);
  return readdirSync(folder)
    .filter((file) => /^[^.]+\.json$/.test(file))
    .map((file) => {
      const json = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
      const expected = json(file.replace(".json", ".expected.json"));
      return { name: `${vendor}/${file}`, vendor, exchanges: json(file).exchanges, expected };
    });
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
