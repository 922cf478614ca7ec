/** The embedded broker over real MQTT: which device may publish what, and that PUBACK means stored. */

import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { connect as connectTls } from "node:tls";
import mqtt, { type IClientOptions, MqttClient } from "mqtt";
import mqttPacket, { type Packet } from "mqtt-packet";
import { afterEach, describe, expect, test } from "vitest";
import { owntracks } from "../../../src/adapters/owntracks.ts";
import { publishTo } from "../../../src/commands/capture/publisher.ts";
import type { Source } from "../../../src/ingest/source.ts";
import { speaksForOf } from "../../../src/ingest/speaks-for.ts";
import { StoreError } from "../../../src/ingest/store.ts";
import {
  type EmbeddedBrokerEvents,
  type EmbeddedBrokerOptions,
  startBroker,
} from "../../../src/inputs/mqtt/broker.ts";
import { createUnacked } from "../../../src/inputs/mqtt/broker-limits.ts";
import { createFrameGuard } from "../../../src/inputs/mqtt/frames.ts";
import { AT_RECEIPT } from "../../../src/reading.ts";
import type { Incident, IncidentSubject } from "../../../src/status/process.ts";
import { because } from "../../support/because.ts";
import { createAuthority, whyNotCertificates } from "../../support/certificates.ts";
import { door, memoryStore } from "../../support/memory-store.ts";
import { ingestOver, mqttSource, pointText } from "../../support/plain-vendor.ts";
import { until } from "../../support/wait.ts";

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const devices = ["van-1", "van-2"].map((username) => ({
  username,
  password: `secret of ${username}`,
  source: "fleet",
  topics: ["%u/#"],
}));

async function start(changes: Partial<EmbeddedBrokerOptions> = {}) {
  const store = memoryStore();
  const told: Record<string, unknown>[] = [];
  const refused: string[] = [];
  const incidents: Incident[] = [];
  const ended: IncidentSubject[] = [];
  const events: EmbeddedBrokerEvents = {
    deviceRefused: (event) => void told.push({ event: "deviceRefused", ...event }),
    messagesGivenUp: (event) => void told.push({ event: "messagesGivenUp", ...event }),
    failed: (event) => void told.push({ event: "failed", ...event }),
    authFailed: () => {},
    connectionRefused: (event) => void refused.push(event.reason),
    incident: (event) => void incidents.push(event),
    incidentEnded: (event) => void ended.push(event),
  };
  const broker = await startBroker({
    name: "listen",
    host: "127.0.0.1",
    port: 0,
    devices,
    maxUnacked: 1000,
    maximumPacketBytes: 262_144,
    sources: new Map([["fleet", mqttSource("fleet")]]),
    ingest: ingestOver(store).ingest,
    events,
    ...changes,
  });
  closers.push(() => broker.close(0));
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const device = async (username = "van-1", options: IClientOptions = {}): Promise<MqttClient> => {
    const password = `secret of ${username}`;
    const client = await mqtt.connectAsync(url, { username, password, reconnectPeriod: 0, ...options });
    client.on("error", () => {});
    closers.push(() => client.endAsync(true));
    return client;
  };
  return { broker, store, told, refused, incidents, ended, url, device };
}

/** Resolves when the connection ends; how it ends, by an error or not, is the operating system's choice. */
const closing = (client: MqttClient): Promise<void> =>
  new Promise((resolve) => void client.once("close", resolve));

const indexes = (store: ReturnType<typeof memoryStore>): number[] =>
  store.stored().map(({ fixTime }) => (fixTime - 1_700_000_000_000) / 1000);

test("QoS 0, 1 and 2 are stored", async () => {
  const { device, store } = await start();
  const client = await device();
  for (const qos of [0, 1, 2] as const)
    await client.publishAsync("van-1/pos", pointText("van-1", qos), { qos });
  await until(() => indexes(store).length === 3, { what: "three messages" });
  expect(indexes(store).sort()).toEqual([0, 1, 2]);
});

