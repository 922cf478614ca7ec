/** The queue on a private Redis in front of the sandbox: what the queue's tests work with. */

import type { Reading } from "../../src/reading.ts";
import type { QueueDestination } from "../../src/queue/destination.ts";
import { scopeOf, scopePrefix } from "../../src/queue/keys.ts";
import { createQueue, type Queue, type QueueEvents, type QueueOptions, type QueueSource } from "../../src/queue/queue.ts";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../src/sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/sandbox/redis.ts";
import { createClient } from "../../src/servicetitan/client.ts";
import { until } from "./wait.ts";

/** An event as it was told, with its name. */
export interface Told {
  name: string;
  event: Record<string, unknown>;
}

export interface Line {
  redis: PrivateRedis;
  sandbox: SandboxApi;
  queue: Queue;
  told: Told[];
  destination: QueueDestination;
  /** Keeps one message with these readings. */
  keep(readings: Reading[], source?: string): ReturnType<Queue["keep"]["keep"]>;
  /** Resolves when nothing waits and nothing is in flight. */
  empty(withinMs?: number): Promise<void>;
  /** Another queue on the same Redis, as another process would have. */
  another(): Queue;
  close(): Promise<void>;
}

export interface LineOptions {
  destination?: Partial<QueueDestination>;
  source?: Partial<QueueSource>;
  mapping?: QueueOptions["mapping"];
  budgets?: QueueOptions["budgets"];
  sandboxRate?: number;
}

const NOT_WORTH_KEEPING = new Set(["keepTook", "deliveryLatency", "batchCut"]);

export async function startLine(options: LineOptions = {}): Promise<Line> {
  const redis = await startPrivateRedis();
  const sandbox = await startSandboxApi({ record: "all", ratePerSecond: options.sandboxRate ?? 60 });
  const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
  const scope = scopePrefix("waypost", scopeOf(appKey, tenants[0]));
  const destination: QueueDestination = {
    name: "acme",
    scope,
    target: {
      name: "acme",
      tenant: tenants[0],
      provider: providers[0],
      appKey,
      clientId,
      clientSecret,
      apiUrl: sandbox.url,
      authUrl: sandbox.authUrl,
      requestTimeoutMs: 5000,
    },
    ratePerSecond: 20,
    windowMs: 1050,
    slotLifeMs: 25,
    maxBatchPings: 100,
    maxBatchBytes: 64_000,
    maxBatchAgeMs: 100,
    lanes: 4,
    maxAgeMs: 600_000,
    backfill: "drop",
    isNew: "first",
    speedUnit: "mph",
    bufferBytes: 256_000_000,
    ...options.destination,
  };
  const source: QueueSource = {
    name: "vans",
    vendor: "json",
    transport: "webhook",
    destination: "acme",
    home: scope,
    unmapped: "forward",
    maxImpliedMps: undefined,
    minIntervalMs: undefined,
    maxAgeMs: destination.maxAgeMs,
    ...options.source,
  };
  const told: Told[] = [];
  const another = () =>
    createQueue({
      redis: { url: redis.url, commandTimeoutMs: 2000, prefix: "waypost" },
      sources: new Map([[source.name, source]]),
      destinations: new Map([[destination.name, destination]]),
      mapping: options.mapping ?? null,
      client: createClient({ proxy: { httpProxy: null, httpsProxy: null, noProxy: "" } }),
      concurrency: 100,
      lockMs: 2000,
      stalledCheckMs: 1500,
      groupCommitMs: 0,
      ledgerMaxAgeMs: 86_400_000,
      budgets: options.budgets ?? [
        { name: "ledger", bytes: 100_000_000, maxAgeMs: 86_400_000, overheadBytes: 60 },
        { name: "dead", bytes: 100_000_000, maxAgeMs: 86_400_000, overheadBytes: 0 },
        { name: "quarantine", bytes: 100_000_000, maxAgeMs: 86_400_000, overheadBytes: 100 },
      ],
      events: listener(told),
    });
  const queue = another();
  const others: Queue[] = [];
  await until(async () => (await queue.readiness()).length === 0, { withinMs: 10_000, what: "Redis" });

  return {
    redis,
    sandbox,
    queue,
    told,
    destination,
    keep: (readings, name = source.name) =>
      queue.keep.keep({
        kind: "read",
        source: name,
        receivedAt: Date.now(),
        candidates: readings.length,
        readings,
        rejections: new Map(),
        defects: new Map(),
        body: Buffer.from(JSON.stringify(readings)),
      }),
    async empty(withinMs = 20_000) {
      await until(
        async () => {
          const { sources } = await queue.queryStatus();
          return sources.every(({ accounting }) => accounting.waiting + accounting.inFlight === 0);
        },
        { withinMs, what: "an empty line" },
      );
    },
    another() {
      const made = another();
      others.push(made);
      return made;
    },
    async close() {
      for (const each of [queue, ...others]) await each.close();
      await sandbox.stop();
      await redis.stop();
    },
  };
}

/** A reading of `device`, `secondsAgo` old, somewhere in Dallas. */
export function readingOf(device: string, secondsAgo: number, place: Partial<Reading> = {}): Reading {
  const now = Date.now();
  return {
    deviceId: device,
    fixTime: now - Math.round(secondsAgo * 1000),
    receivedAt: now,
    latitude: 32.78,
    longitude: -96.8,
    speedMps: 10,
    headingDeg: 45,
    ...place,
  };
}

function listener(told: Told[]): QueueEvents {
  const listen =
    (name: string) =>
    (event: object | number | string): void => {
      if (!NOT_WORTH_KEEPING.has(name) && typeof event === "object") told.push({ name, event: { ...event } });
    };
  return {
    attemptMade: listen("attemptMade"),
    batchSettled: listen("batchSettled"),
    pingsDeadLettered: listen("pingsDeadLettered"),
    gateChanged: listen("gateChanged"),
    deliveryLatency: listen("deliveryLatency"),
    sweepFound: listen("sweepFound"),
    keepTook: listen("keepTook"),
    batchCut: listen("batchCut"),
    redisProblem: listen("redisProblem"),
    redisRecovered: listen("redisRecovered"),
    failed: listen("failed"),
  };
}
