/** MQTT over a real Mosquitto: a message that is acknowledged is stored, in order and within bounds, whatever ends in between. */

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import mqtt from "mqtt";
import mqttPacket, { type Packet } from "mqtt-packet";
import { afterEach, describe, expect, test } from "vitest";
import { freePort } from "../../../sandbox/owned-process.ts";
import { startProxy } from "../../../sandbox/proxy.ts";
import { topicMatcher, withoutCovered } from "../../../src/adapters/kit/topic.ts";
import { type Publisher, publishTo } from "../../../src/commands/capture/publisher.ts";
import { withDefaults } from "../../../src/config/defaults.ts";
import { configSchema } from "../../../src/config/schema.ts";
import { StoreError } from "../../../src/ingest/store.ts";
import { type BrokerConnection, connectBroker, type MqttEvents } from "../../../src/inputs/mqtt/client.ts";
import { brokerStateOf } from "../../../src/inputs/mqtt/connection-state.ts";
import { type BrokerSettings, whyNotReliable } from "../../../src/inputs/mqtt/library.ts";
import type { Subscription } from "../../../src/inputs/mqtt/routing.ts";
import { AT_RECEIPT } from "../../../src/reading.ts";
import { startGateway } from "../../../src/server.ts";
import { because } from "../../support/because.ts";
import { createAuthority, whyNotCertificates } from "../../support/certificates.ts";
import { door, type MemoryStore, memoryStore } from "../../support/memory-store.ts";
import { startMosquitto, whyNotMosquitto } from "../../support/mosquitto.ts";
import { ingestOver, mqttSource, pointText } from "../../support/plain-vendor.ts";
import { until } from "../../support/wait.ts";

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Told = { event: keyof MqttEvents } & Record<string, unknown>;

interface Gateway {
  connection: BrokerConnection;
  store: MemoryStore;
  told: Told[];
}

const VERSIONS = [4, 5] as const;

function settingsFor(url: string, changes: Partial<BrokerSettings> = {}): BrokerSettings {
  return {
    url,
    clientId: "gateway",
    protocolVersion: 5,
    rejectUnauthorized: true,
    keepaliveS: 30,
    receiveMaximum: 500,
    maximumPacketBytes: 262_144,
    sessionExpiryS: 3600,
    ...changes,
  };
}

function connect(
  url: string,
  {
    store = memoryStore(),
    subscriptions = [{ source: mqttSource("fleet"), topics: ["fleet/#"] }],
    ...changes
  }: {
    store?: MemoryStore;
    subscriptions?: Subscription[];
  } & Partial<BrokerSettings> = {},
): Gateway {
  const told: Told[] = [];
  const events: MqttEvents = {
    brokerConnected: (event) => void told.push({ event: "brokerConnected", ...event }),
    brokerDisconnected: (event) => void told.push({ event: "brokerDisconnected", ...event }),
    brokerRefused: (event) => void told.push({ event: "brokerRefused", ...event }),
    messagesGivenUp: (event) => void told.push({ event: "messagesGivenUp", ...event }),
    failed: (event) => void told.push({ event: "failed", ...event }),
    incident: (event) => void told.push({ event: "incident", ...event }),
  };
  const { ingest } = ingestOver(store);
  const connection = connectBroker({
    broker: "main",
    settings: settingsFor(url, changes),
    subscriptions,
    ingest,
    events,
  });
  closers.push(() => connection.close(0));
  return { connection, store, told };
}

/** Connected and subscribed: a message published from now on arrives. */
async function ready(gateway: Gateway, publisher: Publisher, topic = "fleet/ready"): Promise<void> {
  const { entries } = gateway.store;
  const before = entries.length;
  await until(
    async () => {
      await publisher.publish(topic, '{"hello":"ready?"}', 1);
      return entries.length > before;
    },
    { what: "the subscription" },
  );
  await until(() => gateway.connection.state().unacked === 0, { what: "the greetings to be acknowledged" });
  entries.length = 0;
}

async function mosquitto(config: string[] = []) {
  const broker = await startMosquitto(config);
  closers.push(() => broker.stop());
  return broker;
}

async function publisherTo(url: string, options?: Parameters<typeof publishTo>[1]): Promise<Publisher> {
  const publisher = await publishTo(url, options);
  closers.push(() => publisher.close());
  return publisher;
}