test.each([1, 2] as const)("QoS %i: acknowledged after storage and not before", async (qos) => {
  const { device, store } = await start();
  const client = await device();
  const slow = door();
  store.before = () => slow.opened;
  const acks: string[] = [];
  client.on("packetreceive", ({ cmd }) => {
    if (cmd.startsWith("pub")) acks.push(cmd);
  });
  const published = client.publishAsync("van-1/pos", pointText("van-1", 0), { qos });
  await until(() => store.waiting() === 1, { what: "the message at the store" });
  // An answer to a later packet: had there been an acknowledgement, it would have come first.
  await expect(client.subscribeAsync("x")).rejects.toThrow();
  expect(acks).toEqual([]);
  slow.open();
  await published;
  expect(indexes(store)).toEqual([0]);
});

test("a wrong password, an unknown name and no name are refused alike", async () => {
  const { url, broker, told } = await start();
  const attempts = [
    { username: "van-1", password: "secret of van-2" },
    { username: "who", password: "" },
    { username: "", password: "" },
    {},
  ];
  const reasons = new Set<string>();
  for (const attempt of attempts) {
    const failure = await publishTo(url, attempt).catch((error: unknown) => error);
    reasons.add(failure instanceof Error ? failure.message : "connected");
  }
  expect([...reasons]).toEqual(["Connection refused: Bad username or password"]);
  expect(broker.state().refusedLogins).toBe(4);
  expect(told[0]).toMatchObject({ event: "deviceRefused", reason: "bad_login" });
  expect(JSON.stringify(told)).not.toContain("secret");
});

test.each(["van-2/pos", "van-10/pos", "$SYS/x", "/van-1/pos"])(
  "publishing under %s ends the connection, counted",
  async (topic) => {
    const { device, store, broker } = await start();
    const client = await device();
    const closed = closing(client);
    client.publish(topic, pointText("van-1", 0), { qos: 1 });
    await closed;
    expect(store.entries).toEqual([]);
    expect(store.refusals).toEqual([{ source: "fleet", reason: "unauthenticated" }]);
    expect(broker.state().refusedPublishes).toBe(1);
  },
);

describe("a device publishes for itself only", () => {
  const sources = new Map<string, Source>([
    ["fleet", mqttSource("fleet")],
    ["phones", { ...mqttSource("phones"), adapter: owntracks }],
  ]);
  const login = (username: string, source: string, topic: string) => ({
    username,
    password: `secret of ${username}`,
    source,
    topics: [topic],
  });
  const phone = () =>
    JSON.stringify({ _type: "location", tst: Math.floor(Date.now() / 1000), lat: 30.27, lon: -97.74 });

  test.each([0, 1, 2] as const)("by its payload, QoS %i", async (qos) => {
    const { device, store } = await start();
    const client = await device();
    const foreign = ["van-2", "van-10", "VAN-1", "van-1x", "van-1\u200b"];
    const all = [...foreign, "van-1"].map((id, i) => JSON.parse(pointText(id, i)));
    await client.publishAsync("van-1/pos", JSON.stringify(all), { qos });
    for (const [i, id] of foreign.entries())
      await client.publishAsync("van-1/pos", pointText(id, 10 + i), { qos });
    await client.publishAsync("van-1/pos", pointText("van-1", 20), { qos });
    await until(() => store.entries.length === 7, { what: "seven messages" });
    expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(["van-1", "van-1"]);
    const rejected = store.entries.map((one) =>
      one.kind === "decoded" ? one.rejections.get("foreign_device") : 0,
    );
    expect(rejected.reduce<number>((sum, n = 0) => sum + n, 0)).toBe(10);
  });

  test("by a deeper topic of its own, retained or not", async () => {
    const devices = [
      login("van-1", "phones", "%u/#"),
      login("van-2", "phones", "owntracks/%u/#"),
      login("van", "phones", "#"),
    ];
    const { device, store } = await start({ devices, sources });
    const [one, two, three] = [await device("van-1"), await device("van-2"), await device("van")];
    await one.publishAsync("van-1/owntracks/van-2/phone", phone(), { qos: 1 });
    await one.publishAsync("van-1/van-2/phone", phone(), { qos: 1, retain: true });
    await three.publishAsync("owntracks/van-2/phone", phone(), { qos: 1 });
    expect(store.stored()).toEqual([]);
    expect(store.entries).toHaveLength(3);
    await two.publishAsync("owntracks/van-2/phone", phone(), { qos: 1 });
    await one.publishAsync("van-1/phone", phone(), { qos: 1 });
    expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(["van-2/phone", "van-1/phone"]);
  });

  test("although Redis was away when it published", async () => {
    const { device, store } = await start();
    const client = await device();
    let refusals = 0;
    store.before = () => {
      refusals += 1;
      if (refusals < 3) throw new StoreError("storage_unavailable", 1);
    };
    await client.publishAsync("van-1/pos", pointText("van-2", 0), { qos: 1 });
    expect(store.stored()).toEqual([]);
    expect(store.entries).toMatchObject([{ rejections: new Map([["foreign_device", 1]]) }]);
  });

  test("and for what its login lists", async () => {
    const shared = {
      ...mqttSource("fleet"),
      logins: new Map([["van-1", speaksForOf("van-1", ["truck-*"])]]),
    };
    const { device, store } = await start({ sources: new Map([["fleet", shared]]) });
    const client = await device();
    for (const [i, id] of ["truck-1", "van-1", "truck-2"].entries())
      await client.publishAsync("van-1/pos", pointText(id, i), { qos: 1 });
    expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(["truck-1", "truck-2"]);
  });
});

