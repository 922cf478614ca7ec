/** The references the gateway is measured against really do the work they are timed for. */

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Child, startChild } from "../../bench/child.ts";
import {
  type ContestantName,
  gatewayConfig,
  startContestant,
  TOKEN,
  TOPIC,
} from "../../bench/contestants.ts";
import type { FloorSettings } from "../../bench/floor.ts";
import type { Publisher } from "../../bench/publisher.ts";
import { createReadings, DEVICES } from "../../bench/readings.ts";
import type { Sink } from "../../bench/sink.ts";
import type { Webhooks } from "../../bench/webhooks.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { because } from "../support/because.ts";
import { startMosquitto, whyNotMosquitto } from "../support/mosquitto.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000), hookTimeout: scaled(60_000) });

let redis: PrivateRedis;
let sink: Child<Sink>;
let webhooks: Child<Webhooks>;
let publisher: Child<Publisher>;
let sinkUrl: string;

beforeAll(async () => {
  [redis, sink, webhooks, publisher] = await Promise.all([
    startPrivateRedis(),
    startChild<Sink>("sink.ts"),
    startChild<Webhooks>("webhooks.ts"),
    startChild<Publisher>("publisher.ts"),
  ]);
  sinkUrl = `http://127.0.0.1:${await sink.call("address")}`;
});

afterAll(async () => {
  await Promise.all([redis, sink, webhooks, publisher].map((part) => part?.stop()));
});

function start(name: ContestantName, floorMode: FloorSettings["mode"], brokerUrl: string | null = null) {
  return startContestant(name, { redisUrl: redis.url, sinkUrl, brokerUrl, floorMode, profileDir: null });
}

function send(url: string, readingsPerRequest: number, maxReadings: number) {
  return webhooks.call("load", {
    url,
    token: TOKEN,
    readingsPerRequest,
    connections: 4,
    forMs: 30_000,
    maxReadings,
  });
}

function untilArrived(pings: number) {
  return until(async () => (await sink.call("read")).pings >= pings, { what: `${pings} pings at the sink` });
}

describe.each(["floor", "naive"] as const)("%s", (name) => {
  it("delivers every ping once, and none while it is held", async () => {
    await sink.call("reset", "accept");
    const contestant = await start(name, "queue");
    try {
      await contestant.hold();
      const many = await send(contestant.webhookUrl, 100, 1000);
      const single = await send(contestant.webhookUrl, 1, 20);
      expect(many).toMatchObject({ requests: 10, accepted: 1000, failures: {} });
      expect(single).toMatchObject({ requests: 20, accepted: 20, failures: {} });
      expect((await sink.call("read")).pings).toBe(0);

      await contestant.release();
      await untilArrived(1020);
      const { pings, posts } = await sink.call("read");
      expect(pings).toBe(1020);
      if (name === "naive") expect(posts).toBe(1020);
      else expect(posts).toBeLessThan(20);
    } finally {
      await contestant.stop();
    }
  });
});

it("floor answers without storing", async () => {
  const contestant = await start("floor", "answer");
  try {
    expect(await send(contestant.webhookUrl, 1, 50)).toMatchObject({ accepted: 50, failures: {} });
  } finally {
    await contestant.stop();
  }
});

async function publish(port: number, messages: number): Promise<void> {
  const flood = publisher.call("flood", { port, topic: TOPIC, allowed: messages });
  await until(async () => (await publisher.call("published")) === messages, { what: "all to be published" });
  await publisher.call("stop");
  await flood;
}

it.skipIf(whyNotMosquitto() !== null)(
  `naive forwards what a broker delivers${because(whyNotMosquitto())}`,
  async () => {
    const broker = await startMosquitto();
    await sink.call("reset", "accept");
    const contestant = await start("naive", "consume", broker.url);
    try {
      // What is published before it has subscribed is gone; so publish until something arrives.
      await until(
        async () => {
          await publish(broker.port, 50);
          return (await sink.call("read")).pings > 0;
        },
        { what: "a ping that came by MQTT" },
      );
      const before = (await sink.call("read")).pings;
      await publish(broker.port, 200);
      await untilArrived(before + 200);
    } finally {
      await contestant.stop();
      await broker.stop();
    }
  },
  60_000,
);

it("counts a refusal as a refusal", async () => {
  const contestant = await start("naive", "queue");
  try {
    const result = await webhooks.call("load", {
      url: contestant.webhookUrl,
      token: "another-token",
      readingsPerRequest: 1,
      connections: 1,
      forMs: 30_000,
      maxReadings: 3,
    });
    expect(result).toMatchObject({ accepted: 0, failures: { 401: 3 } });
  } finally {
    await contestant.stop();
  }
});

it("never creates the same fix twice", () => {
  const seen = new Set<string>();
  const rounds = 3;
  for (const perBody of [1, 100]) {
    const readings = createReadings(perBody);
    for (let i = 0; i < (rounds * DEVICES) / perBody; i++) {
      const body = Buffer.alloc(readings.bytes);
      readings.writeNext(body, 0);
      const parsed: unknown = JSON.parse(body.toString());
      for (const { deviceId, time } of [parsed].flat() as { deviceId: string; time: string }[]) {
        expect(new Date(time).toISOString()).toBe(time);
        seen.add(`${deviceId} ${time}`);
      }
    }
  }
  expect(seen.size).toBe(2 * rounds * DEVICES);
});

it("gives the gateway a configuration that it accepts", () => {
  const settings = gatewayConfig(
    {
      redisUrl: redis.url,
      sinkUrl,
      brokerUrl: "mqtt://127.0.0.1:1883",
      floorMode: "queue",
      profileDir: null,
    },
    { http: 18_080, ops: 19_090 },
  );
  expect(loadConfig({ settings, env: {}, adapters, allowWeak: true })).toHaveProperty("config");
});
