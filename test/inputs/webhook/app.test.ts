/** Webhooks over real HTTP: every row of the answer table, every bound, and that a bad sender harms no other. */

import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { connect, type Socket } from "node:net";
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { Agent, buildConnector, fetch } from "undici";
import { afterEach, describe, expect, test } from "vitest";
import type { Adapter } from "../../../src/adapters/kit/adapter.ts";
import { basic, sharedKey } from "../../../src/adapters/kit/auth.ts";
import { owntracks } from "../../../src/adapters/owntracks.ts";
import type { Source } from "../../../src/ingest/source.ts";
import { speaksForOf } from "../../../src/ingest/speaks-for.ts";
import { StoreError } from "../../../src/ingest/store.ts";
import { createWebhookApp, type WebhookDeps, type WebhookEvents } from "../../../src/inputs/webhook/app.ts";
import { type ServeOptions, serveWebhooks } from "../../../src/inputs/webhook/server.ts";
import { createDispatcher } from "../../../src/network.ts";
import { USER_AGENT } from "../../../src/version.ts";
import { because } from "../../support/because.ts";
import { createAuthority, whyNotCertificates } from "../../support/certificates.ts";
import { door, memoryStore } from "../../support/memory-store.ts";
import { ingestOver, KEY, plainSource, pointText } from "../../support/plain-vendor.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

/** As the gateway makes it where no proxy is set. */
const wayOut = createDispatcher({ httpProxy: null, httpsProxy: null, noProxy: "" });
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Setting {
  sources?: Source[];
  limits?: Partial<WebhookDeps["limits"]>;
  parts?: Partial<WebhookDeps>;
  serve?: Partial<ServeOptions>;
}

async function start({ sources = [plainSource("vans")], limits, parts, serve }: Setting = {}) {
  const store = memoryStore();
  const { ingest, told } = ingestOver(store);
  const events: unknown[] = [];
  const statuses: number[] = [];
  const record: WebhookEvents = {
    webhookAnswered: (status) => void statuses.push(status),
    sourceUnknown: (event) => void events.push({ event: "sourceUnknown", ...event }),
    failed: (event) => void events.push({ event: "failed", ...event }),
    confirmationEnded: (event) => void events.push({ event: "confirmationEnded", ...event }),
    authFailed: (event) => void events.push({ event: "authFailed", ...event }),
    incident: (event) => void events.push({ event: "incident", ...event }),
  };
  const app = createWebhookApp({
    sources: new Map(sources.map((source) => [source.name, source])),
    ingest,
    limits: { bodyLimitBytes: 100_000, answerWithinMs: 10_000, ...limits },
    trustedProxies: [],
    events: record,
    confirmVia: wayOut,
    ...parts,
  });
  const server = await serveWebhooks({ app, host: "127.0.0.1", port: 0, ...serve });
  closers.push(() => server.close(0));
  const url = `http://127.0.0.1:${server.port}`;
  const post = (body: string | Uint8Array, headers: Record<string, string> = {}, path = "/webhooks/vans") =>
    fetch(url + path, { method: "POST", body, headers: { "x-key": KEY, ...headers } });
  return { store, told, events, statuses, server, url, post };
}