test("no device can subscribe, and one that tries goes on publishing", async () => {
  const { device, store } = await start();
  const spy = await device("van-2");
  const heard: string[] = [];
  spy.on("message", (topic) => void heard.push(topic));
  for (const filter of ["#", "van-2/cmd", "van-1/#", "$SYS/#"]) {
    await expect(spy.subscribeAsync(filter, { qos: 1 })).rejects.toThrow(/Unspecified error|Subscribe error/);
  }
  const client = await device();
  await client.publishAsync("van-1/pos", pointText("van-1", 0), { qos: 1, retain: true });
  await spy.publishAsync("van-2/pos", pointText("van-2", 1), { qos: 1 });
  expect(indexes(store)).toEqual([0, 1]);
  expect(heard).toEqual([]);
});

test("a last will is dropped", async () => {
  const { device, store, broker } = await start();
  const will = {
    topic: "van-1/pos",
    payload: Buffer.from(pointText("van-1", 7)),
    qos: 1 as const,
    retain: false,
  };
  const client = await device("van-1", { will });
  client.stream.destroy();
  await until(() => broker.state().connections === 0, { what: "the connection to end" });
  const next = await device();
  await next.publishAsync("van-1/pos", pointText("van-1", 1), { qos: 1 });
  expect(indexes(store)).toEqual([1]);
});

test("a device cannot push another one out by taking its client id", async () => {
  const { device, store } = await start();
  const first = await device("van-1", { clientId: "same" });
  await device("van-2", { clientId: "same" });
  await first.publishAsync("van-1/pos", pointText("van-1", 0), { qos: 1 });
  expect(first.connected).toBe(true);
  expect(indexes(store)).toEqual([0]);
  const closed = closing(first);
  await device("van-1", { clientId: "same" });
  await closed;
});

test("a message that cannot be stored is retried while the device waits", async () => {
  const { device, store } = await start();
  const client = await device();
  let refusals = 0;
  store.before = () => {
    refusals += 1;
    if (refusals < 4) throw new StoreError("storage_unavailable", 1);
  };
  await client.publishAsync("van-1/pos", pointText("van-1", 0), { qos: 1 });
  expect(refusals).toBe(4);
  expect(indexes(store)).toEqual([0]);
});

test("in the end the connection is closed without acknowledgement, and the device sends it again", async () => {
  const { device, store } = await start({ limits: { holdMs: 200 } });
  const client = await device("van-1", { reconnectPeriod: 100, clean: false, clientId: "van" });
  store.before = () => {
    throw new StoreError("storage_unavailable", 1);
  };
  const closed = closing(client);
  const published = client.publishAsync("van-1/pos", pointText("van-1", 0), { qos: 1 });
  await closed;
  store.before = () => {};
  await published;
  expect(indexes(store)).toEqual([0]);
});

