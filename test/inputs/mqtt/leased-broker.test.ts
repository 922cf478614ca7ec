/** One process holds a broker's session: through an outage of Redis, and until another one has it. */

import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { startProxy } from "../../../sandbox/proxy.ts";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { type Publisher, publishTo } from "../../../src/commands/capture/publisher.ts";
import { StoreError } from "../../../src/ingest/store.ts";
import type { MqttEvents } from "../../../src/inputs/mqtt/client.ts";
import { leasedBroker } from "../../../src/inputs/mqtt/leased-broker.ts";
import { holdLease } from "../../../src/queue/redis/lease.ts";
import { because } from "../../support/because.ts";
import { memoryStore } from "../../support/memory-store.ts";
import { type Mosquitto, startMosquitto, whyNotMosquitto } from "../../support/mosquitto.ts";
import { ingestOver, mqttSource, pointText } from "../../support/plain-vendor.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000) });

let server: PrivateRedis;
const closers: (() => Promise<unknown> | unknown)[] = [];
beforeAll(async () => {
  server = await startPrivateRedis();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => server.stop());

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** A gateway process, as far as its broker is concerned; its storage can be away for it alone. */
function gateway(url: string, protocolVersion: 4 | 5) {
  const redis = new Redis(server.url, { commandTimeout: 2000 });
  redis.on("error", () => {});
  const store = memoryStore();
  const told: string[] = [];
  const tell = (name: string) => () => void told.push(name);
  const events: MqttEvents = {
    brokerConnected: tell("connected"),
    brokerDisconnected: tell("disconnected"),
    brokerRefused: tell("refused"),
    messagesGivenUp: ({ messages }) => void told.push(`gave up ${messages}`),
    failed: tell("failed"),
    incident: tell("incident"),
  };
  const source = mqttSource("fleet");
  let hasExpired = false;
  const broker = leasedBroker({
    name: "main",
    wanted: {
      identity: "one",
      receiveMaximum: 50,
      settings: () => ({
        ...{ url, clientId: "gateway", protocolVersion, rejectUnauthorized: true, keepaliveS: 30 },
        ...{ receiveMaximum: 50, maximumPacketBytes: 262_144, sessionExpiryS: 3600 },
      }),
      subscriptions: [{ source, topics: ["fleet/#"] }],
    },
    acquireLease: (name, leaseEvents) =>
      holdLease(redis, name, {
        ...leaseEvents,
        expired() {
          leaseEvents.expired();
          hasExpired = true;
        },
      }),
    ingest: ingestOver(store).ingest,
    events,
  });
  let closed = false;
  const close = async (withinMs = 0) => {
    if (!closed) await broker.close(withinMs);
    closed = true;
    redis.disconnect();
  };
  closers.push(() => close());
  const away = () => {
    store.before = () => {
      throw new StoreError("storage_unavailable", 1);
    };
  };
  return {
    broker,
    store,
    told,
    expired: () => until(() => hasExpired, { what: "the lease to run out" }),
    close,
    /** No Redis for this process. */
    cutOff() {
      away();
      redis.disconnect();
    },
    /** Its messages cannot be stored, but it can ask for its lease. */
    away,
    async back() {
      store.before = () => {};
      if (redis.status === "end") await redis.connect();
    },
    indexes: () => store.stored().map(({ fixTime }) => (fixTime - 1_700_000_000_000) / 1000),
    connected: () => until(() => broker.state().state === "connected", { what: "the broker" }),
  };
}

async function mosquitto(): Promise<Mosquitto> {
  const broker = await startMosquitto();
  closers.push(() => broker.stop());
  return broker;
}

async function publisherTo(url: string): Promise<Publisher> {
  const publisher = await publishTo(url);
  closers.push(() => publisher.close());
  return publisher;
}

const publish = (publisher: Publisher, index: number, qos: 0 | 1): Promise<void> =>
  publisher.publish("fleet/van", pointText("van", index), qos);

describe.skipIf(whyNotMosquitto() !== null).each([4, 5] as const)(
  `version %i${because(whyNotMosquitto())}`,
  (protocolVersion) => {
    test("while Redis is away for longer than the lease, QoS 0 is received, held and stored", async () => {
      const { url } = await mosquitto();
      const publisher = await publisherTo(url);
      const { broker, store, told, away, back, expired, indexes, connected } = gateway(url, protocolVersion);
      await connected();
      away();
      server.kill("SIGSTOP");
      try {
        for (const index of range(0, 5)) await publish(publisher, index, 0);
        await expired();
        for (const index of range(5, 10)) await publish(publisher, index, 0);
        await until(() => broker.state().unacked === 10, { what: "all of them to be held" });
        expect(broker.state()).toMatchObject({ state: "connected" });
      } finally {
        server.kill("SIGCONT");
      }
      await back();
      await until(() => indexes().length === 10, { what: "all of them to be stored" });
      expect(indexes()).toEqual(range(0, 10));
      expect(told).toEqual(["connected"]);
      expect(store.refusals).toEqual([]);
    });

    test("a connection that ends meanwhile is made again when Redis is back, and what it held is stored", async () => {
      const { port, url } = await mosquitto();
      const way = await startProxy(port);
      closers.push(() => way.stop());
      const publisher = await publisherTo(url);
      const gate = gateway(`mqtt://127.0.0.1:${way.port}`, protocolVersion);
      const { broker, told, cutOff, back, expired, indexes, connected } = gate;
      await connected();
      cutOff();
      await publish(publisher, 0, 0);
      await publish(publisher, 1, 1);
      await until(() => broker.state().unacked === 2, { what: "both to be held" });
      await expired();
      way.reset();
      await until(() => broker.state().state === "standby", { what: "the connection to be left" });
      expect(broker.state()).toMatchObject({ reason: "storage is away", unacked: 1 });
      await back();
      await until(() => indexes().length === 2, { what: "both to be stored" });
      expect(indexes().sort()).toEqual([0, 1]);
      await connected();
      expect(told).toEqual(["connected", "disconnected", "connected"]);
    });

    test("another process that reaches Redis takes over within 5 s, and the first does not fight for the session", async () => {
      const { url } = await mosquitto();
      const publisher = await publisherTo(url);
      const first = gateway(url, protocolVersion);
      await first.connected();
      const second = gateway(url, protocolVersion);
      await until(() => second.broker.state().reason === "another process holds the lease", {
        what: "it to stand by",
      });
      first.cutOff();
      const cutAt = performance.now();
      await publish(publisher, 0, 0);
      for (const index of range(1, 4)) await publish(publisher, index, 1);
      await until(() => first.broker.state().unacked === 4, { what: "messages that cannot be stored" });
      // What the broker still holds for the session comes to the process that has it.
      await until(() => second.indexes().length === 3, { what: "them to come to the other" });
      const tookMs = performance.now() - cutAt;
      expect(second.indexes()).toEqual([1, 2, 3]);
      expect(tookMs).toBeLessThan(scaled(5000));
      await until(() => first.broker.state().state === "standby", { what: "the first to stand by" });
      // The broker does not send this one again: it is held, and stored when storage is back.
      expect(first.broker.state().unacked).toBe(1);
      await first.back();
      await until(() => first.indexes().length === 1, { what: "the last one" });
      expect(first.indexes()).toEqual([0]);
      await until(() => first.broker.state().reason === "another process holds the lease", {
        what: "it to learn of the other",
      });
      await publish(publisher, 4, 1);
      await until(() => second.indexes().includes(4), { what: "a new message" });
      expect(first.told.filter((name) => name === "connected")).toHaveLength(1);
      expect(second.told).toEqual(["connected"]);
      expect(first.store.refusals).toEqual([]);
    });

    test("QoS 0 that cannot be stored until the end is counted", async () => {
      const { url } = await mosquitto();
      const publisher = await publisherTo(url);
      const { broker, store, told, cutOff, close, connected } = gateway(url, protocolVersion);
      await connected();
      cutOff();
      for (const index of range(0, 3)) await publish(publisher, index, 0);
      await publish(publisher, 3, 1);
      await until(() => broker.state().unacked === 4, { what: "messages that cannot be stored" });
      await close(100);
      expect(store.refusals).toEqual(Array(3).fill({ source: "fleet", reason: "given_up" }));
      expect(told).toEqual(["connected", "gave up 3"]);
    });
  },
);
