/** The budget for guessing over real sockets: what a guesser with many connections gets at each door, and what others get. */

import { createHmac } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { serve } from "@hono/node-server";
import mqttPacket from "mqtt-packet";
import { afterEach, describe, expect, test } from "vitest";
import type { AuthMethod } from "../../src/adapters/kit/adapter.ts";
import {
  addressList,
  basic,
  bearer,
  customHeader,
  hmac,
  sharedKey,
  urlToken,
} from "../../src/adapters/kit/auth.ts";
import type { Source } from "../../src/ingest/source.ts";
import { startBroker } from "../../src/inputs/mqtt/broker.ts";
import { createWebhookApp } from "../../src/inputs/webhook/app.ts";
import { serveWebhooks } from "../../src/inputs/webhook/server.ts";
import { createDispatcher } from "../../src/network.ts";
import { diagnoseIncidents } from "../../src/ops/diagnose/incidents.ts";
import { createIncidents } from "../../src/ops/incidents.ts";
import type { Incident, IncidentSubject } from "../../src/status/process.ts";
import { opsApp, TOKEN } from "../ops/ops-app.ts";
import { memoryStore } from "../support/memory-store.ts";
import { ingestOver, KEY, mqttSource, plainSource, pointText } from "../support/plain-vendor.ts";
import { until } from "../support/wait.ts";

/** No source here asks for a confirmation. */
const nowhere = createDispatcher({ httpProxy: null, httpsProxy: null, noProxy: "" });

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** As many as a guesser has open at a time. */
const CONNECTIONS = 64;
const GUESSER = "127.0.0.1";
const OTHER = "127.0.0.2";

interface VendorRequest {
  port: number;
  path: string;
  from?: string;
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

async function ask({ port, path, from = GUESSER, method = "POST", headers = {}, body = "" }: VendorRequest) {
  const options = { host: "127.0.0.1", port, path, method, localAddress: from, agent: false, headers };
  const outgoing = request(options);
  outgoing.end(body);
  const [response]: IncomingMessage[] = await once(outgoing, "response");
  if (response === undefined) throw new Error("no response");
  let text = "";
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode ?? 0, headers: response.headers, text };
}

const together = <T>(one: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: CONNECTIONS }, (_, i) => one(i)));

function watch() {
  const incidents = createIncidents();
  const told: Record<string, unknown>[] = [];
  const failures: { door: string; checked: boolean }[] = [];
  return {
    told,
    failures,
    problems: () =>
      diagnoseIncidents(incidents.recent(), Date.now()).filter(({ kind }) => kind === "guessing"),
    events: {
      webhookAnswered: () => {},
      sourceUnknown: () => {},
      confirmationEnded: () => {},
      messagesGivenUp: () => {},
      connectionRefused: () => {},
      failed: (event: { where: string; error: unknown }) => void told.push(event),
      deviceRefused: (event: object) => void told.push({ ...event }),
      authFailed: (event: { door: string; checked: boolean }) => void failures.push(event),
      incident: (event: Incident) => incidents.note(event),
      incidentEnded: (event: IncidentSubject) => void incidents.ended(event),
    },
  };
}