test("malformed goes to quarantine, too large is counted; both are acknowledged", async () => {
  const { device, store } = await start({ maximumPacketBytes: 1000 });
  const client = await device();
  await client.publishAsync("van-1/pos", "not json", { qos: 1 });
  await client.publishAsync("van-1/pos", "x".repeat(1001), { qos: 1 });
  await client.publishAsync("van-1/pos", pointText("bug", 0), { qos: 1 });
  expect(store.entries).toMatchObject([
    { kind: "malformed", reason: "malformed" },
    { kind: "malformed", reason: "internal_error" },
  ]);
  expect(store.refusals).toEqual([{ source: "fleet", reason: "too_large" }]);
});

test("a packet far over the limit ends the connection before it is in memory", async () => {
  const { device, broker, told } = await start({ maximumPacketBytes: 10_000 });
  const client = await device();
  const closed = closing(client);
  client.publish("van-1/pos", Buffer.alloc(50_000_000), { qos: 1 });
  await closed;
  expect(told).toContainEqual({ event: "deviceRefused", client: "127.0.0.1", reason: "too_large" });
  expect(broker.state().messages).toBe(0);
});

test("sockets are not read while too much is not stored, and all of it arrives afterwards", async () => {
  const { device, store, broker } = await start({ maxUnacked: 50 });
  const slow = door();
  store.before = () => slow.opened;
  const clients = await Promise.all([device("van-1"), device("van-2")]);
  // 2 kB each, so that one read of a socket (64 kB) holds some 30 of them.
  const filler = "x".repeat(2000);
  const published = clients.flatMap((client, i) =>
    Array.from({ length: 1000 }, (_, n) => {
      const point = { ...JSON.parse(pointText(`van-${i + 1}`, n)), filler };
      return client.publishAsync(`van-${i + 1}/pos`, JSON.stringify(point), { qos: 1 });
    }),
  );
  await until(() => broker.state().paused === 1, { what: "the pause" });
  const held = store.waiting();
  expect(held).toBeGreaterThanOrEqual(50);
  expect(held).toBeLessThan(150);
  // Another connection of the source may log in, and is not read either.
  const third = await device("van-2", { clientId: "third" });
  const one = third.publishAsync("van-2/pos", pointText("van-2/third", 0), { qos: 1 });
  // An answer to a connection made later: had the message been read, it would be at the store.
  await device("van-2", { clientId: "fourth" });
  expect(store.waiting()).toBe(held);
  slow.open();
  await Promise.all([...published, one]);
  expect(indexes(store)).toHaveLength(2001);
  expect(broker.state()).toMatchObject({ unacked: 0, paused: 0 });
});

test("a source whose messages cannot be stored delays no other", async () => {
  const [van, truck] = ["van-1", "van-2"].map((username, i) => ({
    username,
    password: `secret of ${username}`,
    source: i === 0 ? "full" : "other",
    topics: ["%u/#"],
  }));
  if (!van || !truck) throw new Error("unreachable");
  const sources = new Map(["full", "other"].map((name) => [name, mqttSource(name)]));
  const { device, store, broker } = await start({ devices: [van, truck], sources, maxUnacked: 50 });
  store.before = (entry) => {
    if (entry.source === "full") throw new StoreError("buffer_full", 60);
  };
  const blocked = await device("van-1");
  for (let i = 0; i < 500; i++) blocked.publish("van-1/pos", pointText("van-1", i), { qos: 1 });
  await until(() => broker.state().paused === 1, { what: "the blocked device to wait" });
  const free = await device("van-2");
  for (let i = 0; i < 100; i++)
    await free.publishAsync("van-2/pos", pointText("van-2", i), { qos: i % 2 ? 1 : 2 });
  expect(indexes(store)).toHaveLength(100);
  expect(broker.state().paused).toBe(1);
  store.before = () => {};
  await until(() => indexes(store).length === 600, { what: "those of the blocked one" });
  await until(() => broker.state().unacked === 0, { what: "all of it" });
});

