/** Messages on topics that nothing reads are named, with the vendor they would fit; a flood of them costs next to nothing. */

import { afterEach, expect, test } from "vitest";
import { adapters } from "../../../src/adapters/index.ts";
import { type Publisher, publishTo } from "../../../src/commands/capture/publisher.ts";
import type { Source } from "../../../src/ingest/source.ts";
import { startBroker } from "../../../src/inputs/mqtt/broker.ts";
import { connectBroker } from "../../../src/inputs/mqtt/client.ts";
import { createUnreadTopics } from "../../../src/inputs/mqtt/unread-topics.ts";
import { diagnoseIncidents } from "../../../src/ops/diagnose/incidents.ts";
import { createIncidents } from "../../../src/ops/incidents.ts";
import { because } from "../../support/because.ts";
import { memoryStore } from "../../support/memory-store.ts";
import { startMosquitto, whyNotMosquitto } from "../../support/mosquitto.ts";
import { ingestOver, mqttSource, pointText } from "../../support/plain-vendor.ts";
import { until } from "../../support/wait.ts";

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function watch() {
  const incidents = createIncidents();
  const nothing = () => {};
  return {
    problems: () => diagnoseIncidents(incidents.recent(), Date.now()),
    events: {
      ...{ brokerConnected: nothing, brokerDisconnected: nothing, brokerRefused: nothing },
      ...{ deviceRefused: nothing, authFailed: nothing, connectionRefused: nothing },
      ...{ messagesGivenUp: nothing, failed: nothing },
      incident: incidents.note,
      incidentEnded: (event: Parameters<typeof incidents.ended>[0]) => void incidents.ended(event),
    },
  };
}

async function publisherTo(url: string, options?: Parameters<typeof publishTo>[1]): Promise<Publisher> {
  const publisher = await publishTo(url, options);
  closers.push(() => publisher.close({ atOnce: true }));
  return publisher;
}

function sourceOf(vendor: string, options?: unknown): Source {
  const adapter = adapters.find((each) => each.vendor === vendor);
  if (!adapter) throw new Error(`no vendor ${vendor}`);
  return { ...mqttSource("fleet"), adapter, options: adapter.options?.parse(options) };
}

test.skipIf(whyNotMosquitto() !== null)(
  `by a broker that still has a subscription of an earlier configuration${because(whyNotMosquitto())}`,
  async () => {
    const mosquitto = await startMosquitto();
    closers.push(() => mosquitto.stop());
    const { events, problems } = watch();
    const store = memoryStore();
    const connect = (topics: string[]) => {
      const connection = connectBroker({
        broker: "yard",
        settings: {
          ...{ url: mosquitto.url, clientId: "gateway", protocolVersion: 5, rejectUnauthorized: true },
          ...{ keepaliveS: 30, receiveMaximum: 500, maximumPacketBytes: 262_144, sessionExpiryS: 3600 },
        },
        subscriptions: [{ source: mqttSource("fleet"), topics }],
        ingest: ingestOver(store).ingest,
        events,
      });
      closers.push(() => connection.close(0));
      return connection;
    };
    const before = connect(["fleet/#", "owntracks/#", "heating/#"]);
    await until(() => before.state().subscribed, { what: "the subscription" });
    await before.close(1000);
    const now = connect(["fleet/#"]);
    await until(() => now.state().subscribed, { what: "the new subscription" });

    const publisher = await publisherTo(mosquitto.url);
    await publisher.publish("fleet/van", pointText("van", 0), 1);
    await publisher.publish("owntracks/anna/phone", "{}", 1);
    await publisher.publish("heating/kitchen", "21", 1);
    await until(() => now.state().messages === 3 && now.state().unacked === 0, {
      what: "all to be acknowledged",
    });
    expect(store.entries).toHaveLength(1);
    const [problem, ...more] = problems();
    expect(more).toEqual([]);
    expect(problem).toMatchObject({
      ...{ kind: "topic_unread", severity: "warning", where: "broker yard", whose: "configuration" },
      subjects: ["heating/kitchen", "owntracks/anna/phone"],
    });
    expect(problem?.what).toMatch(/^2 messages came on topics that nothing here reads/);
    expect(problem?.doNext).toContain("owntracks/anna/phone would fit vendor owntracks: add a source");
    expect(problem?.doNext).toContain('topics: ["owntracks/+/+"]');
  },
);

