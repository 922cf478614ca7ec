/** What the embedded broker refuses a device is a problem with its name and its remedy, until the device is put right. */

import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { afterEach, describe, expect, test } from "vitest";
import type { DeviceRefusal } from "../../../src/events/events.ts";
import { type EmbeddedBrokerOptions, startBroker } from "../../../src/inputs/mqtt/broker.ts";
import { createDeviceRefusals } from "../../../src/inputs/mqtt/device-refusals.ts";
import type { DeviceSession } from "../../../src/inputs/mqtt/device-sessions.ts";
import { createDevices, type DeviceLogin } from "../../../src/inputs/mqtt/devices.ts";
import { diagnoseIncidents } from "../../../src/ops/diagnose/incidents.ts";
import { createIncidents } from "../../../src/ops/incidents.ts";
import { memoryStore } from "../../support/memory-store.ts";
import { ingestOver, mqttSource, pointText } from "../../support/plain-vendor.ts";
import { until } from "../../support/wait.ts";

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const login = (username: string, changes: Partial<DeviceLogin> = {}): DeviceLogin => ({
  ...{ username, password: `secret of ${username}`, source: "fleet", topics: ["%u/#"] },
  ...changes,
});
const sources = new Map([["fleet", mqttSource("fleet")]]);

/** `later`: how far the page's clock has been put forward. */
async function start(devices: DeviceLogin[], changes: Partial<EmbeddedBrokerOptions> = {}) {
  const clock = { later: 0 };
  const incidents = createIncidents(() => Date.now() + clock.later);
  const log: DeviceRefusal[] = [];
  const broker = await startBroker({
    ...{ name: "listen", host: "127.0.0.1", port: 0, devices, sources },
    ...{ maxUnacked: 1000, maximumPacketBytes: 1000, ingest: ingestOver(memoryStore()).ingest },
    events: {
      deviceRefused: (event) => void log.push(event),
      messagesGivenUp: () => {},
      failed: () => {},
      authFailed: () => {},
      connectionRefused: () => {},
      incident: incidents.note,
      incidentEnded: (event) => void incidents.ended(event),
    },
    ...changes,
  });
  closers.push(() => broker.close(0));
  const connect = async (options: IClientOptions): Promise<MqttClient> => {
    const client = await mqtt.connectAsync(
      `mqtt://127.0.0.1:${broker.port}`,
      { reconnectPeriod: 0, ...options },
      false,
    );
    client.on("error", () => {});
    closers.push(() => client.endAsync(true));
    return client;
  };
  const device = (username: string, options: IClientOptions = {}) =>
    connect({ username, password: `secret of ${username}`, ...options });
  const problems = () => diagnoseIncidents(incidents.recent(), Date.now() + clock.later);
  return { clock, log, connect, device, problems };
}

const closed = (client: MqttClient) => until(() => !client.connected, { what: "the connection to end" });

describe("a refused login", () => {
  test("is told with its username, why, from where and how often, until it succeeds", async () => {
    const { connect, device, problems } = await start([login("van-41"), login("van-42")]);
    for (let i = 0; i < 3; i++) {
      await expect(connect({ username: "van-41", password: "old" })).rejects.toThrow(/Bad username/);
    }
    await device("van-42");
    expect(problems()).toEqual([
      expect.objectContaining({
        ...{ kind: "device_login_refused", severity: "warning", whose: "device", where: "source fleet" },
        subjects: ["van-41"],
        what: expect.stringMatching(
          /van-41: wrong password from (::ffff:)?127\.0\.0\.1, 3 times since \d\d:\d\d UTC/,
        ),
        doNext: expect.stringContaining("mqtt.listen.devices"),
      }),
    ]);
    expect(JSON.stringify(problems())).not.toContain("secret");
    await device("van-41");
    expect(problems()).toEqual([]);
  });

  test("of an unknown username belongs to no source", async () => {
    const { connect, problems } = await start([login("van-41")]);
    await expect(connect({ username: "van\u202e14", password: "x" })).rejects.toThrow(/Bad username/);
    await expect(connect({})).rejects.toThrow(/Bad username/);
    const [problem, ...more] = problems();
    expect(more).toEqual([]);
    expect(problem).toMatchObject({ kind: "device_login_refused", where: "mqtt login" });
    expect(problem?.subjects).toEqual(["(no username)", "van\\u{202e}14"]);
    expect(problem?.what).toContain("van\\u{202e}14: unknown username");
  });

  test("more often than allowed is guessing, which ends with the right password, too", async () => {
    const { connect, device, problems } = await start([login("van-41")]);
    for (let i = 0; i < 6; i++) {
      await connect({ username: "van-41", password: `${i}` }).catch(() => {});
    }
    expect(
      problems()
        .map(({ kind }) => kind)
        .sort(),
    ).toEqual(["device_login_refused", "guessing"]);
    await until(() => device("van-41"), { what: "its turn" });
    expect(problems()).toEqual([]);
  });
});