describe("several users of one source", () => {
  const users = [
    { username: "ann", secrets: ["secret of ann"] },
    { username: "bob", secrets: ["new of bob", "old of bob"] },
    { username: "zoë", secrets: ["pä:ss"] },
  ];
  const people: Source = {
    ...plainSource("people"),
    adapter: owntracks,
    authMethod: basic(),
    credentials: { secrets: [], users },
    logins: new Map([["bob", speaksForOf("bob", ["fleet/*"])]]),
  };
  const phone = { _type: "location", tst: Math.floor(Date.now() / 1000), lat: 30.27, lon: -97.74 };
  const basicOf = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString("base64")}` });

  async function sendAs(pair: string, user: string, headers: Record<string, string> = {}) {
    const { post, store, told } = await start({ sources: [people] });
    const more = { "x-limit-u": user, "x-limit-d": "phone", ...basicOf(pair), ...headers };
    const { status } = await post(JSON.stringify(phone), more, "/webhooks/people");
    return { status, stored: store.stored().map(({ deviceId }) => deviceId), told };
  }

  test.each([
    ["ann:secret of ann", "ann", "ann/phone"],
    ["bob:new of bob", "fleet", "fleet/phone"],
    ["bob:old of bob", "fleet", "fleet/phone"],
    ["zoë:pä:ss", "zo\xc3\xab", null],
  ])("%s may speak for %s", async (pair, user, device) => {
    const { status, stored } = await sendAs(pair, user);
    expect(status).toBe(200);
    // What a header says is bytes; the device's own name decides.
    expect(stored).toEqual(device === null ? [] : [device]);
  });

  test.each([
    ["ann:secret of ann", "bob"],
    ["ann:secret of ann", "fleet"],
    ["ann:secret of ann", "Ann"],
    ["ann:secret of ann", "annx"],
    ["bob:old of bob", "bob"],
  ])("%s may not speak for %s, and the page gets to know", async (pair, user) => {
    const { status, stored, told } = await sendAs(pair, user);
    expect({ status, stored }).toEqual({ status: 200, stored: [] });
    const subject = `${user}/phone by ${pair.split(":")[0]}`;
    expect(told).toContainEqual({
      event: "incident",
      kind: "foreign_device",
      where: "source people",
      subject,
    });
  });

  test.each([
    ...["ann:new of bob", "bob:secret of ann", "who:secret of ann", "ann:", ":secret of ann", "ann", ":", ""],
    ...["ann:secret of ann ", "ANN:secret of ann", "ann:secret of ann\0", "bob:ann:secret of ann", "zoë:pä"],
  ])("%j is refused, body unread", async (pair) => {
    const { status, stored } = await sendAs(pair, "ann");
    expect({ status, stored }).toEqual({ status: 401, stored: [] });
  });

  test("a single account speaks for all devices of its source", async () => {
    const account: Source = { ...people, credentials: { username: "ann", secrets: ["secret of ann"] } };
    const { post, store } = await start({ sources: [account] });
    const headers = { "x-limit-u": "bob", "x-limit-d": "phone", ...basicOf("ann:secret of ann") };
    expect((await post(JSON.stringify(phone), headers, "/webhooks/people")).status).toBe(200);
    expect(store.stored()).toMatchObject([{ deviceId: "bob/phone" }]);
  });
});

/** Everything a peer sends until it closes or `enough` says so. */
async function talk(
  port: number,
  text: string,
  enough: (received: string) => boolean = () => false,
): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => {
    received += chunk;
    if (enough(received)) socket.destroy();
  });
  socket.on("error", () => {});
  socket.write(text);
  await once(socket, "close");
  return received;
}

/** A source whose credentials are all in the head. */
function headSource(name: string): Source {
  return { ...plainSource(name), authMethod: sharedKey("x-key") };
}

/** Sends the beginning of a body and stops. */
function stall(port: number, source: string, bytes: number, localAddress = "127.0.0.1"): Socket {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {});
  closers.push(() => void socket.destroy());
  socket.write(
    `POST /webhooks/${source} HTTP/1.1\r\nHost: x\r\nX-Key: ${KEY}\r\nContent-Length: ${bytes + 1}\r\n\r\n`,
  );
  socket.write(" ".repeat(bytes));
  return socket;
}

/** The status of one POST from an address of ours. */
async function ask(
  url: string,
  { localAddress, body }: { localAddress: string; body: string },
): Promise<number> {
  const outgoing = request(url, { method: "POST", localAddress, agent: false, headers: { "x-key": KEY } });
  outgoing.end(body);
  const [response]: IncomingMessage[] = await once(outgoing, "response");
  response?.resume();
  return response?.statusCode ?? 0;
}

describe("the answer table", () => {
  test("stored: 200 with counts", async () => {
    const { post, store } = await start();
    const response = await post(pointText("van-1", 0));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("authorization")).toBeNull();
    expect(await response.json()).toEqual({ stored: 1, duplicates: 0, rejected: [] });
    expect(store.stored()).toEqual([{ source: "vans", deviceId: "van-1", fixTime: 1_700_000_000_000 }]);
  });

  test("duplicate: 200", async () => {
    const { post } = await start();
    await post(pointText("van-1", 0));
    expect(await (await post(pointText("van-1", 0))).json()).toEqual({
      stored: 0,
      duplicates: 1,
      rejected: [],
    });
  });

  test("all raw readings rejected by value: 200, each named", async () => {
    const { post } = await start();
    const response = await post(JSON.stringify([{ id: "van-1", t: 1_700_000_000_000, lat: 0, lon: 0 }]));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      stored: 0,
      duplicates: 0,
      rejected: [{ reason: "null_island", path: "[0]" }],
    });
  });

  test("ignored: 200", async () => {
    const { post } = await start();
    const response = await post('{"hello":"there"}');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ ignored: "a greeting" });
  });

  test("the body a vendor needs, for all that needs no resend", async () => {
    const reply = { status: 200, contentType: "text/plain", body: "OK" };
    const { post } = await start({ sources: [plainSource("vans", { reply })] });
    for (const body of [pointText("van-1", 0), '{"hello":1}', "not json", pointText("bug", 0)]) {
      const response = await post(body);
      expect([response.status, response.headers.get("content-type"), await response.text()]).toEqual([
        200,
        "text/plain",
        "OK",
      ]);
    }
  });

  test("handshake: the adapter's reply", async () => {
    const { post } = await start();
    const response = await post('{"challenge":"abc"}');
    expect([response.status, await response.text()]).toEqual([200, "abc"]);
  });

  test("authenticated but malformed: 200 and quarantine", async () => {
    const { post, store } = await start();
    const response = await post("not json");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ quarantined: true });
    expect(store.entries).toMatchObject([{ kind: "malformed", reason: "malformed", source: "vans" }]);
  });

  test("malformed where the adapter says so: 400 with every problem", async () => {
    const { post, store } = await start({ sources: [plainSource("vans", { malformedStatus: 400 })] });
    const response = await post('[{"id":1,"t":"x"}]');
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: "malformed", problems: [expect.any(String)] });
    expect(store.entries).toMatchObject([{ kind: "malformed" }]);
  });

  test("unauthenticated: 401, the same for every reason, nothing parsed", async () => {
    const { post, store } = await start();
    const answers = new Set<string>();
    for (const body of [
      "not json",
      pointText("bug", 0),
      pointText("van-1", 0),
      '{"challenge":"sign this"}',
      "",
    ]) {
      const response = await post(body, { "x-key": "a-wrong-key" });
      answers.add(`${response.status} ${await response.text()}`);
    }
    expect([...answers]).toEqual(['401 {"error":"refused"}']);
    expect(store.entries).toEqual([]);
    expect(store.refusals).toHaveLength(5);
    expect(store.refusals[0]).toEqual({ source: "vans", reason: "unauthenticated" });
  });

  test("unauthenticated: the status and challenge the vendor needs", async () => {
    const { post } = await start({
      sources: [plainSource("vans", { refusal: 403, challenge: 'Basic realm="x"' })],
    });
    const response = await post("{}", { "x-key": "no" });
    expect(response.status).toBe(403);
    expect(response.headers.get("www-authenticate")).toBe('Basic realm="x"');
    expect(response.headers.get("authorization")).toBeNull();
  });

  test("unauthenticated: the challenge of the method that the source has chosen, and no other status beside it", async () => {
    const named = (authMethod: Source["authMethod"]): Source => ({
      ...plainSource("vans", { refusal: 403 }),
      authMethod,
    });
    for (const [authMethod, expected] of [
      [basic(), [403, null]],
      [{ ...basic(), challenge: "Basic" }, [401, "Basic"]],
    ] as const) {
      const { post } = await start({ sources: [named(authMethod)] });
      const response = await post("{}");
      expect([response.status, response.headers.get("www-authenticate")]).toEqual(expected);
    }
  });

  test("a kind behind the address, where the vendor puts it there", async () => {
    const { post, store } = await start({
      sources: [
        plainSource("vans", { kindInPath: true, ignore: (_, { query }) => query.kind ?? null }),
        plainSource("cars"),
      ],
    });
    expect(await (await post("{}", {}, "/webhooks/vans/pushhb?kind=other")).json()).toEqual({
      ignored: "pushhb",
    });
    expect((await post(pointText("van-1", 0), {}, "/webhooks/vans")).status).toBe(200);
    expect((await post(pointText("van-1", 0), {}, "/webhooks/cars/pushgps")).status).toBe(404);
    expect((await post("{}", {}, "/webhooks/vans/pushgps/more")).status).toBe(404);
    expect(store.stored().length).toBe(1);
  });

  test("unknown source and any other path: 404, nothing of the request repeated", async () => {
    const { post, events, url } = await start();
    for (const path of ["/webhooks/who?token=s3cret", "/webhooks/", "/", "/webhooks/vans/more", "/metrics"]) {
      const response = await post("{}", {}, path);
      expect([response.status, await response.text()]).toEqual([404, '{"error":"not_found"}']);
    }
    expect((await fetch(`${url}/webhooks/who`, { method: "DELETE" })).status).toBe(404);
    expect(JSON.stringify(events)).not.toContain("s3cret");
    expect(events).toContainEqual({ event: "sourceUnknown", name: "who", remoteAddress: "127.0.0.1" });
  });

  test("a source that another process knows: 503, for 404 would be final", async () => {
    const parts = { isKnownElsewhere: async (source: string) => source === "added" };
    const { post, events } = await start({ parts });
    const response = await post("{}", {}, "/webhooks/added?token=s3cret");
    expect([response.status, await response.text()]).toEqual([503, '{"error":"unknown_here_yet"}']);
    expect(response.headers.get("retry-after")).toBe("5");
    expect((await post("{}", {}, "/webhooks/who")).status).toBe(404);
    expect((await post("{}")).status).toBe(200);
    expect(events).toContainEqual({ event: "sourceUnknown", name: "added", remoteAddress: "127.0.0.1" });
    expect(JSON.stringify(events)).not.toContain("s3cret");
  });

  test("wrong method: 405 with Allow, counted", async () => {
    const { url, store } = await start();
    for (const [method, query] of [
      ["PUT", ""],
      ["DELETE", ""],
      ["PATCH", ""],
      ["GET", "?lat=1.5&lon=2"],
      ["GET", `?token=${KEY}&id=van-1`],
    ] as const) {
      const response = await fetch(`${url}/webhooks/vans${query}`, { method });
      expect([method, response.status, response.headers.get("allow")]).toEqual([method, 405, "POST"]);
    }
    expect(store.refusals).toEqual(Array(5).fill({ source: "vans", reason: "wrong_method" }));
  });

  test("cannot store: 503 with Retry-After; sent again it is no duplicate", async () => {
    const { post, store } = await start();
    store.before = () => {
      throw new StoreError("storage_unavailable", 7);
    };
    const response = await post(pointText("van-1", 0));
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "7"]);
    store.before = () => {};
    expect(await (await post(pointText("van-1", 0))).json()).toMatchObject({ stored: 1, duplicates: 0 });
  });

  test("a bug of ours: quarantined and 200", async () => {
    const { post, store, told } = await start();
    const response = await post(pointText("bug", 0));
    expect(response.status).toBe(200);
    expect(store.entries).toMatchObject([{ kind: "malformed", reason: "internal_error" }]);
    expect(told).toMatchObject([{ event: "ingestFailed", quarantined: true }]);
  });

  test("a bug of ours that cannot even be quarantined: 500 with a request id and no detail", async () => {
    const { post, store, told } = await start();
    store.before = () => {
      throw new TypeError("a detail of ours");
    };
    const response = await post(pointText("van-1", 0));
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toContain("detail");
    expect(told).toMatchObject([{ event: "ingestFailed", requestId: JSON.parse(text).requestId }]);
  });

  test("late: 503 in time, and what was stored meanwhile makes the resend a duplicate", async () => {
    const { post, store } = await start({ limits: { answerWithinMs: 50 } });
    const slow = door();
    store.before = () => slow.opened;
    const response = await post(pointText("van-1", 0));
    expect(response.status).toBe(503);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    slow.open();
    await until(() => store.stored().length === 1, { what: "the late message to be stored" });
    expect(await (await post(pointText("van-1", 0))).json()).toMatchObject({ stored: 0, duplicates: 1 });
  });

  test("no answer before storage", async () => {
    const { post, store } = await start();
    const slow = door();
    store.before = () => slow.opened;
    let answered = false;
    const response = post(pointText("van-1", 0)).finally(() => {
      answered = true;
    });
    await until(() => store.waiting() === 1, { what: "the store to be asked" });
    expect(answered).toBe(false);
    slow.open();
    expect((await response).status).toBe(200);
  });
});

describe("a vendor's form that tries the address", () => {
  const PROBES = [
    ["HEAD", 200, ""],
    ["OPTIONS", 204, ""],
    ["GET", 200, '{"send":["POST"]}'],
  ] as const;

  test.each(PROBES)(
    "by %s is content, whatever its credentials, and counts nothing",
    async (method, status, text) => {
      const { url, store, events, statuses, told } = await start();
      for (const headers of [{}, { "x-key": KEY }, { "x-key": "wrong" }] as Record<string, string>[]) {
        for (const path of ["/webhooks/vans", "/webhooks/vans/", "/webhooks/vans?token=wrong"]) {
          const response = await fetch(url + path, { method, headers });
          expect([response.status, await response.text()]).toEqual([status, text]);
          expect(response.headers.get("allow")).toBe("POST, GET, HEAD, OPTIONS");
        }
      }
      expect([store.refusals, store.stored(), events, statuses, told]).toEqual([[], [], [], [], []]);
    },
  );

  test("however often is no guess: the sender gets in afterwards", async () => {
    const { url, post } = await start();
    for (let i = 0; i < 100; i++) {
      await fetch(`${url}/webhooks/vans`, { method: "HEAD", headers: { "x-key": `guess-${i}` } });
    }
    const startedMs = performance.now();
    expect((await post(pointText("v", 0))).status).toBe(200);
    expect(performance.now() - startedMs).toBeLessThan(scaled(900));
  });

  test("where its vendor sends by GET, a GET is a message and a HEAD is none", async () => {
    const { url, store } = await start({ sources: [plainSource("vans", { methods: ["GET", "POST"] })] });
    expect((await fetch(`${url}/webhooks/vans`)).status).toBe(401);
    expect(store.refusals).toHaveLength(1);
    expect((await fetch(`${url}/webhooks/vans?id=1&lat=2`, { method: "HEAD" })).status).toBe(200);
    expect(store.refusals).toHaveLength(1);
  });

  test("of a source that is not there is told so, and the operator too", async () => {
    const { url, events } = await start();
    for (const method of ["HEAD", "OPTIONS", "GET"]) {
      expect((await fetch(`${url}/webhooks/who`, { method })).status).toBe(404);
    }
    expect(events).toEqual(
      Array(3).fill({ event: "sourceUnknown", name: "who", remoteAddress: "127.0.0.1" }),
    );
  });
});

describe("how messages arrive", () => {
  test("a slash at the end is the same address, two are another", async () => {
    const { post, store, events } = await start();
    expect((await post(pointText("v", 0), {}, "/webhooks/vans/")).status).toBe(200);
    expect((await post(pointText("w", 0), {}, "/webhooks/vans/?token=x")).status).toBe(200);
    expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(["v", "w"]);
    expect((await post(pointText("v", 1), {}, "/webhooks/vans//")).status).toBe(404);
    expect((await post(pointText("v", 1), {}, "/webhooks//vans")).status).toBe(404);
    expect((await post(pointText("v", 1), {}, "/webhooks/who/")).status).toBe(404);
    expect(events).toEqual([{ event: "sourceUnknown", name: "who", remoteAddress: "127.0.0.1" }]);
  });

  test("GET with a query, only where the adapter reads queries", async () => {
    const seen: unknown[] = [];
    const changes: Partial<Adapter> = {
      methods: ["GET", "POST"],
      ignore: (raw) => `seen ${seen.push(raw)}`,
    };
    const { url } = await start({ sources: [plainSource("vans", changes)] });
    const response = await fetch(`${url}/webhooks/vans?token=${KEY}&id=a%20b&id=last&lat=1.5`);
    expect(response.status).toBe(200);
    expect(seen).toEqual([{ token: KEY, id: "last", lat: "1.5" }]);
  });

  test("JSON sent as text, a form body, an empty body", async () => {
    const { post } = await start();
    expect(
      await (await post(pointText("v", 0), { "content-type": "text/plain; charset=UTF-8" })).json(),
    ).toMatchObject({
      stored: 1,
    });
    expect(await (await post("")).json()).toEqual({ quarantined: true });
    expect(await (await post("", { "content-encoding": "gzip" })).json()).toEqual({ quarantined: true });
    const form = await start({
      sources: [plainSource("vans", { format: "form", ignore: (raw) => JSON.stringify(raw) })],
    });
    const response = await form.post("a=1&b=%C3%A9", { "content-type": "application/x-www-form-urlencoded" });
    expect(await response.json()).toEqual({ ignored: '{"a":"1","b":"é"}' });
  });

  test("header names in lower case, repeated headers joined", async () => {
    const seen: unknown[] = [];
    const source = plainSource("vans");
    source.authMethod = {
      name: "look",
      needs: [],
      placement: { kind: "address" },
      verify: ({ headers }) => {
        seen.push({ ...headers });
        return null;
      },
    };
    const { server } = await start({ sources: [source] });
    const head =
      "POST /webhooks/vans HTTP/1.1\r\nHost: x\r\nX-Thing: a\r\nX-THING: b\r\nAuthorization: one\r\n";
    await talk(
      server.port,
      `${head}Authorization: two\r\n__proto__: c\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`,
    );
    expect(seen).toMatchObject([{ "x-thing": "a, b", authorization: "one, two" }]);
  });

  test("HTTP/1.0 without a host", async () => {
    const { server } = await start();
    const body = pointText("old", 0);
    const answer = await talk(
      server.port,
      `POST /webhooks/vans HTTP/1.0\r\nX-Key: ${KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.each([
    ["nobody is trusted", [], "203.0.113.9", "127.0.0.1"],
    [
      "the nearest address that is no proxy counts",
      ["127.0.0.0/8"],
      "198.51.100.1, 203.0.113.9",
      "203.0.113.9",
    ],
    ["trusted hops are passed", ["127.0.0.1", "10.0.0.0/8"], "203.0.113.9:4711, 10.1.1.1", "203.0.113.9"],
    ["junk ends the search", ["127.0.0.1", "10.0.0.0/8"], "203.0.113.9, unknown, 10.1.1.1", "10.1.1.1"],
    ["IPv6 with a port", ["127.0.0.1"], "[2001:db8::1]:443", "2001:db8::1"],
    ["IPv4 inside IPv6", ["127.0.0.1"], "::ffff:203.0.113.9", "203.0.113.9"],
    ["no header", ["127.0.0.1"], undefined, "127.0.0.1"],
  ])("remote address: %s", async (_what, trustedProxies, forwarded, expected) => {
    const source = plainSource("vans");
    let address: string | undefined;
    source.authMethod = {
      name: "look",
      needs: [],
      placement: { kind: "address" },
      verify: ({ remoteAddress }) => {
        address = remoteAddress;
        return null;
      },
    };
    const { post } = await start({ sources: [source], parts: { trustedProxies } });
    await post("{}", forwarded === undefined ? {} : { "x-forwarded-for": forwarded });
    expect(address).toBe(expected);
  });

  test("a trusted proxy that is no address is refused at once", async () => {
    await expect(start({ parts: { trustedProxies: ["10.0.0.0/64"] } })).rejects.toThrow(/10\.0\.0\.0\/64/);
  });

  test.skipIf(whyNotCertificates() !== null)(
    `TLS of our own, and senders' certificates where a CA is given${because(whyNotCertificates())}`,
    async () => {
      const authority = createAuthority();
      closers.push(authority.remove);
      const { cert, key } = authority.sign("gateway");
      const sender = authority.sign("sender");
      const { server } = await start({ serve: { tls: { cert, key, ca: authority.ca } } });
      const ask = (agent: Agent) =>
        fetch(`https://localhost:${server.port}/webhooks/vans`, {
          method: "POST",
          body: pointText("van-1", 0),
          headers: { "x-key": KEY },
          dispatcher: agent,
        });
      const known = new Agent({ connect: { ca: authority.ca, cert: sender.cert, key: sender.key } });
      const without = new Agent({ connect: { ca: authority.ca } });
      closers.push(
        () => known.destroy(),
        () => without.destroy(),
      );
      expect((await ask(known)).status).toBe(200);
      await expect(ask(without)).rejects.toThrow();
    },
  );
});