describe("at the webhook port", () => {
  /** A right message of each authentication method, and a wrong one. */
  const METHODS: [
    authMethod: AuthMethod,
    headers: (secret: string, body: string) => Record<string, string>,
    path?: string,
  ][] = [
    [sharedKey("x-key"), (secret) => ({ "x-key": secret })],
    [customHeader(), (secret) => ({ "x-own": secret })],
    [bearer(), (secret) => ({ authorization: `Bearer ${secret}` })],
    [basic(), (secret) => ({ authorization: `Basic ${Buffer.from(`fleet:${secret}`).toString("base64")}` })],
    [urlToken(), () => ({}), "?token="],
    [
      hmac({ algorithm: "sha256", header: "x-signature", encoding: "hex" }),
      (secret, body) => ({ "x-signature": createHmac("sha256", secret).update(body).digest("hex") }),
    ],
  ];
  const body = pointText("van-1", 0);

  async function start(authMethod: AuthMethod, trustedProxies: string[] = [], own = closers) {
    const store = memoryStore();
    const seen = watch();
    let checked = 0;
    const counted = <Args extends unknown[], Result>(check: (...args: Args) => Result) => {
      return (...args: Args): Result => {
        checked += 1;
        return check(...args);
      };
    };
    const source: Source = {
      ...plainSource("vans"),
      authMethod: {
        ...authMethod,
        verify: counted(authMethod.verify),
        ...(authMethod.verifyHead ? { verifyHead: counted(authMethod.verifyHead) } : {}),
      },
      credentials: { secrets: [KEY], username: "fleet", header: "X-Own", allow: ["127.0.0.2"] },
    };
    const app = createWebhookApp({
      sources: new Map([["vans", source]]),
      ingest: ingestOver(store).ingest,
      limits: { bodyLimitBytes: 100_000, answerWithinMs: 10_000 },
      confirmVia: nowhere,
      trustedProxies,
      events: seen.events,
    });
    const server = await serveWebhooks({ app, host: "127.0.0.1", port: 0 });
    own.push(() => server.close(0));
    return { ...seen, store, port: server.port, checked: () => checked };
  }

  // Each with a server and a budget of its own; most of the time is refusals that are held back.
  test.concurrent.for(METHODS.map((method) => ({ name: method[0].name, method })))(
    "$name: most of a flood is not checked; the right credentials elsewhere work",
    async ({ method: [authMethod, headers, query] }, { expect, onTestFinished }) => {
      const own: typeof closers = [];
      onTestFinished(async () => {
        for (const close of own) await close();
      });
      const { port, checked, store, problems, failures } = await start(authMethod, [], own);
      const path = (secret: string) => `/webhooks/vans${query ? query + secret : ""}`;
      const send = (secret: string, from: string) =>
        ask({ port, path: path(secret), from, headers: headers(secret, body), body });
      const startedMs = performance.now();
      const answers = [];
      for (let round = 0; round < 4; round++)
        answers.push(...(await together((i) => send(`guess-${i}`, GUESSER))));
      // The vendor's refusal for all: the same for what was checked and what was not.
      expect(new Set(answers.map(({ status, text }) => `${status} ${text}`))).toEqual(
        new Set(['401 {"error":"refused"}']),
      );
      const seconds = (performance.now() - startedMs) / 1000;
      expect(checked()).toBeLessThan(20 + CONNECTIONS + 6 * seconds);
      expect(store.refusals).toContainEqual({ source: "vans", reason: "guessing" });
      expect(store.refusals).toHaveLength(4 * CONNECTIONS);
      expect(failures).toHaveLength(4 * CONNECTIONS);
      expect((await send(KEY, OTHER)).status).toBe(200);
      expect(problems()).toHaveLength(1);
      expect(problems()[0]).toMatchObject({ where: "source vans" });
      expect(problems()[0]?.what).toContain(GUESSER);
      // Put right at the sender that was wrong: let in as soon as its turn comes.
      await until(async () => (await send(KEY, GUESSER)).status === 200, {
        what: "the sender to be let in again",
      });
      expect((await send(KEY, GUESSER)).status).toBe(200);
    },
  );

  test("a body whose credentials are not checked is not read either", async () => {
    const { port } = await start(hmac({ algorithm: "sha256", header: "x-signature", encoding: "hex" }));
    for (let round = 0; round < 2; round++) {
      await together(() => ask({ port, path: "/webhooks/vans", headers: { "x-signature": "00" }, body }));
    }
    const flood = together(() =>
      ask({ port, path: "/webhooks/vans", headers: { "x-signature": "00" }, body }),
    );
    const socket = connect({ port, host: "127.0.0.1", localAddress: GUESSER });
    closers.push(() => void socket.destroy());
    socket.on("error", () => {});
    socket.write(
      "POST /webhooks/vans HTTP/1.1\r\nHost: x\r\nX-Signature: 00\r\nContent-Length: 90000\r\n\r\n{",
    );
    const [answer] = await once(socket, "data");
    expect(String(answer)).toMatch(/^HTTP\/1.1 401/);
    await flood;
  });

  test("no credentials at all, or none that could be guessed, cost nothing", async () => {
    const { port, failures, store } = await start(sharedKey("x-key"));
    for (let round = 0; round < 2; round++) await together(() => ask({ port, path: "/webhooks/vans", body }));
    const listed = await start(addressList());
    for (let round = 0; round < 2; round++) {
      await together(() => ask({ port: listed.port, path: "/webhooks/vans", body }));
    }
    expect([...failures, ...listed.failures]).toEqual([]);
    for (const { refusals } of [store, listed.store]) {
      expect(new Set(refusals.map(({ reason }) => reason))).toEqual(new Set(["unauthenticated"]));
    }
    expect((await ask({ port: listed.port, path: "/webhooks/vans", from: OTHER, body })).status).toBe(200);
  });

  test("behind a trusted proxy it is the sender's address that counts, in any spelling", async () => {
    const { port, checked } = await start(sharedKey("x-key"), ["127.0.0.1"]);
    const send = (secret: string, forwarded: string) => {
      const headers = { "x-key": secret, "x-forwarded-for": forwarded };
      return ask({ port, path: "/webhooks/vans", headers, body });
    };
    const startedMs = performance.now();
    for (let round = 0; round < 3; round++) {
      await together((i) => send("guess", i % 2 ? "::ffff:203.0.113.7" : "203.0.113.7:4711"));
    }
    expect(checked()).toBeLessThan(20 + CONNECTIONS + (6 * (performance.now() - startedMs)) / 1000);
    expect((await send(KEY, "203.0.113.8")).status).toBe(200);
  });

  test("a sender that was right before gets in among the guesses of its neighbour", async () => {
    const { port, store } = await start(sharedKey("x-key"));
    const send = (secret: string) =>
      ask({ port, path: "/webhooks/vans", headers: { "x-key": secret }, body });
    expect((await send(KEY)).status).toBe(200);
    for (let round = 0; round < 3; round++) {
      const flood = together(() => send("guess"));
      expect((await send(KEY)).status).toBe(200);
      await flood;
    }
    expect(store.refusals.map(({ reason }) => reason)).not.toContain("guessing");
  });
});

