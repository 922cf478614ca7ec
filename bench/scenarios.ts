/** What is measured: each scenario takes one contestant through one turn and returns its figures. */

import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import type { PrivateRedis } from "../sandbox/redis.ts";
import type { Mosquitto } from "../test/support/mosquitto.ts";
import { watchBroker } from "./broker-counts.ts";
import { type Child, cpuSeconds } from "./child.ts";
import { type Contestant, TOKEN, TOPIC } from "./contestants.ts";
import type { FloorSettings } from "./floor.ts";
import type { Publisher } from "./publisher.ts";
import type { Sink } from "./sink.ts";
import type { Load, LoadResult, Webhooks } from "./webhooks.ts";

export const SCENARIOS = ["webhook-1", "webhook-100", "mqtt-qos1", "drain"] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

/** Which of the floor's programs does what the scenario measures. */
export const FLOOR_MODE: Record<ScenarioName, FloorSettings["mode"]> = {
  "webhook-1": "answer",
  "webhook-100": "queue",
  "mqtt-qos1": "consume",
  drain: "queue",
};

export interface Effort {
  /** Length of the measured part of a turn. */
  measureMs: number;
  /** Load before it, so that no contestant is measured before V8 has compiled its code. */
  warmUpMs: number;
  backlogPings: number;
}

/** Everything a turn needs: fresh Redis and contestant, shared generators and sink. */
export interface Stage {
  contestant: Contestant;
  redis: PrivateRedis;
  broker: Mosquitto | null;
  sink: Child<Sink>;
  webhooks: Child<Webhooks>;
  publisher: Child<Publisher>;
}

/** Null: the scenario does not show it. */
export interface Figures {
  pingsPerSecond: number;
  p50Ms: number | null;
  p99Ms: number | null;
  redisBytesPerPing: number | null;
  /** Share of one processor each process used while it was measured. */
  cpu: Record<string, number>;
  /** Anything that makes the figure less than it seems; empty when all went well. */
  remarks: string[];
}

const CONNECTIONS = 64;
const POLL_MS = 20;
/** The broker reports at its own even seconds, so a stretch may be a little shorter than wanted. */
const ENOUGH = 0.95;

export function play(scenario: ScenarioName, stage: Stage, effort: Effort): Promise<Figures> {
  switch (scenario) {
    case "webhook-1":
      return answerSingles(stage, effort);
    case "webhook-100":
      return sustainHundreds(stage, effort);
    case "mqtt-qos1":
      return consume(stage, effort);
    case "drain":
      return drain(stage, effort);
    default:
      return scenario satisfies never;
  }
}

function request(
  stage: Stage,
  load: Pick<Load, "readingsPerRequest" | "forMs"> & Partial<Load>,
): Promise<LoadResult> {
  return stage.webhooks.call("load", {
    url: stage.contestant.webhookUrl,
    token: TOKEN,
    connections: CONNECTIONS,
    maxReadings: Number.MAX_SAFE_INTEGER,
    ...load,
  });
}

/** Requests answered per second. The gateway answers after storing, and delivers what it stored at the same time. */
async function answerSingles(stage: Stage, effort: Effort): Promise<Figures> {
  await request(stage, { readingsPerRequest: 1, forMs: effort.warmUpMs });
  const cpu = startCpu(stage);
  const result = await request(stage, { readingsPerRequest: 1, forMs: effort.measureMs });
  return {
    pingsPerSecond: perSecond(result.accepted, result.tookMs),
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    redisBytesPerPing: null,
    cpu: cpu(),
    remarks: failures(result),
  };
}

/**
 * Pings that reached the sink, over the time from the first request to the last arrival: load for `measureMs`, then
 * time to deliver what is left. Storing faster than delivering therefore neither wins nor costs anything.
 */
async function sustainHundreds(stage: Stage, effort: Effort): Promise<Figures> {
  await stage.sink.call("reset", "accept");
  const warmUp = await request(stage, { readingsPerRequest: 100, forMs: effort.warmUpMs });
  await untilArrived(stage, warmUp.accepted, effort.warmUpMs);
  const before = await stage.sink.call("read");
  const stillWaiting = warmUp.accepted - before.pings;
  const cpu = startCpu(stage);
  const result = await request(stage, { readingsPerRequest: 100, forMs: effort.measureMs });
  const used = cpu();
  const during = await stage.sink.call("read");
  await untilArrived(stage, warmUp.accepted + result.accepted, effort.measureMs * DRAIN_LENGTHS);
  const after = await stage.sink.call("read");
  const arrived = after.pings - before.pings;
  const left = stillWaiting + result.accepted - arrived;
  return {
    pingsPerSecond: perSecond(arrived, after.lastAtMs - before.nowMs),
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    redisBytesPerPing: null,
    cpu: used,
    remarks: [
      ...failures(result),
      `stored ${rate(result.accepted, result.tookMs)}/s, delivered ${rate(during.pings - before.pings, during.nowMs - before.nowMs)}/s meanwhile`,
      ...(left > 0 ? [`${left} pings still waiting when time was up`] : []),
      ...(left < 0 ? [`${-left} pings arrived twice`] : []),
    ],
  };
}

/**
 * PUBACKs per second, as the broker counts them. The broker always has messages waiting, and gets new ones only as
 * fast as they are acknowledged: a flood would cost a processor that a slower contestant then lacks.
 */
