/** What an embedded broker holds of devices that never end what they begin: ids, never payloads, and a bounded number. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import mqttPacket from "mqtt-packet";
import { afterEach, expect, test } from "vitest";
import type { Store } from "../../../src/ingest/store.ts";
import { type EmbeddedBrokerOptions, startBroker } from "../../../src/inputs/mqtt/broker.ts";
import { createUnreleased } from "../../../src/inputs/mqtt/packet-ids.ts";
import type { Incident } from "../../../src/status/process.ts";
import { ingestOver, mqttSource, pointText } from "../../support/plain-vendor.ts";
import { publish, rawDevice } from "../../support/raw-device.ts";
import { until } from "../../support/wait.ts";

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Stores nothing, so that all memory held is the broker's. */
function forgetful(): Store & { times: number[] } {
  const times: number[] = [];
  return {
    times,
    async add(entry) {
      if (entry.kind === "decoded") times.push(...entry.readings.map(({ fixTime }) => fixTime));
      return { stored: 1, duplicates: 0, rejections: new Map() };
    },
    refuse() {},
  };
}

async function start(limits: EmbeddedBrokerOptions["limits"] = {}) {
  const store = forgetful();
  const refused: string[] = [];
  const incidents: Incident[] = [];
  const usernames = Array.from({ length: 10 }, (_, i) => `van-${i}`);
  const broker = await startBroker({
    name: "listen",
    host: "127.0.0.1",
    port: 0,
    devices: usernames.map((username) => ({
      ...{ username, password: `secret of ${username}` },
      ...{ source: "fleet", topics: ["%u/#"] },
    })),
    maxUnacked: 1000,
    maximumPacketBytes: 262_144,
    sources: new Map([["fleet", mqttSource("fleet")]]),
    ingest: ingestOver(store).ingest,
    events: {
      deviceRefused: ({ client, reason }) => void refused.push(`${client} ${reason}`),
      incident: (incident) => void incidents.push(incident),
      incidentEnded() {},
      messagesGivenUp() {},
      connectionRefused() {},
      authFailed() {},
      failed({ error }) {
        throw error;
      },
    },
    limits,
  });
  closers.push(() => broker.close(0));
  async function device(username = "van-0", clientId = "raw") {
    const raw = await rawDevice(broker.port, { username, clientId });
    closers.push(() => void raw.socket.destroy());
    return raw;
  }
  return { broker, store, refused, incidents, device };
}

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

function heldMb(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1e6;
}

const position = (n: number, van = 0) => pointText(`van-${van}`, n);

test("no payload is held of QoS 2 messages that are never released", { timeout: 240_000 }, async () => {
  const { store, device } = await start();
  const filler = "x".repeat(10_000);
  const connections = 10;
  const each = 600;
  const before = heldMb();
  for (let c = 0; c < connections; c += 1) {
    const raw = await device(`van-${c % 10}`, `c${c}`);
    for (let n = 1; n <= each; n += 50) {
      const packets = Array.from({ length: 50 }, (_, i) =>
        publish(
          `van-${c % 10}/pos`,
          JSON.stringify({ ...JSON.parse(position(c * each + n + i, c % 10)), filler }),
          {
            messageId: n + i,
          },
        ),
      );
      await raw.send(...packets);
    }
    await raw.count("pubrec", each);
    raw.received.length = 0;
  }
  expect(store.times).toHaveLength(connections * each);
  const grown = heldMb() - before;
  console.info(`held after ${connections * each} unreleased messages of 10 kB: ${grown.toFixed(1)} MB`);
  // Payloads were 60 MB.
  expect(grown).toBeLessThan(20);
});

test("a connection that releases nothing ends; a message over its share is not stored", async () => {
  const { store, refused, incidents, device } = await start({ unreleased: 5 });
  const raw = await device();
  for (let n = 1; n <= 5; n += 1) await raw.send(publish("van-0/pos", position(n), { messageId: n }));
  await raw.count("pubrec", 5);
  // The same packet again is no more, and is acknowledged again.
  await raw.send(publish("van-0/pos", position(5), { messageId: 5, dup: true }));
  await raw.count("pubrec", 6);
  await raw.send(publish("van-0/pos", position(6), { messageId: 6 }));
  await until(raw.closed, { what: "the connection to end" });
  expect(new Set(store.times).size).toBe(5);
  expect(refused).toEqual(["van-0/raw unreleased"]);
  expect(incidents).toEqual([
    { kind: "device_cut_off", where: "source fleet", subject: "van-0", facts: { why: "unreleased" } },
  ]);
  // Its session ended with it, and with it what it held; under the same client id too.
  const again = await device();
  for (let n = 1; n <= 5; n += 1) await again.send(publish("van-0/pos", position(n + 10), { messageId: n }));
  await again.count("pubrec", 5);
});

test("released ids are free again, and an unknown one is released all the same", async () => {
  const { refused, device } = await start({ unreleased: 2 });
  const raw = await device();
  for (let n = 1; n <= 20; n += 1) {
    await raw.send(publish("van-0/pos", position(n), { messageId: n }));
    await raw.count("pubrec", n);
    await raw.send({ cmd: "pubrel", messageId: n });
    await raw.count("pubcomp", n);
  }
  for (let n = 1000; n < 2000; n += 1) await raw.send({ cmd: "pubrel", messageId: n });
  await raw.count("pubcomp", 1020);
  expect(refused).toEqual([]);
});

