import { once } from "node:events";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type Client,
  createClient,
  type Prepared,
  servicetitanUrls,
  type Target,
} from "../../src/servicetitan/client.ts";
import type { Attempt } from "../../src/servicetitan/outcome.ts";
import { USER_AGENT } from "../../src/version.ts";
import { because } from "../support/because.ts";
import { createAuthority, whyNotCertificates } from "../support/certificates.ts";
import { type Api, acceptAll, json, plain, startApi, startServer } from "./api.ts";

const DIRECT = { httpProxy: null, httpsProxy: null, noProxy: "" };
const IDS = ["v:1:10", "v:2:10"];
const BODY = JSON.stringify(IDS.map((externalId) => ({ externalId })));

let api: Api;
let client: Client;
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  api = await startApi();
  client = createClient({ proxy: DIRECT });
});
afterEach(async () => {
  await api.close();
  await client.close();
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function prepared(target: Target, by = client): Promise<Prepared> {
  const result = await by.prepare(target);
  if ("outcome" in result) throw new Error(`Not prepared: ${result.detail}`);
  return result;
}

async function attempt(target = api.target(), by = client): Promise<Attempt> {
  return by.send(target, await prepared(target, by), BODY, IDS);
}

describe("a request", () => {
  test("is the one ServiceTitan documents", async () => {
    const result = await attempt();
    expect(result).toEqual({
      outcome: { kind: "delivered" },
      status: 200,
      tookMs: expect.any(Number),
      traceId: null,
      detail: "",
      tokenWasCached: false,
    });
    expect(result.tookMs).toBeGreaterThan(0);
    expect(api.tokenRequests).toHaveLength(1);
    expect(api.tokenRequests[0]).toMatchObject({
      method: "POST",
      path: "/connect/token",
      headers: { "content-type": "application/x-www-form-urlencoded", "user-agent": USER_AGENT },
    });
    expect(Object.fromEntries(new URLSearchParams(api.tokenRequests[0]?.body))).toEqual({
      grant_type: "client_credentials",
      client_id: "cid.client-of-the-test",
      client_secret: "cs1.secret-of-the-test",
    });
    expect(api.pingRequests).toHaveLength(1);
    expect(api.pingRequests[0]).toMatchObject({
      method: "POST",
      path: "/dispatch/v2/tenant/123456/gps-provider/acme%20gps%2F1/gps-pings",
      body: BODY,
      headers: {
        authorization: "Bearer token-1",
        "st-app-key": "ak1.app-key-of-the-test",
        "content-type": "application/json",
        "user-agent": USER_AGENT,
      },
    });
  });

  test("goes below a base path, and to a token address given in full", async () => {
    await attempt(api.target({ apiUrl: `${api.url}/st/`, authUrl: `${api.url}/id/connect/token` }));
    expect(api.tokenRequests[0]?.path).toBe("/id/connect/token");
    expect(api.pingRequests[0]?.path).toMatch(/^\/st\/dispatch\/v2\/tenant/);
  });

  test("reuses its connections", async () => {
    const ports = new Set<number | undefined>();
    const server = await startServer((request, response) => {
      ports.add(request.socket.remotePort);
      request.resume().on("end", () => response.end("[]"));
    });
    cleanups.push(server.close);
    const target = api.target({ apiUrl: server.url });
    for (let i = 0; i < 10; i++) await attempt(target);
    // A connection is free again one turn of the event loop after its answer, so two may take turns.
    expect(ports.size).toBeLessThanOrEqual(2);
  });

  test("that may not leave any more stays, and its connection serves the next", async () => {
    const ports: (number | undefined)[] = [];
    const server = await startServer((request, response) => {
      ports.push(request.socket.remotePort);
      request.resume().on("end", () => response.end("[]"));
    });
    cleanups.push(server.close);
    const target = api.target({ apiUrl: server.url });
    const token = await prepared(target);
    const stayed = await client.send(target, token, BODY, IDS, { beforeSend: () => false });
    expect(stayed.outcome).toMatchObject({ kind: "unavailable" });
    expect(ports).toEqual([]);
    await client.send(target, token, BODY, IDS, { beforeSend: () => true });
    expect(ports).toHaveLength(1);
    expect(server.connections()).toBe(1);
  });

  test("ServiceTitan's two environments", () => {
    expect(servicetitanUrls("production")).toEqual({
      apiUrl: "https://api.servicetitan.io",
      authUrl: "https://auth.servicetitan.io",
    });
    expect(servicetitanUrls("integration").authUrl).toBe("https://auth-integration.servicetitan.io");
  });
});

describe("an answer", () => {
  test.each([200, 201, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504])(
    "of %i is asked for once and classified",
    async (status) => {
      api.onPings(json(status, { title: "Told", traceId: "trace-1" }));
      const { outcome, ...rest } = await attempt();
      expect(rest).toMatchObject({ status, tokenWasCached: false });
      expect(rest.traceId).toBe(status < 300 ? null : "trace-1");
      expect(outcome.kind).toBe(
        { 200: "partial", 201: "partial", 400: "refused", 422: "refused", 413: "oversize", 429: "throttled" }[
          status
        ] ?? (status === 408 || status >= 500 ? "unavailable" : "blocked"),
      );
      expect(api.pingRequests).toHaveLength(1);
    },
  );

  test("with Retry-After says how long to wait", async () => {
    api.onPings(plain(429, "", { "retry-after": "11" }));
    expect((await attempt()).outcome).toEqual({ kind: "throttled", afterMs: 11_000 });
    const date = new Date("2026-11-20T12:00:00Z").toUTCString();
    const until = new Date("2026-11-20T12:00:21Z").toUTCString();
    api.onPings(plain(503, "", { "retry-after": until, date }));
    expect((await attempt()).outcome).toEqual({ kind: "unavailable", reason: "http_503", afterMs: 21_000 });
  });

  test("that redirects is not followed", async () => {
    const elsewhere = await startApi();
    cleanups.push(elsewhere.close);
    for (const status of [301, 302, 303, 307, 308]) {
      api.onPings(plain(status, "", { location: `${elsewhere.url}/` }));
      expect((await attempt()).outcome).toEqual({ kind: "blocked", reason: "redirect" });
    }
    expect(elsewhere.pingRequests).toHaveLength(0);
  });

  test("that repeats credentials is told without them", async () => {
    api.onPings((response, { headers }) => {
      const echo = `client cid.client-of-the-test cs1.secret-of-the-test ${headers.authorization} ${headers["st-app-key"]}`;
      json(400, { title: echo, errors: { echo: [echo] } })(response, {
        method: "",
        path: "",
        headers,
        body: "",
      });
    });
    const told = JSON.stringify(await attempt());
    expect(told).toContain("[redacted]");
    for (const secret of ["token-1", "cid.", "cs1.", "ak1."]) expect(told).not.toContain(secret);
  });

  test("longer than the bound is not read on, and leaves all pings missing", async () => {
    let sent = 0;
    api.onPings((response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const chunk = "x".repeat(65_536);
      const pump = () => {
        while (!response.destroyed && sent < 1e9) {
          sent += chunk.length;
          if (!response.write(chunk)) return void response.once("drain", pump);
        }
      };
      pump();
    });
    const result = await attempt();
    expect(result).toMatchObject({ status: 200, outcome: { kind: "partial", failed: [], missing: IDS } });
    // What the kernel and the streams hold comes on top of the megabyte we read.
    expect(sent).toBeLessThan(50_000_000);
  });

  test("longer than the bound with a bad status is told by its status", async () => {
    api.onPings(plain(500, "x".repeat(2_000_000)));
    expect(await attempt()).toMatchObject({
      outcome: { kind: "unavailable", reason: "http_500" },
      detail: "HTTP 500: answer too long to read",
    });
  });

  test("in several pieces, cut within a character, is read whole", async () => {
    const ids = ["v:ü€😀:1"];
    const bytes = Buffer.from(JSON.stringify([{ externalId: ids[0], status: "Success", message: "" }]));
    api.onPings((response) => {
      let at = 0;
      const next = () => {
        if (at >= bytes.length) return void response.end();
        response.write(bytes.subarray(at, ++at), next);
      };
      next();
    });
    const target = api.target();
    expect((await client.send(target, await prepared(target), "[]", ids)).outcome).toEqual({
      kind: "delivered",
    });
  });

  test("that follows an informational one counts", async () => {
    const server = await rawServer(
      `HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 503 No\r\nretry-after: 4\r\ncontent-length: 0\r\n\r\n`,
    );
    expect(await attempt(api.target({ apiUrl: server }))).toMatchObject({
      outcome: { kind: "unavailable", reason: "http_503", afterMs: 4000 },
    });
  });
});

describe("no answer", () => {
  const quick = (changes: Partial<Target> = {}) => api.target({ requestTimeoutMs: 300, ...changes });

  test("because it hangs", async () => {
    await prepared(api.target());
    api.onPings(() => {});
    const result = await attempt(quick());
    expect(result).toMatchObject({
      outcome: { kind: "unavailable", reason: "timeout", afterMs: null },
      status: null,
    });
    expect(result.tookMs).toBeGreaterThan(200);
  });

  test("because its headers trickle", async () => {
    const server = await rawServer(null, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const timer = setInterval(() => socket.write("x-more: 1\r\n"), 50);
      socket.on("close", () => clearInterval(timer));
    });
    await prepared(api.target());
    const result = await attempt(quick({ apiUrl: server }));
    expect(result).toMatchObject({ outcome: { kind: "unavailable", reason: "timeout" }, status: null });
  });

  test("because its body trickles", async () => {
    await prepared(api.target());
    api.onPings((response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write(" "), 50);
      response.on("close", () => clearInterval(timer));
    });
    expect(await attempt(quick())).toMatchObject({
      outcome: { kind: "unavailable", reason: "timeout" },
      status: 200,
      detail: "HTTP 200, cut off (deadline)",
    });
  });

  test("because the connection is reset", async () => {
    await prepared(api.target());
    api.onPings((response) => response.socket?.resetAndDestroy());
    expect(await attempt()).toMatchObject({
      outcome: { kind: "unavailable", reason: "connection_reset" },
      status: null,
    });
    expect(api.pingRequests).toHaveLength(1);
  });

  test("because the connection closes", async () => {
    await prepared(api.target());
    api.onPings((response) => response.socket?.destroy());
    expect(await attempt()).toMatchObject({ outcome: { kind: "unavailable", reason: "connection_reset" } });
    expect(api.pingRequests).toHaveLength(1);
  });

  test("because half the body is all that comes", async () => {
    api.onPings((response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write('[{"externalId":"v:1:10","status":"Success","message":""}', () =>
        response.socket?.destroy(),
      );
    });
    expect(await attempt()).toMatchObject({
      outcome: { kind: "unavailable", reason: "connection_reset" },
      status: 200,
    });
  });

  test("but a bad status is known before its body breaks off", async () => {
    api.onPings((response) => {
      response.writeHead(429, { "content-length": "1000", "retry-after": "5" });
      response.write("Try", () => response.socket?.destroy());
    });
    expect(await attempt()).toMatchObject({ outcome: { kind: "throttled", afterMs: 5000 }, status: 429 });
  });

  test("because it does not speak HTTP", async () => {
    const server = await rawServer("220 mail.example ESMTP\r\n");
    expect(await attempt(api.target({ apiUrl: server }))).toMatchObject({
      outcome: { kind: "unavailable", reason: "network_error" },
      status: null,
    });
  });

  test("because nobody listens", async () => {
    const gone = await startServer(() => {});
    await gone.close();
    expect((await attempt(api.target({ apiUrl: gone.url }))).outcome).toEqual({
      kind: "unavailable",
      reason: "connection_refused",
      afterMs: null,
    });
  });

  test("because the name does not exist", async () => {
    const { outcome } = await attempt(api.target({ apiUrl: "http://waypost.invalid" }));
    expect(outcome).toMatchObject({ kind: "unavailable", reason: "dns_error" });
  });

  test("because it is no TLS", async () => {
    const { outcome } = await attempt(api.target({ apiUrl: api.url.replace("http:", "https:") }));
    expect(outcome).toMatchObject({ kind: "unavailable", reason: "tls_error" });
  });

  test.skipIf(whyNotCertificates() !== null)(
    `because nobody vouches for the certificate, whatever the environment says${because(whyNotCertificates())}`,
    async () => {
      const authority = createAuthority();
      const { key, cert } = authority.sign("api");
      const seen: string[] = [];
      const server = createHttpsServer({ key, cert }, (request, response) => {
        seen.push(request.url ?? "");
        response.end("[]");
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
      cleanups.push(async () => {
        if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
        else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
        authority.remove();
        server.close();
      });
      const apiUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      expect((await attempt(api.target({ apiUrl }))).outcome).toMatchObject({ reason: "tls_error" });

      const proxy = await connectProxy((target) => [Number(target.split(":")[1]), null]);
      const through = createClient({ proxy: { httpProxy: null, httpsProxy: proxy.url, noProxy: "" } });
      cleanups.push(through.close);
      expect((await attempt(api.target({ apiUrl }), through)).outcome).toMatchObject({ reason: "tls_error" });
      expect(proxy.asked).toHaveLength(1);
      expect(seen).toEqual([]);
    },
  );

  test("because the app key cannot travel in a header", async () => {
    const { outcome } = await attempt(api.target({ appKey: "ak\n1" }));
    expect(outcome).toMatchObject({ kind: "unavailable", reason: "network_error" });
  });

  test("leaves nothing behind: the next request is answered", async () => {
    api.onPings(() => {});
    await prepared(api.target());
    await Promise.all(Array.from({ length: 20 }, () => attempt(quick())));
    api.onPings(acceptAll);
    expect((await attempt()).outcome).toEqual({ kind: "delivered" });
  });
});

describe("the token of an attempt", () => {
  test("that was turned down is replaced when somebody says so, once", async () => {
    const target = api.target();
    expect((await attempt(target)).tokenWasCached).toBe(false);
    api.onPings((response, seen) => {
      if (seen.headers.authorization === "Bearer token-1") json(401, { statusCode: 401 })(response, seen);
      else acceptAll(response, seen);
    });
    const held = await prepared(target);
    const refused = await client.send(target, held, BODY, IDS);
    expect(refused).toMatchObject({
      outcome: { kind: "blocked", reason: "unauthorized" },
      tokenWasCached: true,
    });
    client.renew(target, held);
    const again = await attempt(target);
    expect(again).toMatchObject({ outcome: { kind: "delivered" }, tokenWasCached: false });
    client.renew(target, held);
    expect((await prepared(target)).token.value).toBe("token-2");
    expect(api.tokenRequests).toHaveLength(2);
  });

  test("that cannot be had makes an attempt without a POST", async () => {
    api.onToken(plain(503, "down", { "retry-after": "9" }));
    expect(await client.prepare(api.target())).toEqual({
      outcome: { kind: "unavailable", reason: "token_unavailable", afterMs: 9000 },
      status: null,
      tookMs: 0,
      traceId: null,
      detail: "The token endpoint cannot serve now (HTTP 503).",
      tokenWasCached: false,
    });
    expect(api.pingRequests).toHaveLength(0);
  });

  test("that is refused blocks the destination", async () => {
    api.onToken(
      json(400, { error: "invalid_client", error_description: "cid.client-of-the-test is unknown" }),
    );
    expect(await client.prepare(api.target())).toMatchObject({
      outcome: { kind: "blocked", reason: "credentials_refused" },
      detail: "The token endpoint refused the credentials (invalid_client, HTTP 400).",
    });
  });
});

describe("a proxy", () => {
  test("is used for both hosts, through a tunnel, except for hosts named otherwise", async () => {
    const proxy = await connectProxy((target) => [Number(target.split(":")[1]), null]);
    const through = createClient({ proxy: { httpProxy: proxy.url, httpsProxy: null, noProxy: "" } });
    cleanups.push(through.close);
    expect((await attempt(api.target(), through)).outcome).toEqual({ kind: "delivered" });
    expect(proxy.asked).toContain(new URL(api.url).host);

    const asked = proxy.asked.length;
    const around = createClient({ proxy: { httpProxy: proxy.url, httpsProxy: null, noProxy: "127.0.0.1" } });
    cleanups.push(around.close);
    expect((await attempt(api.target(), around)).outcome).toEqual({ kind: "delivered" });
    expect(proxy.asked).toHaveLength(asked);
  });

  test("named for https only is not used for http", async () => {
    const proxy = await connectProxy(() => [0, "HTTP/1.1 403 Forbidden\r\n\r\n"]);
    const through = createClient({ proxy: { httpProxy: null, httpsProxy: proxy.url, noProxy: "" } });
    cleanups.push(through.close);
    expect((await attempt(api.target(), through)).outcome).toEqual({ kind: "delivered" });
    expect(proxy.asked).toEqual([]);
  });

  test("gets its credentials, and its refusal is told apart", async () => {
    const proxy = await connectProxy(() => [0, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"]);
    const url = proxy.url.replace("//", "//ana:p%40ss@");
    const through = createClient({ proxy: { httpProxy: url, httpsProxy: null, noProxy: "" } });
    cleanups.push(through.close);
    await prepared(api.target());
    const { token } = await prepared(api.target());
    const result = await through.send(api.target(), { token, tokenWasCached: false }, BODY, IDS);
    expect(result.outcome).toEqual({ kind: "unavailable", reason: "proxy_refused", afterMs: null });
    expect(proxy.authorizations).toContain(`Basic ${Buffer.from("ana:p@ss").toString("base64")}`);
  });

  test.each(["closes", "hangs"] as const)("that %s costs one bounded attempt", async (way) => {
    const proxy = await connectProxy(() => [0, way === "closes" ? "" : null]);
    const through = createClient({ proxy: { httpProxy: proxy.url, httpsProxy: null, noProxy: "" } });
    const { token } = await prepared(api.target());
    const target = api.target({ requestTimeoutMs: 500 });
    const { outcome } = await through.send(target, { token, tokenWasCached: false }, BODY, IDS);
    expect(outcome.kind).toBe("unavailable");
    expect(proxy.asked.length).toBeLessThan(5);
    await proxy.close();
  });

  test("that is gone is a refused connection", async () => {
    const gone = await startServer(() => {});
    await gone.close();
    const through = createClient({ proxy: { httpProxy: gone.url, httpsProxy: null, noProxy: "" } });
    cleanups.push(through.close);
    const { token } = await prepared(api.target());
    const { outcome } = await through.send(api.target(), { token, tokenWasCached: false }, BODY, IDS);
    expect(outcome).toMatchObject({ kind: "unavailable", reason: "connection_refused" });
  });
});

/** Says the same bytes to whoever has sent a request's head, or does what it is told. */
async function rawServer(bytes: string | null, act?: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).once("data", () => (bytes === null ? act?.(socket) : socket.end(bytes)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A CONNECT proxy. `route` gives a port to tunnel to, or port 0 and what to say: "" closes, null says nothing. */
async function connectProxy(route: (target: string) => [number, string | null]) {
  const asked: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const server = await startServer((_, response) => response.writeHead(400).end());
  const sockets = new Set<Socket>();
  const tcp = createTcpServer((socket) => {
    sockets.add(socket);
    socket
      .on("error", () => {})
      .once("data", (data) => {
        const head = data.toString("latin1");
        const target = /^CONNECT (\S+) HTTP/.exec(head)?.[1] ?? "";
        asked.push(target);
        authorizations.push(/^proxy-authorization: (.*)$/im.exec(head)?.[1]?.trim());
        const [port, say] = route(target);
        if (port === 0) {
          if (say === "") socket.destroy();
          else if (say !== null) socket.end(say);
          return;
        }
        const upstream = connect(port, "127.0.0.1", () => {
          socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
          socket.pipe(upstream).pipe(socket);
        });
        upstream.on("error", () => socket.destroy());
      });
  });
  tcp.listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    tcp.close();
  };
  cleanups.push(close, server.close);
  return { url: `http://127.0.0.1:${(tcp.address() as AddressInfo).port}`, asked, authorizations, close };
}
