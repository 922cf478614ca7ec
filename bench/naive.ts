/**
 * Reference "naive": what a good engineer ships in a day. Hono and zod, a job for each ping, a worker that POSTs
 * them one by one a hundred at a time over kept-alive connections, BullMQ's retries, MQTT.js with its default
 * acknowledgement.
 */

import { serve } from "@hono/node-server";
import { Queue, Worker } from "bullmq";
import { Hono } from "hono";
import mqtt from "mqtt";
import { Pool } from "undici";
import { z } from "zod";
import { serveParent } from "./child.ts";
import { toPing } from "./ping.ts";

/** The benchmark gives them as one JSON argument. */
export interface NaiveSettings {
  redisUrl: string;
  sinkUrl: string;
  pingsPath: string;
  tokenPath: string;
  token: string;
  mqtt: { url: string; topic: string; receiveMaximum: number } | null;
}

const settings: NaiveSettings = JSON.parse(process.argv[2] ?? "{}");
const CONCURRENCY = 100;

const reading = z.object({
  deviceId: z.string().min(1),
  latitude: z.number().min(-90).max(90),
  longitude: z.number().min(-180).max(180),
  time: z.iso.datetime(),
  speed: z.number().nonnegative(),
  speedUnit: z.enum(["mph", "kph", "mps", "knots"]),
  heading: z.number().min(0).max(360),
});
const message = z.union([reading, z.array(reading)]);

const connection = {
  host: "127.0.0.1",
  port: Number(new URL(settings.redisUrl).port),
  maxRetriesPerRequest: null,
};
const queue = new Queue("pings", {
  connection,
  defaultJobOptions: {
    attempts: 10,
    backoff: { type: "exponential", delay: 1000 },
    removeOnComplete: true,
    removeOnFail: 1000,
  },
});

const pool = new Pool(settings.sinkUrl, { connections: CONCURRENCY });
let accessToken: Promise<string> | null = null;

async function fetchToken(): Promise<string> {
  const { body } = await pool.request({
    method: "POST",
    path: settings.tokenPath,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: "grant_type=client_credentials&client_id=bench&client_secret=bench",
  });
  return z.object({ access_token: z.string() }).parse(await body.json()).access_token;
}

const results = z.array(z.object({ externalId: z.string(), status: z.enum(["Success", "Fail"]) }));

const worker = new Worker<z.infer<typeof reading>>(
  "pings",
  async (job) => {
    accessToken ??= fetchToken();
    const { statusCode, body } = await pool.request({
      method: "POST",
      path: settings.pingsPath,
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${await accessToken}`,
        "st-app-key": "bench",
      },
      body: JSON.stringify([toPing(job.data)]),
    });
    const answer = await body.json();
    if (statusCode !== 200) throw new Error(`ServiceTitan answered ${statusCode}`);
    if (results.parse(answer)[0]?.status !== "Success") throw new Error("ping refused");
  },
  { connection, concurrency: CONCURRENCY },
);
worker.on("error", (error) => console.error(error));

const app = new Hono();
app.post("/webhooks/bench", async (c) => {
  if (c.req.header("authorization") !== `Bearer ${settings.token}`)
    return c.json({ error: "unauthorized" }, 401);
  const parsed = message.safeParse(await c.req.json());
  if (!parsed.success) return c.json({ error: z.prettifyError(parsed.error) }, 400);
  const readings = Array.isArray(parsed.data) ? parsed.data : [parsed.data];
  await queue.addBulk(readings.map((data) => ({ name: "ping", data })));
  return c.json({ accepted: readings.length });
});

if (settings.mqtt !== null) {
  const { url, topic, receiveMaximum } = settings.mqtt;
  const client = mqtt.connect(url, {
    protocolVersion: 5,
    clean: false,
    clientId: "naive",
    properties: { sessionExpiryInterval: 600, receiveMaximum },
  });
  client.on("connect", () => client.subscribe(topic, { qos: 1 }));
  client.on("message", async (_topic, payload) => {
    const parsed = reading.safeParse(JSON.parse(payload.toString()));
    if (parsed.success) await queue.add("ping", parsed.data);
  });
}

const handlers = {
  address(): Promise<number> {
    return new Promise((resolve) => {
      serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => resolve(port));
    });
  },
  async hold(): Promise<void> {
    await queue.pause();
  },
  async release(): Promise<void> {
    await queue.resume();
  },
};
export type Naive = typeof handlers;

serveParent(handlers);