test("acknowledgements leave in order of arrival, whichever message was stored first", async () => {
  const { device, store } = await start();
  const client = await device();
  const acks: number[] = [];
  client.on("packetreceive", ({ cmd, messageId }) => {
    if (cmd === "puback") acks.push(messageId ?? 0);
  });
  const ids: number[] = [];
  client.on("packetsend", (packet) => {
    if (packet.cmd === "publish") ids.push(packet.messageId ?? 0);
  });
  // Under topics of their own, so that none waits for another to be stored.
  let refusals = 0;
  store.before = (entry) => {
    const isFirst = entry.kind === "decoded" && entry.readings[0]?.deviceId === "van-1/0";
    if (isFirst && refusals++ === 0) throw new StoreError("storage_unavailable", 1);
  };
  await Promise.all(
    Array.from({ length: 6 }, (_, i) =>
      client.publishAsync(`van-1/${i}`, pointText(`van-1/${i}`, i), { qos: 1 }),
    ),
  );
  expect(indexes(store)[5]).toBe(0);
  expect(ids).toHaveLength(6);
  expect(acks).toEqual(ids);
});

const alwaysOne = {
  allocate: () => 1,
  getLastAllocated: () => 1,
  register: () => true,
  deallocate: () => {},
  clear: () => {},
};

test("a message that a device sends again is as old as it was; of unknown age, it is no position of now", async () => {
  const timeless = mqttSource("fleet");
  timeless.adapter = {
    ...timeless.adapter,
    decode: () => [
      {
        ...{ deviceId: "van-1", fixTime: AT_RECEIPT, latitude: 32.78, longitude: -96.8 },
        ...{ speedMps: null, headingDeg: null, path: "" },
      },
    ],
  };
  const { store, device } = await start({
    sources: new Map([["fleet", timeless]]),
    limits: { holdMs: 200 },
  });
  let offeredAt = 0;
  store.before = (entry) => {
    offeredAt ||= entry.receivedAt;
    throw new StoreError("storage_unavailable", 1);
  };
  // The library numbers its packets from a random one and sends none again with DUP; a device's own does.
  const resender = { reconnectPeriod: 0, clientId: "van", messageIdProvider: alwaysOne };
  const first = await device("van-1", resender);
  const closed = closing(first);
  first.publish("van-1/pos", pointText("van-1", 0), { qos: 1 });
  await closed;
  store.before = () => {};
  const second = await device("van-1", resender);
  await second.publishAsync("van-1/pos", pointText("van-1", 0), { qos: 1, dup: true });
  expect(store.stored().map(({ fixTime }) => fixTime)).toEqual([offeredAt]);
  await second.publishAsync("van-1/pos", pointText("van-1", 1), { qos: 1, dup: true });
  expect(store.stored()).toHaveLength(1);
  expect(store.entries.at(-1)).toMatchObject({ rejections: new Map([["resent_without_time", 1]]) });
});

test("QoS 0 is retried until it is stored; what is left at the end is counted", async () => {
  const { device, store, told, broker } = await start({ limits: { holdMs: 200 } });
  const client = await device();
  let refusals = 0;
  store.before = () => {
    refusals += 1;
    throw new StoreError("storage_unavailable", 1);
  };
  const startedAt = performance.now();
  await client.publishAsync("van-1/a", pointText("van-1", 0), { qos: 0 });
  await until(() => refusals > 3 && performance.now() - startedAt > 400, { what: "it to outlast the hold" });
  expect(client.connected).toBe(true);
  store.before = () => {};
  await until(() => indexes(store).length === 1, { what: "it to be stored" });
  store.before = () => {
    throw new StoreError("storage_unavailable", 1);
  };
  await client.publishAsync("van-1/a", pointText("van-1", 1), { qos: 0 });
  await until(() => broker.state().unacked === 1, { what: "another" });
  await broker.close(100);
  expect(store.refusals).toEqual([{ source: "fleet", reason: "given_up" }]);
  expect(told).toEqual([{ event: "messagesGivenUp", broker: "listen", messages: 1, undecided: 0 }]);
});