test("at the embedded broker, where the source's options name other topics", async () => {
  const { events, problems } = watch();
  const source = sourceOf("json", {
    topic: "+/gps",
    ...{ deviceId: "id", latitude: "lat", longitude: "lon", time: "t", timeFormat: "epochMillis" },
  });
  const store = memoryStore();
  const broker = await startBroker({
    ...{ name: "listen", host: "127.0.0.1", port: 0, maxUnacked: 1000, maximumPacketBytes: 1000 },
    devices: [{ username: "van-1", password: "secret", source: "fleet", topics: ["%u/#"] }],
    sources: new Map([["fleet", source]]),
    ingest: ingestOver(store).ingest,
    events,
  });
  closers.push(() => broker.close(0));
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const device = await publisherTo(url, { username: "van-1", password: "secret" });
  await device.publish("van-1/gps", pointText("van-1", 0), 1);
  expect(problems()).toEqual([]);
  await device.publish("van-1/status", '{"fuel": 7}', 1);
  expect(problems()).toMatchObject([
    { kind: "topic_unread", where: "source fleet", subjects: ["van-1/status"] },
  ]);
  expect(problems()[0]?.doNext).toContain("options of the source");
});

const ignored = (what: string) => ({ kind: "ignored", what }) as const;

test.each<[string, string, string, unknown]>([
  ["owntracks", "owntracks/anna/phone/event", "transition", undefined],
  ["owntracks", "van-1/phone", "waypoint", undefined],
  ["teslamate", "teslamate/cars/1/battery_level", "battery_level", undefined],
  ["json", "any/topic", "ignore-when", { deviceId: "id", latitude: "a", longitude: "b", time: "t" }],
])("what %s ignores by what it says is read: %s %s", (vendor, topic, what, options) => {
  const seen: object[] = [];
  const unread = createUnreadTopics({ incident: (event) => void seen.push(event) });
  unread.handled(sourceOf(vendor, options), topic, ignored(what));
  expect(seen).toEqual([]);
});

test.each([
  ["flespi", "v3/app/devices/van/up", "other-topic", "the-things-stack"],
  ["owntracks", "teslamate/cars/1/location", "empty", "teslamate"],
  ["teslamate", "x/y", "other-topic", undefined],
])("what %s ignores by its topic is not: %s", (vendor, topic, what, fit) => {
  const seen: unknown[] = [];
  const unread = createUnreadTopics({ incident: ({ facts }) => void seen.push(facts?.vendor) });
  unread.handled(sourceOf(vendor), topic, ignored(what));
  unread.handled(sourceOf(vendor), topic, { kind: "malformed", problems: [] });
  unread.handled(sourceOf(vendor), topic, null);
  expect(seen).toEqual([fit]);
});

test("a flood of new topics is looked at a hundred times a second", () => {
  const seen: unknown[] = [];
  let now = 5000;
  const unread = createUnreadTopics({ incident: ({ facts }) => void seen.push(facts?.vendor) }, () => now);
  const startedAt = performance.now();
  for (let i = 0; i < 50_000; i++) unread.unrouted("yard", `owntracks/u${i}/phone`);
  // 2 µs each where it is fast; a message takes some 40.
  expect(performance.now() - startedAt).toBeLessThan(2000);
  expect(seen).toHaveLength(50_000);
  expect(seen.filter((vendor) => vendor === "owntracks")).toHaveLength(100);
  now += 1000;
  unread.unrouted("yard", "owntracks/last/phone");
  expect(seen.at(-1)).toBe("owntracks");
});
