/** Shares of a port's connections, over real sockets from several addresses: 127.0.0.x are all this machine's. */

import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createWebhookApp } from "../../src/inputs/webhook/app.ts";
import { serveWebhooks } from "../../src/inputs/webhook/server.ts";
import {
  type ConnectionCapOptions,
  createConnectionCap,
  guardConnections,
} from "../../src/limits/connections.ts";
import { descriptorLimit, divideDescriptors, type PortSettings } from "../../src/limits/descriptors.ts";
import { createProxyTest } from "../../src/limits/remote-address.ts";
import { createDispatcher } from "../../src/network.ts";
import { because } from "../support/because.ts";
import { createAuthority, whyNotCertificates } from "../support/certificates.ts";
import { memoryStore } from "../support/memory-store.ts";
import { ingestOver, KEY, plainSource, pointText } from "../support/plain-vendor.ts";
import { until } from "../support/wait.ts";

/** No source here asks for a confirmation. */
const nowhere = createDispatcher({ httpProxy: null, httpsProxy: null, noProxy: "" });

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function capOf(options: Partial<ConnectionCapOptions>) {
  const refused: string[] = [];
  const cap = createConnectionCap({
    total: 100,
    perAddress: 100,
    onRefused: (reason, share) => void refused.push(`${share} ${reason}`),
    ...options,
  });
  return { cap, refused };
}

/** Connected and silent. */
async function halfOpen(port: number, localAddress = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {}).resume();
  closers.push(() => void socket.destroy());
  await once(socket, "connect");
  return socket;
}

async function webhooks(options: Partial<ConnectionCapOptions>, encrypted = false) {
  const { cap, refused } = capOf(options);
  const events = {
    webhookAnswered() {},
    sourceUnknown() {},
    failed() {},
    confirmationEnded() {},
    authFailed() {},
    incident() {},
  };
  const app = createWebhookApp({
    sources: new Map([["vans", plainSource("vans")]]),
    ingest: ingestOver(memoryStore()).ingest,
    limits: { bodyLimitBytes: 100_000, answerWithinMs: 10_000 },
    trustedProxies: [],
    confirmVia: nowhere,
    connections: cap,
    events,
  });
  const authority = encrypted ? createAuthority() : null;
  if (authority) closers.push(authority.remove);
  const server = await serveWebhooks({
    ...{ app, host: "127.0.0.1", port: 0, connections: cap },
    ...(authority ? { tls: authority.sign("gateway") } : {}),
  });
  closers.push(() => server.close(0));
  let fix = 0;
  /** Rejects where it is not let in. */
  const send = (localAddress: string, { key = KEY, agent = false as Agent | false } = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { "x-key": key };
      const path = "/webhooks/vans";
      const to = { host: "127.0.0.1", port: server.port, path, method: "POST", headers, agent, localAddress };
      const outgoing = request(to, (answer) => {
        answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
      });
      outgoing.on("error", reject);
      fix += 1;
      outgoing.end(pointText("van", fix));
    });
  return { cap, refused, server, send };
}

test("one address's silent connections end at its share, others are let in", async () => {
  const { server, send, refused } = await webhooks({ perAddress: 3 });
  for (let i = 0; i < 3; i += 1) await halfOpen(server.port, "127.0.0.9");
  const extra = await halfOpen(server.port, "127.0.0.9");
  await once(extra, "close");
  expect(refused).toEqual(["127.0.0.9 address_full"]);
  expect(await send("127.0.0.1")).toBe(200);
});

test("at the flooded address itself a sender gets in: silent connections make room after a moment", async () => {
  const { server, send, refused } = await webhooks({ perAddress: 3 });
  for (let i = 0; i < 3; i += 1) await halfOpen(server.port);
  await until(async () => (await send("127.0.0.1")) === 200, { what: "the sender to get in" });
  expect(refused).toContain("127.0.0.1 made_room");
});