test("when a login holds too much, its connection that holds the most ends, and no other", async () => {
  const { refused, device } = await start({ unreleased: 5, unreleasedPerLogin: 8 });
  const greedy = await device("van-0", "greedy");
  const modest = await device("van-0", "modest");
  const other = await device("van-1", "other");
  const sendAll = async (raw: typeof greedy, username: string, count: number) => {
    for (let n = 1; n <= count; n += 1) {
      await raw.send(publish(`${username}/pos`, position(n), { messageId: n }));
    }
    await raw.count("pubrec", count);
  };
  await sendAll(greedy, "van-0", 5);
  await sendAll(other, "van-1", 5);
  await sendAll(modest, "van-0", 4);
  await until(greedy.closed, { what: "the greedy one to end" });
  expect([modest.closed(), other.closed()]).toEqual([false, false]);
  expect(refused).toEqual(["van-0/greedy unreleased"]);
});

test("a login taken over by its own client id gives its ids back", async () => {
  const { refused, device } = await start({ unreleased: 5, unreleasedPerLogin: 8 });
  for (let round = 0; round < 4; round += 1) {
    const raw = await device("van-0", "same");
    for (let n = 1; n <= 5; n += 1) await raw.send(publish("van-0/pos", position(n), { messageId: n }));
    await raw.count("pubrec", 5);
  }
  expect(refused).toEqual([]);
});

/** PINGREQ again and again (MQTT 3.1.1 §3.12). */
const PINGS = Buffer.alloc(200_000, Buffer.from([0xc0, 0]));

/** The gateway's end of the next connection. */
function nextConnection(): () => Socket | undefined {
  let found: Socket | undefined;
  const take = (message: unknown): void => {
    unsubscribe("net.server.socket", take);
    if (typeof message !== "object" || message === null || !("socket" in message)) return;
    if (message.socket instanceof Socket) found = message.socket;
  };
  subscribe("net.server.socket", take);
  return () => found;
}

test("a device that does not read our answers is not read, and cut off", async () => {
  const { refused, incidents, device } = await start({ unreadMs: 1000 });
  const connection = nextConnection();
  const raw = await device();
  const ours = await until(connection, { what: "the gateway's end" });
  // Nothing goes out any more: as if the system's buffers, 4 to 30 MB, were full.
  Object.assign(ours, { _write() {}, _writev: null });
  const before = ours.bytesRead;
  let most = 0;
  for (let sent = 0; sent < 50 && !raw.closed(); sent += 1) {
    raw.socket.write(PINGS);
    most = Math.max(most, ours.writableLength + ours.readableLength);
    await pause(1);
  }
  await until(() => refused.some((line) => line.endsWith("reads_nothing")), {
    what: "the connection to be cut off",
  });
  expect(incidents.map(({ kind, subject, facts }) => `${kind} ${subject} ${facts?.why}`)).toContain(
    "device_cut_off van-0 reads_nothing",
  );
  // A stream holds 16 kB in each direction, and what the system hands over at once.
  expect(most).toBeLessThan(200_000);
  expect(ours.bytesRead - before).toBeLessThan(400_000);
});

test("messages that come faster than they are answered stay with the sender", async () => {
  const { store, device } = await start();
  const connection = nextConnection();
  const raw = await device();
  const ours = await until(connection, { what: "the gateway's end" });
  const flood = Buffer.concat(
    Array.from({ length: 5000 }, (_, i) =>
      mqttPacket.generate(publish("van-0/pos", position(i), { qos: 0, messageId: 1 })),
    ),
  );
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, ours.readableLength);
  }, 1);
  raw.socket.write(flood);
  await until(() => store.times.length === 5000, { what: "all of it" });
  clearInterval(watch);
  expect(most).toBeLessThan(200_000);
});

test("a list of topics longer than any device needs ends the connection before it is parsed", async () => {
  const { refused, device } = await start();
  const raw = await device();
  const subscriptions = Array.from({ length: 20_000 }, (_, i) => ({ topic: `t/${i}`, qos: 0 as const }));
  await raw.send({ cmd: "subscribe", messageId: 1, subscriptions });
  await until(raw.closed, { what: "the connection to end" });
  expect(refused).toEqual(["127.0.0.1 too_large"]);
});

test("a long client id is known by its digest", async () => {
  const { store, refused, device } = await start();
  const raw = await device("van-0", "x".repeat(3000));
  await raw.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] });
  await raw.count("suback", 1);
  expect(refused[0]?.length).toBeLessThan(100);
  await raw.send(publish("van-0/pos", position(1), { messageId: 1 }));
  await raw.count("pubrec", 1);
  expect(store.times).toHaveLength(1);
});

test("shares are counted for a login, and end with its connections", () => {
  const unreleased = createUnreleased<object>({ perConnection: 3, perLogin: 4 });
  const [a, b] = [{}, {}];
  for (const id of [1, 2, 3]) expect(unreleased.add(a, "van", id)).toBeNull();
  expect(unreleased.add(a, "van", 3)).toBeNull();
  expect(unreleased.add(a, "van", 4)).toBe(a);
  expect(unreleased.add(b, "van", 1)).toBeNull();
  expect(unreleased.add(b, "van", 2)).toBe(a);
  unreleased.forget(a);
  unreleased.forget(a);
  unreleased.release(a, 1);
  expect([unreleased.count(), unreleased.has(a, 1), unreleased.has(b, 2)]).toEqual([2, false, true]);
  unreleased.release(b, 1);
  unreleased.release(b, 1);
  unreleased.forget(b);
  expect(unreleased.count()).toBe(0);
});