describe("at the MQTT port", () => {
  async function start() {
    const seen = watch();
    const devices = ["van-1", "van-2"].map((username) => ({
      username,
      password: `secret of ${username}`,
      source: "fleet",
      topics: ["%u/#"],
    }));
    const broker = await startBroker({
      name: "listen",
      host: "127.0.0.1",
      port: 0,
      devices,
      maxUnacked: 1000,
      maximumPacketBytes: 262_144,
      sources: new Map([["fleet", mqttSource("fleet")]]),
      ingest: ingestOver(memoryStore()).ingest,
      events: seen.events,
    });
    closers.push(() => broker.close(0));
    return { ...seen, broker };
  }

  /** The return code of CONNACK, or null when the connection ends without one. */
  async function logIn(
    port: number,
    username: string,
    password: string,
    from = GUESSER,
  ): Promise<number | null> {
    const socket = connect({ port, host: "127.0.0.1", localAddress: from });
    closers.push(() => void socket.destroy());
    socket.on("error", () => {});
    const clientId = `c${Math.random()}`;
    socket.write(
      mqttPacket.generate({
        cmd: "connect",
        clientId,
        username,
        password: Buffer.from(password),
        keepalive: 60,
      }),
    );
    const code = new Promise<number | null>((resolve) => {
      socket.once("data", (chunk: Buffer) => resolve(chunk[3] ?? null));
      socket.once("close", () => resolve(null));
    });
    return code.finally(() => socket.destroy());
  }

  test("a guesser waits, and is refused at last; the device, its neighbours and the page go on", async () => {
    const { broker, told, failures, problems } = await start();
    // Some wait for their turn; those beyond are refused at once.
    const flood = together((i) => logIn(broker.port, "van-1", `guess ${i}`));
    await until(() => told.some(({ reason }) => reason === "guessing"), {
      what: "a guess that is not checked",
    });
    expect(await logIn(broker.port, "van-1", "secret of van-1", OTHER)).toBe(0);
    expect(await logIn(broker.port, "van-2", "secret of van-2")).toBe(0);
    const codes = await flood;
    expect(new Set(codes)).toEqual(new Set([3, 4]));
    const checked = () => failures.filter((failure) => failure.checked).length;
    const before = checked();
    expect(before).toBeLessThanOrEqual(5 + 6);
    // From now on about one a minute: one more where this machine is slow.
    expect(await together((i) => logIn(broker.port, "van-1", `more ${i}`))).toContain(3);
    expect(checked()).toBeLessThanOrEqual(before + 1);
    expect(told).toContainEqual(expect.objectContaining({ username: "van-1", reason: "bad_login" }));
    expect(problems()).toHaveLength(1);
    expect(problems()[0]).toMatchObject({ where: "mqtt login" });
    expect(problems()[0]?.what).toContain("127.0.0.1 as van-1");
    expect(await logIn(broker.port, "van-1", "secret of van-1", OTHER)).toBe(0);
  });

  test("unknown names are treated like known ones", async () => {
    const { broker, failures } = await start();
    const codes = await Promise.all([
      together(() => logIn(broker.port, "nobody", "guess")),
      together(() => logIn(broker.port, "van-2", "guess", OTHER)),
    ]);
    const counts = codes.map((each) => each.filter((code) => code === 4).length);
    expect(Math.abs((counts[0] ?? 0) - (counts[1] ?? 0))).toBeLessThanOrEqual(2);
    expect(failures.length).toBe(2 * CONNECTIONS);
  });
});

