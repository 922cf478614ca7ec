/** The fleet sends to a receiver of this test, behaves as vendors do, and counts what it did. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createFleetSecrets,
  fleetBrokerDevices,
  fleetMapping,
  fleetSources,
  startFleet,
} from "../../sandbox/fleet.ts";
import { createSender } from "../../sandbox/sender.ts";
import { createTraffic, type FleetMessage } from "../../sandbox/traffic.ts";
import { FLEET_SOURCES } from "../../sandbox/vendor.ts";
import { scaled } from "../support/speed.ts";

interface Received {
  url: string;
  headers: IncomingMessage["headers"];
  body: string;
  socket: unknown;
}

/** A receiver that gives the prepared answers one after the other, and then `200 {}` for ever. */
let received: Received[];
let answers: ((response: ServerResponse) => void)[];
let webhookUrl: string;
let close: () => Promise<void>;

beforeEach(async () => {
  received = [];
  answers = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    received.push({ url: request.url ?? "", headers: request.headers, body, socket: request.socket });
    const answer = answers.shift() ?? ((normal) => normal.end("{}"));
    answer(response);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  webhookUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhooks`;
  close = () => {
    server.closeAllConnections();
    return new Promise((closed) => server.close(() => closed()));
  };
});
afterEach(() => close());

const secrets = createFleetSecrets();

/** The messages of a minute of a fleet. */
const startMs = Date.now() - 60_000;
const minute = createTraffic({ seed: 1, vehicles: 60, ways: "webhooks_and_mqtt", secrets, startMs }).advance(
  Date.now(),
);

function messageOf(source: string): FleetMessage {
  const message = minute.find((each) => each.source === source && each.kind === "positions");
  if (!message) throw new Error(`The fleet sent nothing for ${source} within a minute.`);
  return message;
}

describe("a sender", () => {
  const status =
    (code: number, headers: Record<string, string> = {}) =>
    (response: ServerResponse) => {
      response.writeHead(code, headers).end("{}");
    };
  async function settled(source: string, given: typeof answers) {
    answers = [...given];
    const sender = createSender({ webhookUrl });
    const message = messageOf(source);
    sender.send(message);
    await expect.poll(() => sender.stats().underWay, { timeout: scaled(20_000) }).toBe(0);
    await sender.stop();
    const stats = Object.values(sender.stats().sources)[0];
    return { message, stats };
  }

  test("posts the exact body with the vendor's headers to the source's own path", async () => {
    const { message, stats } = await settled("motive", []);
    expect(received).toHaveLength(1);
    expect(received[0]).toMatchObject({
      url: "/webhooks/motive",
      body: message.body,
      headers: message.way.via === "webhook" ? message.way.headers : {},
    });
    expect(stats).toMatchObject({ sent: { positions: 1 }, answers: { 200: 1 }, retries: 0, gaveUp: 0 });
    expect(stats?.fixes).toEqual({ none: 1, no_fix: 0, null_island: 0, speed_sentinel: 0 });
  });

  test("sends the same again after 503, after the time it asks for", async () => {
    const { stats } = await settled("traccar", [
      status(503, { "retry-after": "0" }),
      status(503, { "retry-after": "0" }),
    ]);
    expect(received).toHaveLength(3);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    expect(stats).toMatchObject({
      sent: { positions: 1 },
      answers: { 200: 1, 503: 2 },
      retries: 2,
      gaveUp: 0,
    });
  });

  test("waits as long as Retry-After says", async () => {
    const startedAt = performance.now();
    await settled("traccar", [status(503, { "retry-after": "2" })]);
    // Timers may fire a millisecond early.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1998);
  });

  test.each([401, 403, 400, 302])("treats %i as final", async (code) => {
    const { stats } = await settled("motive", [status(code, { location: "/elsewhere" })]);
    expect(received).toHaveLength(1);
    expect(stats).toMatchObject({ answers: { [code]: 1 }, retries: 0, gaveUp: 0 });
  });

  test("sends again after a reset", async () => {
    const { stats } = await settled("json", [(response) => response.socket?.resetAndDestroy()]);
    expect(stats).toMatchObject({ answers: { none: 1, 200: 1 }, retries: 1, gaveUp: 0 });
  });

  test("a reply that Bouncie cannot read is a failure to it, and none to other vendors", async () => {
    const bouncie = await settled("bouncie", [(response) => response.end("thanks")]);
    expect(bouncie.stats).toMatchObject({ answers: { 200: 2 }, badReplies: 1, retries: 1 });
    const motive = await settled("motive", [(response) => response.end("thanks")]);
    expect(motive.stats).toMatchObject({ answers: { 200: 1 }, badReplies: 0, retries: 0 });
  });

  test("keeps its connection", async () => {
    const sender = createSender({ webhookUrl });
    for (const source of ["motive", "json", "traccar"]) {
      sender.send(messageOf(source));
      await expect.poll(() => sender.stats().underWay, { timeout: scaled(10_000) }).toBe(0);
    }
    await sender.stop();
    expect(new Set(received.map(({ socket }) => socket)).size).toBe(1);
  });

  test("gives up messages that wait for their next try when it is stopped", async () => {
    answers = [status(503, { "retry-after": "3600" })];
    const sender = createSender({ webhookUrl });
    sender.send(messageOf("json"));
    await expect
      .poll(() => sender.stats().sources.json?.answers, { timeout: scaled(10_000) })
      .toEqual({ 503: 1 });
    await sender.stop();
    expect(sender.stats()).toMatchObject({ underWay: 0, sources: { json: { gaveUp: 1, retries: 0 } } });
  });
});

test("a fleet sends from all its sources, and its counts are what arrived", async () => {
  const published: { topic: string; payload: string; qos: number }[] = [];
  const fleet = startFleet({
    seed: 3,
    vehicles: 60,
    webhookUrl,
    secrets,
    speedup: 10,
    publishMqtt: async (topic, payload, qos) => {
      published.push({ topic, payload, qos });
    },
  });
  await expect
    .poll(() => Object.keys(fleet.stats().sources).sort(), { timeout: scaled(30_000) })
    .toEqual([...FLEET_SOURCES].sort());
  await fleet.stop();
  const { sources, underWay } = fleet.stats();
  expect(underWay).toBe(0);
  const sum = (counts: Record<string, number>) =>
    Object.values(counts).reduce((total, each) => total + each, 0);
  for (const [source, stats] of Object.entries(sources)) {
    const arrived =
      source === "hsl" || source === "owntracks"
        ? published.filter(({ topic }) => topic.startsWith(source === "hsl" ? "/hfp/" : "owntracks/"))
        : received.filter(({ url }) => url === `/webhooks/${source}`);
    expect(sum(stats.sent)).toBe(arrived.length);
    expect(sum(stats.answers)).toBe(arrived.length);
  }
  expect(sources.json).toMatchObject({ retries: 0, gaveUp: 0, badReplies: 0 });
});

describe("what a configuration is built from", () => {
  test("every source has a vendor and one auth method or the embedded broker, and every broker user a source", () => {
    const sources = fleetSources(secrets);
    for (const source of FLEET_SOURCES) {
      const { auth, mqtt } = sources[source];
      expect(auth === undefined).toBe(mqtt !== undefined);
      if (auth) expect(auth.secret).toBe(secrets[source]);
    }
    for (const { source, password } of fleetBrokerDevices(secrets)) {
      expect(sources[source].mqtt?.broker).toBe("listen");
      expect(password).toBe(secrets[source]);
    }
  });

  test("secrets differ from source to source and from time to time", () => {
    const all = [...Object.values(secrets), ...Object.values(createFleetSecrets())];
    expect(new Set(all).size).toBe(2 * FLEET_SOURCES.length);
  });

  test("the mapping names every device of the fleet once", () => {
    const rows = fleetMapping({ seed: 3, vehicles: 60, ways: "webhooks_and_mqtt" });
    expect(rows).toHaveLength(60);
    expect(new Set(rows.map(({ unit }) => unit)).size).toBe(60);
    expect(rows).toContainEqual({
      source: "json",
      device: "unit-0060",
      unit: "truck-060",
      name: "Truck 060",
    });
  });
});