test("memory has a bound beyond the sources' shares", () => {
  let room = 0;
  const unacked = createUnacked({ maxPerSource: 10, onSpace: () => void room++ });
  const names = Array.from({ length: 8 }, (_, i) => `source ${i}`);
  for (const name of names) {
    unacked.add(name, 15_000_000);
    expect([unacked.isFull(name), unacked.isFull()]).toEqual([false, false]);
    unacked.add(name, 1_000_000);
    expect(unacked.isFull(name)).toBe(true);
  }
  expect(unacked.isFull("somebody else")).toBe(true);
  for (const name of names) {
    unacked.remove(name, 15_000_000);
    expect(unacked.isFull(name)).toBe(unacked.isFull());
  }
  expect(unacked.isFull("somebody else")).toBe(false);
  for (const name of names) unacked.remove(name, 1_000_000);
  expect(unacked.count()).toBe(0);
  expect(room).toBeGreaterThan(0);
});

test("a connection that sends nothing, or junk, is closed; others are not disturbed", async () => {
  const { broker, device, store } = await start({ limits: { loginWithinMs: 200 } });
  const client = await device();
  const silent = connectSocket(broker.port, "127.0.0.1");
  const junk = connectSocket(broker.port, "127.0.0.1");
  const huge = connectSocket(broker.port, "127.0.0.1");
  const closed = [silent, junk, huge].map((socket) => once(socket.on("error", () => {}).resume(), "close"));
  junk.write(Buffer.from(Array.from({ length: 10_000 }, (_, i) => (i * 7919) % 256)));
  // A CONNECT that announces 200 MB.
  huge.write(Buffer.from([0x10, 0x80, 0xa8, 0xaf, 0x5f]));
  await Promise.all(closed);
  await client.publishAsync("van-1/pos", pointText("van-1", 0), { qos: 1 });
  expect(indexes(store)).toEqual([0]);
});

test("version 5 is refused in words a device understands", async () => {
  const { url } = await start();
  const options = { username: "van-1", password: "secret of van-1", protocolVersion: 5 as const };
  await expect(publishTo(url, options)).rejects.toThrow(/refused/i);
});

test("no more connections than allowed", async () => {
  const { device, broker } = await start({ limits: { connections: 1 } });
  await device("van-1");
  const extra = connectSocket(broker.port, "127.0.0.1");
  await once(extra.on("error", () => {}).resume(), "close");
  expect(broker.state().connections).toBe(1);
});

const TLS_TOO: [string, boolean][] = whyNotCertificates() === null ? [["TLS", true]] : [];

test.each([["plain TCP", false], ...TLS_TOO])(
  "one address cannot take all connections, over %s",
  async (_, encrypted) => {
    const authority = encrypted ? createAuthority() : null;
    if (authority) closers.push(authority.remove);
    const { broker, told } = await start({
      limits: { unauthenticatedPerAddress: 3 },
      ...(authority ? { tls: authority.sign("broker") } : {}),
    });
    const login = async (localAddress: string, clientId: string): Promise<MqttClient> => {
      const to = { port: broker.port, host: "127.0.0.1", localAddress };
      const client = new MqttClient(
        () => (authority ? connectTls({ ...to, ca: authority.ca }) : connectSocket(to)),
        {
          username: "van-1",
          password: "secret of van-1",
          clientId,
          reconnectPeriod: 0,
        },
      );
      client.on("error", () => {});
      closers.push(() => client.endAsync(true));
      const connected = new Promise((resolve) => void client.once("connect", () => resolve(true)));
      const answer = await Promise.race([connected, closing(client)]);
      if (!answer) throw new Error("not let in");
      return client;
    };
    // Connections with a login do not count as unauthenticated, however many there are.
    for (let i = 0; i < 5; i += 1) {
      await login("127.0.0.1", `known-${i}`);
    }
    const silent = Array.from({ length: 3 }, () =>
      connectSocket(broker.port, "127.0.0.1").on("error", () => {}),
    );
    closers.push(...silent.map((socket) => () => void socket.destroy()));
    await Promise.all(silent.map((socket) => once(socket, "connect")));
    const extra = connectSocket(broker.port, "127.0.0.1");
    await once(extra.on("error", () => {}).resume(), "close");
    expect(told).toContainEqual({
      event: "deviceRefused",
      client: "127.0.0.1",
      reason: "too_many_unauthenticated",
    });
    await login("127.0.0.2", "other");
    for (const socket of silent) socket.destroy();
    await until(() => login("127.0.0.1", "again"), { what: "room for the address" });
  },
);