describe("at the ops port", () => {
  async function start() {
    const { app, state } = opsApp();
    const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 });
    await once(server, "listening");
    closers.push(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const status = (from: string, headers: Record<string, string>) =>
      ask({ port, path: "/api/v1/status", method: "GET", from, headers });
    const bearerOf = (token: string) => ({ authorization: `Bearer ${token}` });
    const login = (token: string, from: string) => {
      const headers = {
        "content-type": "application/x-www-form-urlencoded",
        origin: `http://127.0.0.1:${port}`,
      };
      return ask({ port, path: "/login", from, headers, body: String(new URLSearchParams({ token })) });
    };
    return { state, status, bearerOf, login };
  }

  test.each(["as bearers", "at the login", "by both"] as const)(
    "a guesser is refused: tokens %s",
    async (how) => {
      const { state, status, bearerOf, login } = await start();
      const isLogin = (i: number) => how === "at the login" || (how === "by both" && i % 2 === 0);
      const guess = (i: number) =>
        isLogin(i) ? login(`guess ${i}`, GUESSER) : status(GUESSER, bearerOf(`guess ${i}`));
      const session = (await login(TOKEN, OTHER)).headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
      const answers = [...(await together(guess)), ...(await together(guess))];
      const of = (code: number) => answers.filter(({ status }) => status === code);
      expect(of(401).length).toBeLessThanOrEqual(10);
      expect(of(401).length + of(429).length).toBe(2 * CONNECTIONS);
      for (const { headers } of of(429)) expect(Number(headers["retry-after"])).toBeGreaterThan(0);
      const checked = state.authFailures.filter((failure) => failure.checked).length;
      expect(checked).toBeLessThanOrEqual(10 + 6);
      expect(state.authFailures).toHaveLength(2 * CONNECTIONS);
      // At this address not even the right one: no guesser learns it by trying on. But sessions go on, and all other addresses.
      expect((await status(GUESSER, bearerOf(TOKEN))).status).toBe(429);
      expect((await login(TOKEN, GUESSER)).status).toBe(429);
      expect((await status(GUESSER, { cookie: session })).status).toBe(200);
      expect((await status(OTHER, bearerOf(TOKEN))).status).toBe(200);
      expect((await status("127.0.0.3", bearerOf(TOKEN))).status).toBe(200);
      const incidents = createIncidents();
      for (const incident of state.incidents) incidents.note(incident);
      const problems = diagnoseIncidents(incidents.recent(), Date.now());
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatchObject({ severity: "warning", where: "ops login" });
    },
  );

  test("an old session that goes on asking spoils nothing", async () => {
    const { state, status, bearerOf } = await start();
    await together(() => status(GUESSER, { cookie: "waypost_session=9999999999999.old" }));
    expect(state.authFailures).toEqual([]);
    expect((await status(GUESSER, bearerOf(TOKEN))).status).toBe(200);
  });
});