describe("a topic that is not the login's", () => {
  test("is told with what is allowed and the line to copy, until the device publishes where it may", async () => {
    const { clock, log, device, problems } = await start([login("van-41")]);
    const client = await device("van-41");
    client.publish("owntracks/van-41/phone", "{}", { qos: 1 });
    await closed(client);
    const [problem, ...more] = problems();
    expect(more).toEqual([]);
    expect(problem).toMatchObject({ kind: "topic_refused", where: "source fleet", subjects: ["van-41"] });
    expect(problem?.what).toContain("van-41 publishes to owntracks/van-41/phone, allowed is van-41/#");
    expect(problem?.doNext).toContain('topics: ["owntracks/%u/#"]');
    expect(log).toEqual([
      expect.objectContaining({
        ...{ username: "van-41", reason: "foreign_topic" },
        ...{ topic: "owntracks/van-41/phone", allowed: ["van-41/#"] },
      }),
    ]);
    const again = await device("van-41");
    await again.publishAsync("van-41/pos", pointText("van-41", 0), { qos: 1 });
    clock.later = 61_000;
    expect(problems()).toEqual([]);
  });

  test("stays while the device only logs in again", async () => {
    const { clock, device, problems } = await start([login("van-41")]);
    for (let i = 0; i < 2; i++) {
      const client = await device("van-41");
      client.publish("gps", "{}", { qos: 0 });
      await closed(client);
    }
    clock.later = 59_000;
    expect(problems()[0]?.what).toMatch(/publishes to gps, .* 2 times since/);
  });

  test.each([
    ["owntracks/van-1/phone", ["%u/#"], '["owntracks/%u/#"]'],
    ["gps", ["%u/#"], '["gps"]'],
    ["v1/devices/me/telemetry", ["%u/#", "yard/%u"], '["%u/#", "yard/%u", "v1/devices/me/telemetry"]'],
    ["a/van-1", ["%u/#"], '["a/%u/#"]'],
    // Another device's, the broker's own, and what nobody would copy.
    ["van-2/pos", ["%u/#"], ""],
    ["$SYS/x", ["%u/#"], ""],
    [`x/${"y".repeat(300)}`, ["%u/#"], ""],
    ["x\u202ey", ["%u/#"], ""],
  ])("%s beside %j: %s", async (topic, topics, suggested) => {
    const devices = createDevices([login("van-1", { topics }), login("van-2")], sources);
    const facts: unknown[] = [];
    const refusals = createDeviceRefusals({
      devices,
      events: {
        deviceRefused: () => {},
        incident: (incident) => void facts.push(incident.facts?.suggested),
        incidentEnded: () => {},
      },
    });
    const device = devices.named("van-1");
    if (device) refusals.topic({ id: "x" } as Parameters<typeof refusals.topic>[0], device, topic);
    expect(facts).toEqual([suggested]);
  });
});

describe("other refusals", () => {
  test("a subscription, until the device publishes without one", async () => {
    const { device, problems } = await start([login("van-41")]);
    const client = await device("van-41");
    await expect(client.subscribeAsync("commands/van-41")).rejects.toThrow();
    await client.publishAsync("van-41/pos", pointText("van-41", 0), { qos: 1 });
    expect(problems()).toMatchObject([
      { kind: "subscription_refused", where: "source fleet", subjects: ["van-41"] },
    ]);
    const again = await device("van-41");
    await again.publishAsync("van-41/pos", pointText("van-41", 1), { qos: 1 });
    expect(problems()).toEqual([]);
  });

  test("a connection too many, and a packet that is far too large", async () => {
    const { device, problems } = await start([login("van-41")], { limits: { connectionsPerLogin: 1 } });
    const first = await device("van-41", { clientId: "a" });
    const second = await device("van-41", { clientId: "b" });
    await closed(first);
    expect(problems()[0]?.what).toContain("1 connection of devices was ended: van-41 (too_many_connections)");
    expect(problems()[0]?.doNext).toContain("a login of its own");
    second.publish("van-41/pos", "x".repeat(5000), { qos: 0 });
    await closed(second);
    expect(problems()).toMatchObject([{ kind: "device_cut_off", where: "source fleet" }]);
    expect(problems()[0]?.what).toContain("van-41 (too_large)");
  });

  test("are over once a session has gone well for a minute", () => {
    let now = 1_000_000;
    const devices = createDevices([login("van-41")], sources);
    const ended: string[] = [];
    const refusals = createDeviceRefusals({
      devices,
      now: () => now,
      events: {
        deviceRefused: () => {},
        incident: () => {},
        incidentEnded: ({ kind, subject }) => void ended.push(`${kind} ${subject}`),
      },
    });
    const device = devices.named("van-41");
    if (!device) throw new Error("no device");
    const session: DeviceSession = {
      ...{ device, pending: 0, sinceMs: now, hasSubscribed: false, standing: "new" },
      acknowledgements: () => () => {},
    };
    refusals.published(session);
    expect(ended).not.toContain("device_cut_off van-41");
    now += 60_000;
    refusals.published(session);
    refusals.published(session);
    expect(ended.filter((each) => each === "device_cut_off van-41")).toHaveLength(1);
  });
});