test("authenticated senders' connections count against no address, and no flood closes them", async () => {
  const { server, send, cap, refused } = await webhooks({ total: 8, perAddress: 2 });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const others = Array.from({ length: 3 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  closers.push(() => {
    for (const each of [agent, ...others]) each.destroy();
  });
  for (const each of [agent, ...others]) expect(await send("127.0.0.1", { agent: each })).toBe(200);
  expect(refused).toEqual([]);
  for (let i = 10; i < 40; i += 1) await halfOpen(server.port, `127.0.0.${i}`);
  await until(() => refused.length >= 26, { what: "the flood to be refused" });
  expect(cap.count()).toBe(8);
  const held = agent.freeSockets;
  expect(await send("127.0.0.1", { agent })).toBe(200);
  expect(Object.keys(held).length).toBeGreaterThan(0);
  // A new connection of a trusted address gets in at once.
  expect(await send("127.0.0.1")).toBe(200);
});

test("when the port is full, the oldest silent one makes room for an unknown address", async () => {
  const { server, send, refused } = await webhooks({ total: 5 });
  for (let i = 10; i < 15; i += 1) await halfOpen(server.port, `127.0.0.${i}`);
  await until(async () => (await send("127.0.0.2")) === 200, { what: "the newcomer" });
  expect(refused.filter((line) => line.endsWith("made_room"))).toEqual(["127.0.0.10 made_room"]);
});

test("a wrong key authenticates nothing", async () => {
  const { server, send, refused } = await webhooks({ total: 4 });
  const agents = Array.from({ length: 4 }, () => new Agent({ keepAlive: true }));
  closers.push(() => {
    for (const agent of agents) agent.destroy();
  });
  for (const agent of agents) expect(await send("127.0.0.9", { key: "wrong", agent })).toBe(401);
  await until(async () => (await send("127.0.0.1")) === 200, { what: "the sender to get in" });
  expect(refused).toContain("127.0.0.9 made_room");
  expect(server.port).toBeGreaterThan(0);
});

test("one source's senders leave room for others: its oldest connection is closed", async () => {
  const { send, refused, cap } = await webhooks({ perOwner: 2 });
  const agents = Array.from({ length: 3 }, () => new Agent({ keepAlive: true }));
  closers.push(() => {
    for (const agent of agents) agent.destroy();
  });
  for (const agent of agents) expect(await send("127.0.0.1", { agent })).toBe(200);
  expect(refused).toEqual(["127.0.0.1 owner_full"]);
  expect(cap.count()).toBe(2);
});

test.skipIf(whyNotCertificates() !== null)(
  `TLS handshakes that never end are refused before they begin${because(whyNotCertificates())}`,
  async () => {
    const { server, refused, cap } = await webhooks({ perAddress: 2 }, true);
    for (let i = 0; i < 2; i += 1) await halfOpen(server.port);
    const extra = await halfOpen(server.port);
    await once(extra, "close");
    expect(refused).toEqual(["127.0.0.1 address_full"]);
    // Until one makes room, with a handshake begun on it.
    await until(async () => (await halfOpen(server.port)) && refused.includes("127.0.0.1 made_room"), {
      what: "room",
    });
    expect(cap.count()).toBe(2);
  },
);

test("a trusted proxy has no share of its own, only the port's", async () => {
  const { cap, refused } = capOf({ total: 6, perAddress: 2, isProxy: createProxyTest(["127.0.0.7/32"]) });
  const server = createServer(() => {});
  guardConnections(server, cap);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => void server.close());
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  for (let i = 0; i < 6; i += 1) await halfOpen(port, "127.0.0.7");
  await until(() => cap.count() === 6, { what: "all of the proxy's" });
  await once(await halfOpen(port, "127.0.0.7"), "close");
  expect(refused).toEqual(["127.0.0.7 port_full"]);
});

describe("descriptors", () => {
  // Four lanes, one token, one vendor.
  const settings = (http: PortSettings = {}, listen: PortSettings = {}) => ({ http, listen, outgoing: 6 });

  test("the process's limit is read", () => {
    expect(descriptorLimit()).toBeGreaterThan(100);
  });

  test.each([
    [256, 256],
    [1024, 1024],
    [4096, 4096],
  ])("of %i the ports and the reserve take no more than that", (limit, most) => {
    const { webhook, mqtt, ops, reserve, lacking } = divideDescriptors(settings(), limit);
    expect(webhook.total + mqtt.total + ops.total + reserve).toBeLessThanOrEqual(most);
    expect(Math.abs(webhook.total - mqtt.total)).toBeLessThanOrEqual(1);
    expect(webhook.total).toBeGreaterThan(limit / 5);
    expect(lacking).toBeNull();
  });

  test("what one port does not want, the other gets; without a broker all is for webhooks", () => {
    expect(divideDescriptors(settings({ maxConnections: 50 }), 1024).webhook.total).toBe(50);
    expect(divideDescriptors(settings({ maxConnections: 50 }), 1024).mqtt.total).toBeGreaterThan(700);
    expect(divideDescriptors(settings({}, { maxConnections: 50 }), 1024).webhook.total).toBeGreaterThan(700);
    const none = { ...settings(), listen: undefined };
    expect(divideDescriptors(none, 1024).webhook.total).toBeGreaterThan(800);
  });

  test("no limit is no more than a port can use, and settings hold", () => {
    const { webhook, mqtt } = divideDescriptors(
      settings({ maxConnectionsPerAddress: 7 }),
      Number.POSITIVE_INFINITY,
    );
    expect(webhook).toEqual({ total: 10_000, perAddress: 7 });
    expect(mqtt).toEqual({ total: 10_000, perAddress: 250 });
  });

  test("too low a limit is reported, with what it has to be", () => {
    expect(divideDescriptors(settings(), 64).lacking).toBeGreaterThan(64);
  });
});