describe("bounds", () => {
  test("a declared length over the limit: 413 without reading, and the sender gets to read it", async () => {
    const { post, store } = await start();
    const response = await post("x".repeat(5_000_000));
    expect([response.status, await response.json()]).toEqual([413, { error: "too_large" }]);
    expect(store.refusals).toEqual([{ source: "vans", reason: "too_large" }]);
  });

  test("Expect: 100-continue: the body of a refused request is never asked for", async () => {
    const { server } = await start();
    const head = (path: string, length: number) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nX-Key: ${KEY}\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
    const answered = (text: string) => /\r\n\r\n\{/.test(text);
    expect(await talk(server.port, head("/webhooks/vans", 5_000_000), answered)).toMatch(/^HTTP\/1\.1 413 /);
    expect(await talk(server.port, head("/webhooks/who", 10), answered)).toMatch(/^HTTP\/1\.1 404 /);
    const invited = (text: string) => text.includes("100 Continue");
    expect(await talk(server.port, head("/webhooks/vans", 10), invited)).toMatch(/^HTTP\/1\.1 100 /);
  });

  test("a sender that is not authenticated by the head of its request is refused before its body", async () => {
    const { server, store, told } = await start({ sources: [headSource("vans"), plainSource("signed")] });
    const begin = (path: string, key: string, headers = "") =>
      `POST /webhooks/${path} HTTP/1.1\r\nHost: x\r\nX-Key: ${key}\r\n${headers}Content-Length: 90000\r\n\r\n{`;
    const answered = (text: string) => /\r\n\r\n\{/.test(text);
    expect(await talk(server.port, begin("vans", "wrong"), answered)).toMatch(/^HTTP\/1\.1 401 /);
    expect(await talk(server.port, begin("vans", "wrong", "Expect: 100-continue\r\n"), answered)).toMatch(
      /^HTTP\/1\.1 401 /,
    );
    expect(store.refusals).toEqual(Array(2).fill({ source: "vans", reason: "unauthenticated" }));
    expect(told).toMatchObject(Array(2).fill({ event: "messageRefused", why: "wrong_credentials" }));
    // Where a signature covers the body, the body has to be read first.
    const invited = (text: string) => text.includes("100 Continue");
    expect(await talk(server.port, begin("signed", "wrong", "Expect: 100-continue\r\n"), invited)).toMatch(
      /^HTTP\/1\.1 100 /,
    );
  });

  test("stalled bodies of one address leave room for others, and for authenticated senders", async () => {
    const { server, url } = await start({
      sources: [headSource("vans"), plainSource("signed")],
      // One address may hold one body of 100 kB, all unauthenticated senders together 200 kB.
      limits: { unfinishedBytes: 400_000 },
    });
    stall(server.port, "signed", 95_000);
    const from = (localAddress: string, source: string) =>
      ask(`${url}/webhooks/${source}`, { localAddress, body: pointText("van-1", 0).padEnd(20_000) });
    await until(async () => (await from("127.0.0.1", "signed")) === 503, { what: "the share to be used up" });
    expect(await from("127.0.0.2", "signed")).toBe(200);
    expect(await from("127.0.0.1", "vans")).toBe(200);
    stall(server.port, "signed", 95_000, "127.0.0.2");
    await until(async () => (await from("127.0.0.3", "signed")) === 503, {
      what: "the half of unauthenticated senders to be used up",
    });
    expect(await from("127.0.0.3", "vans")).toBe(200);
  });

  test("inflating needs room for the largest result", async () => {
    const { server, post } = await start({
      sources: [headSource("vans")],
      limits: { unfinishedBytes: 250_000 },
    });
    const zipped = () => post(gzipSync(pointText("van-1", 0)), { "content-encoding": "gzip" });
    expect((await zipped()).status).toBe(200);
    const stalled = [stall(server.port, "vans", 90_000), stall(server.port, "vans", 90_000)];
    const full = await until(
      async () => {
        const response = await zipped();
        return response.status === 503 ? response : null;
      },
      { what: "the room to be used up" },
    );
    expect(await full.json()).toEqual({ error: "no_room" });
    for (const socket of stalled) socket.destroy();
    await until(async () => (await zipped()).status === 200, { what: "the room to be free again" });
  });

  test("hundreds of bombs at once are inflated a few at a time, and each is answered", async () => {
    const { post } = await start({ sources: [headSource("vans")] });
    const bomb = brotliCompressSync(Buffer.alloc(90_000));
    const headers = { "content-encoding": "br" };
    const answers = Array.from({ length: 300 }, async () => (await post(bomb, headers)).status);
    expect(
      await (await post(gzipSync(pointText("van-1", 0)), { "content-encoding": "gzip" })).json(),
    ).toMatchObject({
      stored: 1,
    });
    expect(new Set(await Promise.all(answers))).toEqual(new Set([200]));
  });

  test("an undeclared length over the limit: 413 while it streams", async () => {
    const { url, store } = await start();
    async function* endless() {
      for (let sent = 0; sent < 2_000_000; sent += 10_000) yield Buffer.alloc(10_000, "x");
    }
    const response = await fetch(`${url}/webhooks/vans`, {
      method: "POST",
      body: endless(),
      duplex: "half",
      headers: { "x-key": KEY },
    });
    expect(response.status).toBe(413);
    expect(store.refusals).toEqual([{ source: "vans", reason: "too_large" }]);
  });

  test.each([
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    // Its usual quality, 11, takes seconds for the bomb.
    [
      "br",
      (data: string | Buffer) =>
        brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
    ],
  ])("%s is inflated, and a bomb of it is 413", async (encoding, compress) => {
    const { post, store } = await start();
    const headers = { "content-encoding": encoding };
    expect(await (await post(compress(pointText("van-1", 0)), headers)).json()).toMatchObject({ stored: 1 });
    const bomb = compress(Buffer.alloc(50_000_000));
    expect(bomb.length).toBeLessThan(100_000);
    expect((await post(bomb, headers)).status).toBe(413);
    expect(store.refusals).toEqual([{ source: "vans", reason: "too_large" }]);
  });

  test("an encoding we do not read, stacked, or damaged: 415, counted", async () => {
    const { post, store } = await start();
    for (const encoding of ["zstd", "gzip, gzip", "gzip"]) {
      expect((await post("not compressed", { "content-encoding": encoding })).status).toBe(415);
    }
    expect(store.refusals).toEqual(Array(3).fill({ source: "vans", reason: "unsupported_encoding" }));
  });

  test("slow senders are cut off, headers and body alike, while others are answered", async () => {
    const { server, post } = await start({ serve: { timeouts: { headersMs: 300, requestMs: 600 } } });
    const half = talk(server.port, "POST /webhooks/vans HTTP/1.1\r\nHost: x\r\nX-Slow:");
    const body = talk(
      server.port,
      `POST /webhooks/vans HTTP/1.1\r\nHost: x\r\nX-Key: ${KEY}\r\nContent-Length: 100\r\n\r\n{`,
    );
    expect((await post(pointText("van-1", 0))).status).toBe(200);
    expect(await half).toMatch(/^HTTP\/1\.1 408 /);
    expect(await body).toMatch(/^(HTTP\/1\.1 408 |$)/);
    expect((await post(pointText("van-1", 1))).status).toBe(200);
  });

  test("a sender that goes away in the middle has sent no message", async () => {
    const { server, store, statuses } = await start();
    const socket: Socket = connect(server.port, "127.0.0.1");
    socket.write(
      `POST /webhooks/vans HTTP/1.1\r\nHost: x\r\nX-Key: ${KEY}\r\nContent-Length: 100\r\n\r\n{"half":`,
    );
    await once(socket, "connect");
    setTimeout(() => socket.destroy(), 50);
    await until(() => statuses.length === 1, { what: "the request to end" });
    expect(store.entries).toEqual([]);
  });

  test("closing lets requests that have begun end and accepts no new ones", async () => {
    const { server, post, store } = await start();
    const slow = door();
    store.before = () => slow.opened;
    const underWay = post(pointText("van-1", 0));
    await until(() => store.waiting() === 1, { what: "the store to be asked" });
    const closed = server.close(20_000);
    await expect(post(pointText("van-1", 1))).rejects.toThrow();
    slow.open();
    expect((await underWay).status).toBe(200);
    await closed;
  });

  test("closing does not wait for ever", async () => {
    const { server, post, store } = await start();
    store.before = () => new Promise(() => {});
    const underWay = post(pointText("van-1", 0)).catch((error: unknown) => error);
    await until(() => store.waiting() === 1, { what: "the store to be asked" });
    await server.close(50);
    expect(await underWay).toBeInstanceOf(Error);
  });
});

describe("a bad sender harms no other", () => {
  const manyPoints = () =>
    JSON.stringify(Array.from({ length: 100_000 }, (_, i) => JSON.parse(pointText("fleet", i))));
  const BAD: [string, () => string | Uint8Array, Record<string, string>][] = [
    ["not JSON", () => "<xml/>", {}],
    ["5 MB", () => "x".repeat(5_000_000), {}],
    ["100,000 levels", () => "[".repeat(100_000), {}],
    ["100,000 levels, closed", () => "[".repeat(100_000) + "]".repeat(100_000), {}],
    ["100,000 points", manyPoints, {}],
    ["random bytes", () => Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 7919) % 256)), {}],
    ["a bomb", () => gzipSync(Buffer.alloc(200_000_000)), { "content-encoding": "gzip" }],
    ["a bug of ours", () => pointText("bug", 0), {}],
  ];

  test.each(BAD)("%s", async (_what, make, headers) => {
    const { post, store } = await start({ limits: { bodyLimitBytes: 20_000_000 } });
    const bad = make();
    const harm = [1, 2, 3].map(() => post(bad, headers));
    const others = Array.from({ length: 50 }, (_, i) => post(pointText("van-1", i)));
    for (const response of await Promise.all(others)) {
      expect(await response.json()).toMatchObject({ stored: 1, rejected: [] });
    }
    for (const response of await Promise.all(harm)) expect([200, 413]).toContain(response.status);
    expect(store.stored().filter(({ deviceId }) => deviceId === "van-1")).toHaveLength(50);
  });
});