const indexes = (store: MemoryStore): number[] =>
  store.stored().map(({ fixTime }) => (fixTime - 1_700_000_000_000) / 1000);

function publishAll(publisher: Publisher, from: number, to: number, qos: 0 | 1 | 2 = 1): Promise<unknown> {
  const all = Array.from({ length: to - from }, (_, i) =>
    publisher.publish("fleet/van", pointText("van", from + i), qos),
  );
  return Promise.all(all);
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe.skipIf(whyNotMosquitto() !== null).each(VERSIONS)(
  `version %i${because(whyNotMosquitto())}`,
  (protocolVersion) => {
    test("QoS 0, 1 and 2 arrive, and are acknowledged once stored", async () => {
      const broker = await mosquitto();
      const gateway = connect(broker.url, { protocolVersion });
      const publisher = await publisherTo(broker.url);
      await ready(gateway, publisher);
      for (const qos of [0, 1, 2] as const) await publishAll(publisher, qos * 10, qos * 10 + 10, qos);
      await until(() => indexes(gateway.store).length === 30, { what: "all messages" });
      expect(indexes(gateway.store).sort((a, b) => a - b)).toEqual(range(0, 30));
      await until(() => gateway.connection.state().unacked === 0, { what: "all acknowledgements" });
      expect(gateway.connection.state()).toMatchObject({ connected: true, lastError: null, unrouted: 0 });
    });

    test("messages that were not stored when the process ended come again", async () => {
      const broker = await mosquitto();
      const publisher = await publisherTo(broker.url);
      const first = connect(broker.url, { protocolVersion, receiveMaximum: 10 });
      await ready(first, publisher);
      first.store.before = () => new Promise(() => {});
      await publishAll(publisher, 0, 5);
      await until(() => first.store.waiting() === 5, { what: "messages to reach the store" });
      // As if killed: no word to the broker, nothing finished.
      await first.connection.close(0);
      expect(indexes(first.store)).toEqual([]);
      const second = connect(broker.url, { protocolVersion });
      await until(() => indexes(second.store).length >= 5, { what: "redelivery" });
      expect(indexes(second.store)).toEqual(range(0, 5));
      expect(second.told[0]).toMatchObject({ event: "brokerConnected", sessionPresent: true });
    });

    test("killed before storage: all messages come again", async () => {
      const broker = await mosquitto();
      const publisher = await publisherTo(broker.url);
      const program = new URL("../../support/never-stores.ts", import.meta.url).pathname;
      const args = ["--import", "tsx", program, broker.url, String(protocolVersion)];
      const gateway = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      closers.push(() => void gateway.kill("SIGKILL"));
      let said = "";
      gateway.stdout.on("data", (chunk) => {
        said += chunk;
      });
      await until(() => said.includes("subscribed"), { what: "the other gateway" });
      await publishAll(publisher, 0, 5);
      await until(() => said.includes("holds 5"), { what: "it to hold five messages" });
      gateway.kill("SIGKILL");
      await once(gateway, "exit");
      const next = connect(broker.url, { protocolVersion });
      await until(() => indexes(next.store).length >= 5, { what: "redelivery" });
      expect(indexes(next.store)).toEqual(range(0, 5));
    });

    test("messages published while we are away wait for us", async () => {
      const broker = await mosquitto();
      const publisher = await publisherTo(broker.url);
      const first = connect(broker.url, { protocolVersion });
      await ready(first, publisher);
      await first.connection.close(5000);
      await publishAll(publisher, 0, 200);
      const second = connect(broker.url, { protocolVersion });
      await until(() => indexes(second.store).length >= 200, { what: "the waiting messages" });
      expect(indexes(second.store)).toEqual(range(0, 200));
    });

    test("a message stored and acknowledged does not come again", async () => {
      const broker = await mosquitto();
      const publisher = await publisherTo(broker.url);
      const first = connect(broker.url, { protocolVersion });
      await ready(first, publisher);
      await publishAll(publisher, 0, 100);
      await until(() => indexes(first.store).length === 100, { what: "all messages" });
      await first.connection.close(10_000);
      const second = connect(broker.url, { protocolVersion });
      await publishAll(publisher, 100, 101);
      // Whatever came again would come before it.
      await until(() => indexes(second.store).includes(100), { what: "a new message" });
      expect(indexes(second.store)).toEqual([100]);
    });

    /** A vendor whose messages have no time: dated by their arrival, as OVMS, TeslaMate and others are. */
    function timeless() {
      const source = mqttSource("fleet");
      source.adapter = {
        ...source.adapter,
        decode: () => [
          {
            ...{ deviceId: "van", fixTime: AT_RECEIPT, latitude: 32.78, longitude: -96.8 },
            ...{ speedMps: null, headingDeg: null, path: "" },
          },
        ],
      };
      return [{ source, topics: ["fleet/van"] }];
    }

    const verdicts = ({ store }: Gateway) =>
      store.entries.flatMap((entry) =>
        entry.kind === "decoded" ? [...entry.rejections.keys(), "read"] : [],
      );

    test("a message that comes again after a cut connection is as old as it was, not a new position", async () => {
      const broker = await mosquitto();
      const way = await startProxy(broker.port);
      closers.push(() => way.stop());
      const subscriptions = timeless();
      const gateway = connect(`mqtt://127.0.0.1:${way.port}`, { protocolVersion, subscriptions });
      const publisher = await publisherTo(broker.url);
      await until(() => gateway.connection.state().subscribed, { what: "the subscription" });
      // Stored, but the acknowledgement does not leave before the connection is cut.
      const slow = door();
      gateway.store.before = () => slow.opened;
      await publishAll(publisher, 0, 1);
      await until(() => gateway.store.waiting() === 1, { what: "the message at the store" });
      const arrivedAt = gateway.connection.state().oldestUnackedAtMs ?? 0;
      way.reset();
      await until(() => !gateway.connection.state().connected, { what: "the loss" });
      slow.open();
      await until(() => gateway.store.entries.length === 2, { what: "the message again" });
      expect(gateway.store.stored().map(({ fixTime }) => fixTime)).toEqual([arrivedAt, arrivedAt]);
      await publishAll(publisher, 1, 2);
      await until(() => gateway.store.entries.length === 3, { what: "a new one" });
      expect(gateway.store.stored()[2]?.fixTime).toBeGreaterThan(arrivedAt);
      expect(verdicts(gateway)).toEqual(["read", "read", "read"]);
    });

    test("a message that comes again to a process that cannot know its age is no position of now, and is counted", async () => {
      const broker = await mosquitto();
      const publisher = await publisherTo(broker.url);
      const first = connect(broker.url, { protocolVersion, subscriptions: timeless() });
      await until(() => first.connection.state().subscribed, { what: "the subscription" });
      first.store.before = () => new Promise(() => {});
      await publishAll(publisher, 0, 1);
      await until(() => first.store.waiting() === 1, { what: "the message at the store" });
      await first.connection.close(0);
      const second = connect(broker.url, { protocolVersion, subscriptions: timeless() });
      await until(() => second.store.entries.length === 1, { what: "the message again" });
      expect(verdicts(second)).toEqual(["resent_without_time", "read"]);
      expect(second.store.stored()).toEqual([]);
      await until(() => second.connection.state().unacked === 0, { what: "the acknowledgement" });
      await publishAll(publisher, 1, 2);
      await until(() => second.store.stored().length === 1, { what: "a new one" });
    });

    test("a retained message is passed on as such", async () => {
      const broker = await mosquitto();
      const raw = await mqtt.connectAsync(broker.url);
      closers.push(() => raw.endAsync());
      await raw.publishAsync("fleet/van", pointText("van", 0), { qos: 1, retain: true });
      const retained: unknown[] = [];
      const source = mqttSource("fleet");
      source.adapter = {
        ...source.adapter,
        format: (message) => (retained.push(message.retained) > 0 ? "json" : "text"),
      };
      const gateway = connect(broker.url, {
        protocolVersion,
        subscriptions: [{ source, topics: ["fleet/#"] }],
      });
      await until(() => indexes(gateway.store).length === 1, { what: "the retained message" });
      await raw.publishAsync("fleet/van", pointText("van", 1), { qos: 1, retain: true });
      await until(() => indexes(gateway.store).length === 2, { what: "a live one" });
      expect(retained).toEqual([true, false]);
    });

    test("a message that cannot be stored is retried, and acknowledged once it is stored", async () => {
      const broker = await mosquitto();
      const gateway = connect(broker.url, { protocolVersion, receiveMaximum: 10 });
      const publisher = await publisherTo(broker.url);
      await ready(gateway, publisher);
      let refusals = 0;
      gateway.store.before = () => {
        refusals += 1;
        throw refusals % 2 ? new StoreError("storage_unavailable", 1) : new Error("nor quarantined");
      };
      await publishAll(publisher, 0, 30);
      await until(() => refusals > 12, { what: "several attempts" });
      const stuck = gateway.connection.state();
      expect(stuck.unacked).toBeGreaterThan(0);
      expect(stuck.unacked).toBeLessThanOrEqual(20);
      expect(stuck.oldestUnackedAtMs).not.toBeNull();
      gateway.store.before = () => {};
      await until(() => indexes(gateway.store).length === 30, { what: "all messages", withinMs: 25_000 });
      expect(indexes(gateway.store)).toEqual(range(0, 30));
      await until(() => gateway.connection.state().unacked === 0, { what: "all acknowledgements" });
      expect(gateway.told.filter(({ event }) => event === "brokerDisconnected")).toEqual([]);
    });

    test("malformed goes to quarantine and is acknowledged; too large is counted and acknowledged", async () => {
      const broker = await mosquitto();
      const gateway = connect(broker.url, { protocolVersion, maximumPacketBytes: 1000, receiveMaximum: 2 });
      const publisher = await publisherTo(broker.url);
      await ready(gateway, publisher);
      for (let i = 0; i < 5; i++) {
        await publisher.publish("fleet/van", "not json", 1);
        await publisher.publish("fleet/van", "x".repeat(1001), 1);
        await publisher.publish("fleet/van", pointText("bug", i), 1);
      }
      await publishAll(publisher, 0, 1);
      await until(() => indexes(gateway.store).length === 1, { what: "the good message behind them" });
      expect(gateway.store.refusals).toEqual(Array(5).fill({ source: "fleet", reason: "too_large" }));
      const reasons = gateway.store.entries.flatMap((entry) =>
        entry.kind === "malformed" ? [entry.reason] : [],
      );
      expect(reasons.sort()).toEqual([...Array(5).fill("internal_error"), ...Array(5).fill("malformed")]);
      await until(() => gateway.connection.state().unacked === 0, { what: "all acknowledgements" });
    });

    test("a source gets a message once, however many filters match", async () => {
      const broker = await mosquitto();
      const gateway = connect(broker.url, {
        protocolVersion,
        subscriptions: [
          { source: mqttSource("all"), topics: ["fleet/#", "fleet/+/pos", "fleet/van/+"] },
          { source: mqttSource("vans"), topics: ["fleet/van/+"] },
          { source: mqttSource("positions"), topics: ["+/+/pos"] },
        ],
      });
      const publisher = await publisherTo(broker.url);
      await ready(gateway, publisher, "fleet/van/pos");
      const slow = door();
      gateway.store.before = () => slow.opened;
      for (let i = 0; i < 5; i++) await publisher.publish("fleet/van/pos", pointText("van", i), 1);
      await publisher.publish("fleet/truck", pointText("truck", 0), 1);
      await publisher.publish("other/van/pos", pointText("other", 0), 1);
      await until(() => gateway.store.waiting() >= 17, { what: "all messages at all sources" });
      slow.open();
      await until(() => gateway.connection.state().unacked === 0, { what: "all acknowledgements" });
      const bySource = (source: string) =>
        gateway.store.stored().filter((reading) => reading.source === source).length;
      expect([bySource("all"), bySource("vans"), bySource("positions")]).toEqual([6, 5, 6]);
    });

    test("closing finishes what has arrived", async () => {
      const broker = await mosquitto();
      const gateway = connect(broker.url, { protocolVersion });
      const publisher = await publisherTo(broker.url);
      await ready(gateway, publisher);
      const slow = door();
      gateway.store.before = () => slow.opened;
      await publishAll(publisher, 0, 5);
      await until(() => gateway.store.waiting() === 5, { what: "messages to reach the store" });
      const closed = gateway.connection.close(20_000);
      slow.open();
      await closed;
      expect(indexes(gateway.store)).toEqual(range(0, 5));
      const second = connect(broker.url, { protocolVersion });
      await publishAll(publisher, 5, 6);
      await until(() => indexes(second.store).includes(5), { what: "a new message" });
      expect(indexes(second.store)).toEqual([5]);
    });

    test("a broker that goes and comes back", async () => {
      const broker = await mosquitto(["persistence true", "persistence_location %dir/"]);
      const gateway = connect(broker.url, { protocolVersion });
      const publisher = await publisherTo(broker.url);
      await ready(gateway, publisher);
      await broker.restart();
      await until(() => gateway.told.some(({ event }) => event === "brokerDisconnected"), {
        what: "the loss",
      });
      await until(() => gateway.connection.state().connected, { what: "the connection" });
      await publishAll(publisher, 0, 20);
      await until(() => new Set(indexes(gateway.store)).size === 20, { what: "all messages" });
    });

    test("username and password; a refusal is reported and tried again", async () => {
      const broker = await mosquitto(["allow_anonymous false"]);
      const gateway = connect(broker.url, { protocolVersion, username: "gateway", password: "wrong" });
      await until(() => gateway.told.filter(({ event }) => event === "brokerRefused").length >= 2, {
        what: "two refusals",
      });
      expect(gateway.connection.state()).toMatchObject({
        connected: false,
        lastError: expect.stringMatching(/not authorized/i),
      });
    });
  },
);

describe("against a broker that this test plays", () => {
  interface Peer {
    url: string;
    /** The n-th connection made to it. */
    connection(n: number): Promise<{ send(packet: Packet): void; got: Packet[]; socket: Socket }>;
  }

  async function scripted(
    protocolVersion: 4 | 5,
    { grant = () => 1 }: { grant?: (subscribe: number) => number } = {},
  ): Promise<Peer> {
    let subscribes = 0;
    const connections: { send(packet: Packet): void; got: Packet[]; socket: Socket }[] = [];
    const server = createServer((socket) => {
      const parser = mqttPacket.parser({ protocolVersion });
      const send = (packet: Packet): void =>
        void socket.write(mqttPacket.generate(packet, { protocolVersion }));
      const got: Packet[] = [];
      parser.on("packet", (packet) => {
        got.push(packet);
        if (packet.cmd === "connect") {
          send({ cmd: "connack", returnCode: 0, reasonCode: 0, sessionPresent: connections.length > 1 });
        }
        if (packet.cmd === "subscribe") {
          subscribes += 1;
          const granted = packet.subscriptions.map(() => grant(subscribes));
          send({ cmd: "suback", messageId: packet.messageId ?? 0, granted });
        }
        if (packet.cmd === "pingreq") send({ cmd: "pingresp" });
        if (packet.cmd === "disconnect") socket.end();
      });
      socket.on("data", (chunk) => parser.parse(chunk));
      socket.on("error", () => {});
      connections.push({ send, got, socket });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => void server.close());
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return {
      url: `mqtt://127.0.0.1:${address.port}`,
      connection: (n) =>
        until(() => (connections[n]?.got.length ?? 0) > 0 && connections[n], { what: `connection ${n}` }),
    };
  }

  function publishPacket(
    index: number,
    { qos = 1, dup = false }: { qos?: 0 | 1; dup?: boolean } = {},
  ): Packet {
    return {
      cmd: "publish",
      topic: "fleet/van",
      payload: pointText("van", index),
      qos,
      dup,
      retain: false,
      ...(qos === 0 ? {} : { messageId: index + 1 }),
    };
  }

  const acked = (got: Packet[]) =>
    got.flatMap((packet) => (packet.cmd === "puback" ? [(packet.messageId ?? 0) - 1] : []));

  test.each(VERSIONS)(
    "version %i: the connection asks for its session and its limits",
    async (protocolVersion) => {
      const peer = await scripted(protocolVersion);
      connect(peer.url, { protocolVersion, receiveMaximum: 7, maximumPacketBytes: 1000 });
      const { got } = await peer.connection(0);
      await until(() => got.length === 2, { what: "CONNECT and SUBSCRIBE" });
      const properties = { sessionExpiryInterval: 3600, receiveMaximum: 7, maximumPacketSize: 64_000 };
      expect(got).toMatchObject([
        {
          cmd: "connect",
          clean: false,
          clientId: "gateway",
          ...(protocolVersion === 5 ? { properties } : {}),
        },
        {
          cmd: "subscribe",
          subscriptions: [{ topic: "fleet/#", qos: 1, ...(protocolVersion === 5 ? { rh: 1 } : {}) }],
        },
      ]);
    },
  );

  test.each(VERSIONS)(
    "version %i: no acknowledgement before storage, then in order of arrival",
    async (protocolVersion) => {
      const peer = await scripted(protocolVersion);
      const gateway = connect(peer.url, { protocolVersion });
      const { got, send } = await peer.connection(0);
      const doors = range(0, 5).map(door);
      gateway.store.before = (entry) =>
        entry.kind === "decoded"
          ? doors[((entry.readings[0]?.fixTime ?? 0) - 1_700_000_000_000) / 1000]?.opened
          : undefined;
      for (const index of range(0, 5)) send(publishPacket(index));
      // All five are received although none is acknowledged: receiving does not wait for acknowledging.
      await until(() => gateway.store.waiting() === 5, { what: "all five at the store" });
      for (const index of [3, 1, 4]) doors[index]?.open();
      await until(() => indexes(gateway.store).length === 3, { what: "the later ones to be stored" });
      expect(acked(got)).toEqual([]);
      doors[0]?.open();
      await until(() => acked(got).length >= 2, { what: "the first two acknowledgements" });
      expect(acked(got)).toEqual([0, 1]);
      doors[2]?.open();
      await until(() => acked(got).length === 5, { what: "all acknowledgements" });
      expect(acked(got)).toEqual([0, 1, 2, 3, 4]);
    },
  );

  test.each(VERSIONS)(
    "version %i: no acknowledgement crosses into another connection",
    async (protocolVersion) => {
      const peer = await scripted(protocolVersion);
      const gateway = connect(peer.url, { protocolVersion });
      const first = await peer.connection(0);
      const slow = door();
      const slowest = door();
      gateway.store.before = () => slow.opened;
      for (const index of range(0, 3)) first.send(publishPacket(index));
      await until(() => gateway.store.waiting() === 3, { what: "three at the store" });
      first.socket.destroy();
      const second = await peer.connection(1);
      await until(() => gateway.connection.state().connected, { what: "the second connection" });
      expect(gateway.connection.state().unacked).toBe(0);
      // Packet id 1 means another message now; storing the old one ends while storing the new one has not begun.
      gateway.store.before = (entry) =>
        entry.kind === "decoded" && entry.readings[0]?.fixTime === 1_700_000_050_000
          ? slowest.opened
          : undefined;
      second.send({ ...publishPacket(50), messageId: 1 } as Packet);
      await until(() => gateway.store.waiting() >= 4, { what: "the new message at the store" });
      slow.open();
      await until(() => indexes(gateway.store).length === 3, { what: "the old ones to be stored" });
      gateway.store.before = () => {};
      slowest.open();
      second.send({ ...publishPacket(51), messageId: 9 } as Packet);
      await until(() => acked(second.got).includes(8), { what: "the last acknowledgement" });
      expect(acked(second.got)).toEqual([0, 8]);
      expect(acked(first.got)).toEqual([]);
    },
  );

  test.each(VERSIONS)(
    "version %i: a redelivery with DUP is acknowledged and is a duplicate",
    async (protocolVersion) => {
      const peer = await scripted(protocolVersion);
      const gateway = connect(peer.url, { protocolVersion });
      const first = await peer.connection(0);
      first.send(publishPacket(0));
      await until(() => acked(first.got).length === 1, { what: "the first acknowledgement" });
      first.socket.destroy();
      const second = await peer.connection(1);
      second.send(publishPacket(0, { dup: true }));
      await until(() => acked(second.got).length === 1, { what: "the second acknowledgement" });
      expect(gateway.store.entries).toHaveLength(2);
    },
  );

  test.each([
    [4, 0x80],
    [5, 0x97],
  ] as const)(
    "version %i: a refused subscription is reported, shown, and tried again",
    async (protocolVersion, code) => {
      let allowed = false;
      const grant = (nth: number) => (allowed && nth > 2 ? 1 : code);
      const peer = await scripted(protocolVersion, { grant });
      const gateway = connect(peer.url, { protocolVersion });
      const { got } = await peer.connection(0);
      const asked = () => got.filter(({ cmd }) => cmd === "subscribe").length;
      await until(() => asked() === 2, { what: "a second SUBSCRIBE" });
      await until(() => gateway.told.filter(({ event }) => event === "brokerRefused").length === 2, {
        what: "both refusals",
      });
      expect(brokerStateOf(gateway.connection.state())).toMatchObject({
        state: "refused",
        reason: expect.stringMatching(/^subscription refused: /),
      });
      allowed = true;
      await until(() => gateway.connection.state().subscribed, { what: "the subscription" });
      expect(brokerStateOf(gateway.connection.state())).toMatchObject({ state: "connected", reason: null });
      expect(gateway.connection.state()).toMatchObject({ refused: false, lastError: null });
    },
  );

  test("a session that is gone is subscribed anew, one that is resumed is not", async () => {
    const peer = await scripted(5);
    connect(peer.url);
    const first = await peer.connection(0);
    await until(() => first.got.some(({ cmd }) => cmd === "subscribe"), { what: "SUBSCRIBE" });
    first.send(publishPacket(0));
    await until(() => acked(first.got).length === 1, { what: "an acknowledgement" });
    first.socket.destroy();
    const second = await peer.connection(1);
    second.send(publishPacket(1));
    await until(() => acked(second.got).length === 1, { what: "an acknowledgement" });
    expect(second.got.filter(({ cmd }) => cmd === "subscribe")).toEqual([]);
  });

  test.each([
    ["QoS 0", 0],
    ["QoS 1, from a broker that knows no window", 1],
  ] as const)("%s: reading stops at the window, and the link outlives it", async (_what, qos) => {
    const peer = await scripted(4);
    const gateway = connect(peer.url, { protocolVersion: 4, receiveMaximum: 20, keepaliveS: 1 });
    const { send, got } = await peer.connection(0);
    const slow = door();
    gateway.store.before = () => slow.opened;
    for (const index of range(0, 200)) send(publishPacket(index, { qos }));
    await until(() => gateway.store.waiting() === 21, { what: "the window and the one that found it full" });
    // Twice as long as the library waits for a PINGRESP that lies unread.
    await until(() => got.filter(({ cmd }) => cmd === "pingreq").length >= 8, { what: "eight pings" });
    expect(gateway.store.waiting()).toBe(21);
    slow.open();
    await until(() => indexes(gateway.store).length === 200, { what: "all messages" });
    expect(indexes(gateway.store)).toEqual(range(0, 200));
    expect(gateway.told.filter(({ event }) => event === "brokerDisconnected")).toEqual([]);
  });

  test("QoS 0 that cannot be stored survives a lost connection", async () => {
    const peer = await scripted(4);
    const gateway = connect(peer.url, { protocolVersion: 4 });
    const first = await peer.connection(0);
    gateway.store.before = () => {
      throw new StoreError("storage_unavailable", 1);
    };
    first.send(publishPacket(0, { qos: 0 }));
    await until(() => gateway.connection.state().unacked === 1, { what: "the message" });
    first.socket.destroy();
    await peer.connection(1);
    gateway.store.before = () => {};
    await until(() => indexes(gateway.store).length === 1, { what: "the message to be stored" });
  });

  test("messages of filters that no source has any more are acknowledged and counted", async () => {
    const peer = await scripted(5);
    const gateway = connect(peer.url);
    const { send, got } = await peer.connection(0);
    send({ ...publishPacket(0), topic: "old/topic" } as Packet);
    await until(() => acked(got).length === 1, { what: "the acknowledgement" });
    expect(gateway.connection.state()).toMatchObject({ messages: 1, unrouted: 1 });
  });
});

describe.skipIf(whyNotMosquitto() !== null)(`brokers${because(whyNotMosquitto())}`, () => {
  test("several at once", async () => {
    const brokers = [await mosquitto(), await mosquitto()];
    const gateways = brokers.map(({ url }) => connect(url));
    for (const [i, gateway] of gateways.entries()) {
      const publisher = await publisherTo(brokers[i]?.url ?? "");
      await ready(gateway, publisher);
      await publishAll(publisher, i, i + 1);
    }
    await until(() => gateways.every(({ store }) => indexes(store).length === 1), {
      what: "one message from each",
    });
    expect(gateways.map(({ store }) => indexes(store))).toEqual([[0], [1]]);
  });

  test("over a websocket", async () => {
    const broker = await mosquitto();
    const ws = await startMosquitto([`listener ${broker.port + 1} 127.0.0.1`, "protocol websockets"]);
    closers.push(() => ws.stop());
    const gateway = connect(`ws://127.0.0.1:${broker.port + 1}`);
    const publisher = await publisherTo(ws.url);
    await ready(gateway, publisher);
    await publishAll(publisher, 0, 3);
    await until(() => indexes(gateway.store).length === 3, { what: "all messages" });
  });

  test.skipIf(whyNotCertificates() !== null)(
    `TLS, client certificate, username and password${because(whyNotCertificates())}`,
    async () => {
      const authority = createAuthority();
      closers.push(authority.remove);
      const server = authority.sign("broker");
      const client = authority.sign("gateway");
      const passwords = `${authority.caFile}.passwords`;
      writeFileSync(passwords, "");
      execFileSync("mosquitto_passwd", ["-b", passwords, "gateway", "right"], { stdio: "pipe" });
      const broker = await mosquitto([
        "allow_anonymous false",
        `password_file ${passwords}`,
        `cafile ${authority.caFile}`,
        `certfile ${server.certFile}`,
        `keyfile ${server.keyFile}`,
        "require_certificate true",
      ]);
      const login = {
        username: "gateway",
        password: "right",
        ca: authority.ca,
        cert: client.cert,
        key: client.key,
      };
      const url = `mqtts://localhost:${broker.port}`;
      const gateway = connect(url, login);
      const publisher = await publisherTo(url, login);
      await ready(gateway, publisher);
      await publishAll(publisher, 0, 3);
      await until(() => indexes(gateway.store).length === 3, { what: "all messages" });
      const other = connect(url, { clientId: "stranger", username: "gateway", password: "right" });
      await until(() => other.connection.state().lastError !== null, { what: "a refusal" });
      expect(other.connection.state().connected).toBe(false);
    },
  );

  test("publishing where no broker listens fails at once", async () => {
    await expect(publishTo("mqtt://127.0.0.1:1")).rejects.toThrow();
  });
});

test("a library that lacks what we rely on stops the start before anything is opened", async () => {
  expect(whyNotReliable()).toBeNull();
  const { reschedulePing } = mqtt.MqttClient.prototype;
  const webhookPort = await freePort();
  const config = configSchema.parse({
    http: { port: webhookPort },
    ops: { port: 0, token: "a-token-of-24-characters-" },
    mqtt: { brokers: { main: { url: "mqtt://127.0.0.1:1", clientId: "gateway" } } },
    sources: { cars: { vendor: "ovms", destination: "acme", mqtt: { broker: "main" } } },
    destinations: {
      acme: { tenant: 1, provider: "p", appKey: "k", clientId: "c", clientSecret: "s" },
    },
  });
  Reflect.deleteProperty(mqtt.MqttClient.prototype, "reschedulePing");
  try {
    expect(whyNotReliable()).toContain("client.reschedulePing");
    await expect(startGateway({ ...withDefaults(config), proxy: {}, tenants: {} })).rejects.toThrow(
      /^Cannot start: mqtt\.brokers: this version of MQTT\.js .*client\.reschedulePing.*npm ci/,
    );
  } finally {
    mqtt.MqttClient.prototype.reschedulePing = reschedulePing;
  }
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(webhookPort, resolve));
  await new Promise((resolve) => taken.close(resolve));
});

describe("topic filters", () => {
  test.each([
    ["a/b", "a/b", true],
    ["a/b", "a/b/c", false],
    ["a/+", "a/b", true],
    ["a/+", "a", false],
    ["a/+/c", "a//c", true],
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["#", "a/b", true],
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true],
    ["/a", "/a", true],
    ["+/a", "/a", true],
    ["$share/group/a/+", "a/b", true],
  ])("%s and %s: %s", (filter, topic, expected) => {
    expect(topicMatcher(filter)(topic)).toBe(expected);
  });

  test("what another filter includes is left out", () => {
    expect(withoutCovered(["a/+", "a/#", "a/b", "b/c", "+/c", "a/#"])).toEqual(["a/#", "+/c"]);
    expect(withoutCovered(["a/+", "+/b", "#", "$SYS/x"])).toEqual(["#", "$SYS/x"]);
    expect(withoutCovered(["$share/g/#", "a"])).toEqual(["$share/g/#", "a"]);
  });
});
