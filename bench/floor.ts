/**
 * Reference "floor": the least that works on the same libraries. No sender is authenticated, nothing is checked, a crash
 * loses what was popped. No gateway on the same libraries can do better, so the difference is what care costs.
 *
 *   answer   Hono parses the JSON and answers; nothing is stored
 *   consume  MQTT.js parses the JSON; the library acknowledges by itself; nothing is stored
 *   queue    Hono, RPUSH, answer; LPOP of a batch, POST, again
 */

import { setTimeout as pause } from "node:timers/promises";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { Redis } from "ioredis";
import mqtt from "mqtt";
import { Pool } from "undici";
import { serveParent } from "./child.ts";
import { type Reading, toPing } from "./ping.ts";

/** The benchmark gives them as one JSON argument. */
export interface FloorSettings {
  mode: "answer" | "consume" | "queue";
  redisUrl: string;
  sinkUrl: string;
  pingsPath: string;
  batchPings: number;
  postsInFlight: number;
  mqtt: { url: string; topic: string; receiveMaximum: number } | null;
}

const settings: FloorSettings = JSON.parse(process.argv[2] ?? "{}");
const KEY = "floor:pings";
/** Not every pop finds a full batch; waiting this long for more avoids small POSTs, which cost most of the processor. */
const FILL_MS = 10;

const app = new Hono();
let isHeld = false;
/** Each loop's pop that Redis has not answered yet. */
const popsInFlight = new Set<Promise<unknown>>();

if (settings.mode === "answer") {
  app.post("/webhooks/bench", async (c) => {
    await c.req.json();
    return c.json({ ok: true });
  });
}

if (settings.mode === "queue") {
  const redis = new Redis(settings.redisUrl);
  app.post("/webhooks/bench", async (c) => {
    const body: Reading | Reading[] = await c.req.json();
    const readings = Array.isArray(body) ? body : [body];
    await redis.rpush(KEY, ...readings.map((reading) => JSON.stringify(toPing(reading))));
    return c.json({ ok: true });
  });
  for (let i = 0; i < settings.postsInFlight; i++) void deliver();
}

async function deliver(): Promise<void> {
  const redis = new Redis(settings.redisUrl);
  const pool = new Pool(settings.sinkUrl, { connections: 1 });
  for (;;) {
    const pings = isHeld ? null : await pop(redis);
    if (pings !== null) {
      const { body } = await pool.request({
        method: "POST",
        path: settings.pingsPath,
        headers: { "content-type": "application/json" },
        body: `[${pings.join(",")}]`,
      });
      await body.json();
    }
    if ((pings?.length ?? 0) < settings.batchPings) await pause(FILL_MS);
  }
}

async function pop(redis: Redis): Promise<string[] | null> {
  const popped = redis.lpop(KEY, settings.batchPings);
  popsInFlight.add(popped);
  try {
    return await popped;
  } finally {
    popsInFlight.delete(popped);
  }
}

if (settings.mode === "consume" && settings.mqtt !== null) {
  const { url, topic, receiveMaximum } = settings.mqtt;
  const client = mqtt.connect(url, {
    protocolVersion: 5,
    clean: false,
    clientId: "floor",
    properties: { sessionExpiryInterval: 600, receiveMaximum },
  });
  client.on("connect", () => client.subscribe(topic, { qos: 1 }));
  client.on("message", (_topic, payload) => {
    JSON.parse(payload.toString());
  });
}

const handlers = {
  address(): Promise<number> {
    return new Promise((resolve) => {
      serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => resolve(port));
    });
  },
  /** What is stored once this is done stays: a pop on its way to Redis would still find it. */
  async hold(): Promise<void> {
    isHeld = true;
    await Promise.all(popsInFlight);
  },
  release(): void {
    isHeld = false;
  },
};
export type Floor = typeof handlers;

serveParent(handlers);