test("one login cannot take all connections: the oldest makes room", async () => {
  const { device, told } = await start({ limits: { connectionsPerLogin: 2 } });
  const first = await device("van-1", { clientId: "first" });
  const closed = closing(first);
  const second = await device("van-1", { clientId: "second" });
  await device("van-2");
  expect(told).toEqual([]);
  const third = await device("van-1", { clientId: "third" });
  await closed;
  expect(told).toEqual([{ event: "deviceRefused", client: "van-1/first", reason: "too_many_connections" }]);
  // Room that a connection leaves is room again.
  await second.endAsync();
  const fourth = await device("van-1", { clientId: "fourth" });
  await third.publishAsync("van-1/pos", pointText("van-1", 0), { qos: 1 });
  await fourth.publishAsync("van-1/pos", pointText("van-1", 1), { qos: 1 });
  expect(told).toHaveLength(1);
});

test("closing lets messages that have arrived be stored", async () => {
  const { device, store, broker } = await start();
  const client = await device();
  const slow = door();
  store.before = () => slow.opened;
  const published = client.publishAsync("van-1/pos", pointText("van-1", 0), { qos: 1 });
  await until(() => store.waiting() === 1, { what: "the message at the store" });
  const closed = broker.close(20_000);
  slow.open();
  await published;
  await closed;
  expect(indexes(store)).toEqual([0]);
});

test("a login that could mean another device is refused at the start", async () => {
  const [login] = devices;
  if (login === undefined) throw new Error("no login");
  for (const username of ["+", "#", "a/b", "$SYS"]) {
    await expect(start({ devices: [{ ...login, username }] })).rejects.toThrow(/may not contain/);
  }
  await expect(start({ devices: [{ ...login, source: "who" }] })).rejects.toThrow(/unknown source/);
});

test.skipIf(whyNotCertificates() !== null)(
  `TLS, and devices' certificates where a CA is given${because(whyNotCertificates())}`,
  async () => {
    const authority = createAuthority();
    closers.push(authority.remove);
    const { cert, key } = authority.sign("broker");
    const sender = authority.sign("sender");
    const { broker, store } = await start({ tls: { cert, key, ca: authority.ca } });
    const url = `mqtts://localhost:${broker.port}`;
    const login = { username: "van-1", password: "secret of van-1", ca: authority.ca };
    const publisher = await publishTo(url, { ...login, cert: sender.cert, key: sender.key });
    closers.push(() => publisher.close());
    await publisher.publish("van-1/pos", pointText("van-1", 0), 1);
    expect(indexes(store)).toEqual([0]);
    await expect(publishTo(url, login)).rejects.toThrow();
  },
);

test("the frame guard follows packets over any cut of the stream", () => {
  const packets: Packet[] = [
    { cmd: "pingreq" },
    { cmd: "publish", topic: "a", payload: "x".repeat(300), qos: 0, dup: false, retain: false },
    { cmd: "publish", topic: "a", payload: "", qos: 0, dup: false, retain: false },
    { cmd: "publish", topic: "a", payload: "x".repeat(200), qos: 0, dup: false, retain: false },
  ];
  const stream = Buffer.concat(packets.map((packet) => mqttPacket.generate(packet)));
  for (const step of [1, 2, 3, 7, 64, stream.length]) {
    for (const [limit, fits] of [
      [303, true],
      [302, false],
    ] as const) {
      const guard = createFrameGuard(() => limit);
      let all = true;
      for (let at = 0; at < stream.length; at += step) all &&= guard.fits(stream.subarray(at, at + step));
      expect([step, limit, all]).toEqual([step, limit, fits]);
    }
  }
  expect(
    createFrameGuard(() => Number.POSITIVE_INFINITY).fits(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])),
  ).toBe(false);
});