describe.skipIf(whyNotCertificates() !== null)(
  `the confirmation fetch${because(whyNotCertificates())}`,
  () => {
    async function vendor(
      respond: (url: string) => { status: number; headers?: Record<string, string>; body?: Buffer },
    ) {
      const authority = createAuthority();
      const asked: string[] = [];
      const agents: (string | undefined)[] = [];
      const server = createServer(authority.sign("sns.example.com"), (request, response) => {
        asked.push(request.url ?? "");
        agents.push(request.headers["user-agent"]);
        const { status, headers, body } = respond(request.url ?? "");
        response.writeHead(status, headers).end(body);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      // Every name leads to the vendor's server, whatever it says: only our own checks keep us away.
      const real = buildConnector({ ca: authority.ca });
      const port = String((server.address() as AddressInfo).port);
      const via = new Agent({ connect: (to, done) => real({ ...to, hostname: "127.0.0.1", port }, done) });
      closers.push(
        () => via.destroy(),
        () => void server.close(),
        authority.remove,
      );
      return { asked, agents, via };
    }

    function asking(url: string): Source {
      const confirm = { url, allowedHost: /sns\.example\.com/ };
      const reply = { status: 200, contentType: "text/plain", body: "" };
      return plainSource("vans", { handshake: () => ({ reply, confirm }) });
    }

    test("is made once, after the answer", async () => {
      const { asked, agents, via } = await vendor(() => ({ status: 200 }));
      const { post, events } = await start({
        sources: [asking("https://sns.example.com/confirm?Token=s3cret")],
        parts: { confirmVia: via },
      });
      expect((await post("{}")).status).toBe(200);
      const ended = await until(() => events[0], { what: "the confirmation" });
      expect(ended).toEqual({
        event: "confirmationEnded",
        source: "vans",
        host: "sns.example.com",
        ok: true,
        detail: "http_200",
      });
      expect(asked).toEqual(["/confirm?Token=s3cret"]);
      expect(agents).toEqual([USER_AGENT]);
    });

    test.each([
      "http://sns.example.com/",
      "https://sns.example.com.evil.example/",
      "https://evil-sns.example.com/",
      "https://sns.example.com:8443/",
      "https://user@sns.example.com/",
      "https://169.254.169.254/latest/",
      "not an address",
    ])("is not made to %s", async (url) => {
      const { asked, via } = await vendor(() => ({ status: 200 }));
      const { post, events } = await start({ sources: [asking(url)], parts: { confirmVia: via } });
      await post("{}");
      const ended = await until(() => events[0], { what: "the refusal" });
      expect(ended).toMatchObject({
        ok: false,
        detail: expect.stringMatching(/^(address_not_allowed|not_an_address)$/),
      });
      expect(asked).toEqual([]);
    });

    test("follows no redirect", async () => {
      const { asked, via } = await vendor(() => ({
        status: 302,
        headers: { location: "https://sns.example.com/other" },
      }));
      const { post } = await start({
        sources: [asking("https://sns.example.com/first")],
        parts: { confirmVia: via },
      });
      await post("{}");
      // The second attempt shows that the first has ended without going where it was sent.
      await until(() => asked.length === 2, { what: "a second attempt" });
      expect(asked).toEqual(["/first", "/first"]);
    });
  },
);