async function consume(stage: Stage, effort: Effort): Promise<Figures> {
  if (stage.broker === null) throw new Error("this scenario needs a broker");
  const { publisher } = stage;
  const counts = await watchBroker(stage.broker.url);
  const next = async () => {
    const report = await counts.next();
    await publisher.call("allow", report.pubacks + BROKER_BACKLOG);
    return report;
  };
  const flood = publisher.call("flood", { port: stage.broker.port, topic: TOPIC, allowed: BROKER_BACKLOG });
  // Awaited below; until then a failure must not end the process before everything is stopped.
  flood.catch(() => {});
  while ((await publisher.call("published")) < BROKER_BACKLOG) await next();
  await pause(effort.warmUpMs);
  const first = await next();
  const before = await publisher.call("published");
  const cpu = startCpu(stage);
  let last = await next();
  while (last.atMs - first.atMs < effort.measureMs * ENOUGH) last = await next();
  const used = cpu();
  const tookMs = last.atMs - first.atMs;
  const published = (await publisher.call("published")) - before;
  await publisher.call("stop");
  await flood;
  await counts.stop();
  return {
    pingsPerSecond: perSecond(last.pubacks - first.pubacks, tookMs),
    p50Ms: null,
    p99Ms: null,
    redisBytesPerPing: null,
    cpu: used,
    remarks: [`published ${rate(published, tookMs)}/s meanwhile`],
  };
}

/** Pings per second from the first arrival to the last, of a backlog that came in by webhook while nothing could leave. */
async function drain(stage: Stage, effort: Effort): Promise<Figures> {
  const { contestant, sink } = stage;
  await sink.call("reset", "accept");
  const warmUp = await request(stage, {
    readingsPerRequest: 100,
    forMs: effort.warmUpMs,
    maxReadings: effort.backlogPings / 4,
  });
  await untilArrived(stage, warmUp.accepted, effort.warmUpMs * DRAIN_LENGTHS);

  await contestant.hold();
  await sink.call("reset", "unavailable");
  const emptyBytes = await redisBytes(stage);
  const preload = await request(stage, {
    readingsPerRequest: 100,
    forMs: 60_000,
    maxReadings: effort.backlogPings,
  });
  const fullBytes = await redisBytes(stage);

  await sink.call("reset", "accept");
  const { nowMs: releasedAtMs } = await sink.call("read");
  await contestant.release();
  // A contestant that has paused the destination probes it within seconds; the clock starts then.
  await until(async () => (await sink.call("read")).posts > 0, RECOVERY_MS);
  const cpu = startCpu(stage);
  await untilArrived(stage, preload.accepted, effort.measureMs * DRAIN_LENGTHS);
  const used = cpu();
  const { pings, firstPings, firstAtMs, lastAtMs } = await sink.call("read");
  return {
    pingsPerSecond: perSecond(pings - firstPings, lastAtMs - firstAtMs),
    p50Ms: null,
    p99Ms: null,
    redisBytesPerPing: (fullBytes - emptyBytes) / preload.accepted,
    cpu: used,
    remarks: [
      ...failures(preload),
      `first arrival ${Math.round(firstAtMs - releasedAtMs)} ms after the destination came back`,
      ...(pings < preload.accepted
        ? [`${preload.accepted - pings} pings still waiting when time was up`]
        : []),
      ...(pings > preload.accepted ? [`${pings - preload.accepted} pings arrived twice`] : []),
    ],
  };
}

/** Messages that wait in the broker: more than any contestant acknowledges between two reports. */
const BROKER_BACKLOG = 400_000;
/** Stretches of the measured length that a backlog may take to drain before it is cut off. */
const DRAIN_LENGTHS = 5;
/** Longer than any backoff between two probes of a destination that was unavailable. */
const RECOVERY_MS = 15_000;

async function untilArrived(stage: Stage, pings: number, withinMs: number): Promise<void> {
  await until(async () => (await stage.sink.call("read")).pings >= pings, withinMs);
}

/** Gives up without an error: the figures show what is missing. */
async function until(isTrue: () => Promise<boolean>, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await isTrue()) && performance.now() < deadline) await pause(POLL_MS);
}

async function redisBytes(stage: Stage): Promise<number> {
  const redis = new Redis(stage.redis.url);
  const used = /used_memory:(\d+)/.exec(await redis.info("memory"))?.[1];
  await redis.quit();
  return Number(used);
}

function startCpu(stage: Stage): () => Record<string, number> {
  const pids: Record<string, number> = {
    contestant: stage.contestant.pid,
    redis: stage.redis.pid,
    sink: stage.sink.pid,
    webhooks: stage.webhooks.pid,
    publisher: stage.publisher.pid,
    ...(stage.broker === null ? {} : { broker: stage.broker.pid }),
  };
  const startedAtMs = performance.now();
  const before = Object.entries(pids).map(([name, pid]) => ({ name, pid, seconds: cpuSeconds(pid) }));
  return () => {
    const tookS = (performance.now() - startedAtMs) / 1000;
    const shares: Record<string, number> = {};
    for (const { name, pid, seconds } of before) {
      const now = cpuSeconds(pid);
      if (seconds !== null && now !== null) shares[name] = (now - seconds) / tookS;
    }
    return shares;
  };
}

function failures({ failures }: LoadResult): string[] {
  return Object.entries(failures).map(([status, count]) => `${count} requests answered ${status}`);
}

function perSecond(count: number, tookMs: number): number {
  return tookMs > 0 ? (count * 1000) / tookMs : 0;
}

function rate(count: number, tookMs: number): string {
  return Math.round(perSecond(count, tookMs)).toLocaleString("en");
}
