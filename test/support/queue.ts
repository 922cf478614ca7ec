/** The queue on a private Redis in front of the sandbox: what the queue's tests work with. */

import { Redis } from "ioredis";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import type { StoreEntry } from "../../src/ingest/store.ts";
import {
  createQueue,
  type Queue,
  type QueueEvents,
  type QueueOptions,
  type QueueSource,
} from "../../src/queue/queue.ts";
import type { QueueDestination } from "../../src/queue/redis/destination.ts";
import { scopeOf, scopePrefix } from "../../src/queue/redis/keys.ts";
import type { Reading } from "../../src/reading.ts";
import { createClient } from "../../src/servicetitan/client.ts";
import { type Accounting, sumAccounting } from "../../src/status/accounting.ts";
import type { DestinationStatus, QueueStatus } from "../../src/status/queue.ts";
import { until } from "./wait.ts";

/** An event as it was reported, with its name. */
export interface Reported {
  name: string;
  event: Record<string, unknown>;
}

export interface TestQueue {
  redis: PrivateRedis;
  /** A connection of the test's own, for looking at what lies in Redis. */
  db: Redis;
  sandbox: SandboxApi;
  queue: Queue;
  reported: Reported[];
  /** The first destination. */
  destination: QueueDestination;
  destinations: ReadonlyMap<string, QueueDestination>;
  sources: ReadonlyMap<string, QueueSource>;
  /** Stores one message with these readings. */
  store(readings: readonly Reading[], source?: string): ReturnType<Queue["store"]["add"]>;
  /** The accounting, summed over all sources. */
  account(): Promise<Accounting>;
  statusOf(destination?: string): Promise<DestinationStatus>;
  /** Resolves with the accounting when nothing waits and nothing is in flight. */
  empty(withinMs?: number): Promise<Accounting>;
  /** The same, with every pause of the first destination ended at once: its quarter of a minute is not what is tested. */
  emptyInHaste(withinMs?: number): Promise<Accounting>;
  /** Everything that does not add up, in words; empty when all is well. */
  mismatches(): Promise<string[]>;
  /** Another queue on the same Redis, as another process would have, perhaps with another configuration. */
  another(changes?: Partial<Pick<QueueOptions, "sources" | "destinations">>): Queue;
  close(): Promise<void>;
}

export interface TestQueueOptions {
  /** Changes to the first destination, `acme`. */
  destination?: Partial<QueueDestination>;
  /** Further destinations, each like the first but for what is given. */
  more?: Record<string, Partial<QueueDestination>>;
  /** Changes to the first source, `vans`. */
  source?: Partial<QueueSource>;
  /** Further sources, each like the first but for what is given. */
  moreSources?: Record<string, Partial<QueueSource>>;
  mapping?: QueueOptions["mapping"];
  budgets?: QueueOptions["budgets"];
  sandboxRate?: number;
  requestTimeoutMs?: number;
  /** Base address of another API than the sandbox; tokens still come from the sandbox. */
  apiUrl?: string;
}

/** A second tenant the sandbox knows: a throttle scope of its own. */
export const OTHER_TENANT = "1000002";
const TENANTS = [SANDBOX_CLIENT.tenants[0], OTHER_TENANT];
const PREFIX = "waypost";

const NOT_WORTH_KEEPING = new Set(["storeTook", "deliveryLatency", "batchFormed"]);

/** Key prefix of a tenant's scope. */
function scopeOfTenant(tenant: string): string {
  return scopePrefix(PREFIX, scopeOf(SANDBOX_CLIENT.appKey, tenant));
}

export function destinationOf(urls: { apiUrl: string; authUrl: string }, timeoutMs = 5000): QueueDestination {
  const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
  return {
    name: "acme",
    keyPrefix: scopeOfTenant(tenants[0]),
    target: {
      name: "acme",
      tenant: tenants[0],
      provider: providers[0],
      appKey,
      clientId,
      clientSecret,
      ...urls,
      requestTimeoutMs: timeoutMs,
    },
    ratePerSecond: 20,
    windowMs: 1040,
    slotSlackMs: 10,
    maxBatchPings: 100,
    maxBatchBytes: 64_000,
    maxBatchAgeMs: 100,
    lanes: 4,
    maxAgeMs: 600_000,
    backfill: "drop",
    isNew: "first",
    speedUnit: "mph",
    bufferBytes: 256_000_000,
  };
}

export function sourceOf(scope: string, maxAgeMs: number): QueueSource {
  return {
    name: "vans",
    vendor: "json",
    transport: "webhook",
    destination: "acme",
    home: scope,
    unmapped: "forward",
    maxImpliedMps: undefined,
    minIntervalMs: undefined,
    maxAgeMs,
  };
}

/** Budgets no test reaches by accident. */
const WIDE_BUDGETS: QueueOptions["budgets"] = [
  { name: "ledger", bytes: 100_000_000, maxAgeMs: 86_400_000 },
  { name: "dead", bytes: 100_000_000, maxAgeMs: 86_400_000 },
  { name: "quarantine", bytes: 100_000_000, maxAgeMs: 86_400_000 },
];

export async function startTestQueue(options: TestQueueOptions = {}): Promise<TestQueue> {
  const redis = await startPrivateRedis();
  const clients = [{ ...SANDBOX_CLIENT, tenants: TENANTS }];
  const sandbox = await startSandboxApi({ record: "all", ratePerSecond: options.sandboxRate ?? 60, clients });
  const urls = { apiUrl: options.apiUrl ?? sandbox.url, authUrl: sandbox.authUrl };
  const first = { ...destinationOf(urls, options.requestTimeoutMs), ...options.destination };
  const destinations = named(first, options.more);
  const source = { ...sourceOf(first.keyPrefix, first.maxAgeMs), ...options.source };
  const sources = named(source, options.moreSources);
  const reported: Reported[] = [];
  const made: Queue[] = [];

  function another(changes: Partial<QueueOptions> = {}): Queue {
    const queue = createQueue({
      whileRedisIsAway: "senders get 503 until then.",
      redis: { url: redis.url, commandTimeoutMs: 2000, prefix: PREFIX },
      sources,
      destinations,
      mapping: options.mapping ?? null,
      client: createClient({ proxy: { httpProxy: null, httpsProxy: null, noProxy: "" } }),
      concurrency: 100,
      lockMs: 2000,
      stalledCheckMs: 1500,
      groupCommitMs: 0,
      ledgerMaxAgeMs: 86_400_000,
      budgets: options.budgets ?? WIDE_BUDGETS,
      events: listener(reported),
      ...changes,
    });
    made.push(queue);
    return queue;
  }

  const queue = another();
  const db = new Redis(redis.url);
  // A Redis that has never seen a request is waited for; here nothing was sent before.
  for (const tenant of TENANTS) await db.rpush(`${scopeOfTenant(tenant)}:slots`, 0);
  // Tests stop Redis on purpose; without a listener ioredis writes every failed connection to the console.
  db.on("error", () => {});
  await until(async () => (await queue.readiness()).length === 0, { withinMs: 10_000, what: "Redis" });
  const account = async () => sumAccounting((await queue.queryStatus()).sources);

  async function emptied(withinMs: number, meanwhile: () => Promise<void>): Promise<Accounting> {
    let last: Accounting | undefined;
    const isEmpty = async () => {
      await meanwhile();
      last = await account();
      return last.waiting + last.inFlight === 0 ? last : false;
    };
    return until(isEmpty, { withinMs, what: "an empty queue" }).catch((error: unknown) => {
      throw new Error(`the queue is not empty: ${JSON.stringify(last)}`, { cause: error });
    });
  }

  return {
    redis,
    db,
    sandbox,
    queue,
    reported,
    destination: first,
    destinations,
    sources,
    store: (readings, name = source.name) => queue.store.add(messageOf(readings, name)),
    account,
    async statusOf(name = first.name) {
      const found = (await queue.queryStatus()).destinations.find((each) => each.name === name);
      if (!found) throw new Error(`no destination ${name}`);
      return found;
    },
    empty: (withinMs = 20_000) => emptied(withinMs, async () => {}),
    emptyInHaste(withinMs = 20_000) {
      const gate = `${first.keyPrefix}:gate:${first.name}`;
      return emptied(withinMs, async () => {
        if ((await db.hget(gate, "state")) === "paused") await db.hset(gate, "until", Date.now());
      });
    },
    mismatches: async () => mismatchesIn(await queue.queryStatus()),
    another,
    async close() {
      for (const each of made) await each.close();
      db.disconnect();
      await sandbox.stop();
      await redis.stop();
    },
  };
}

/** The identity of every source, and that an empty queue takes up no bytes. */
export function mismatchesIn({ sources, destinations }: QueueStatus): string[] {
  const mismatches = sources.flatMap(({ name, identity, accounting }) =>
    Object.entries(identity)
      .filter(([, difference]) => difference !== 0)
      .map(([term, difference]) => `${name}: ${term} off by ${difference} in ${JSON.stringify(accounting)}`),
  );
  for (const { name, waiting, inFlight, bufferBytes } of destinations) {
    if (waiting + inFlight === 0 && bufferBytes !== 0)
      mismatches.push(`${name}: empty, yet ${bufferBytes} bytes`);
    if (waiting + inFlight > 0 && bufferBytes <= 0)
      mismatches.push(`${name}: not empty, yet ${bufferBytes} bytes`);
  }
  return mismatches;
}

/** A message with these readings, as ingest passes it to store. */
export function messageOf(readings: readonly Reading[], source = "vans", body?: Uint8Array): StoreEntry {
  return {
    kind: "decoded",
    source,
    receivedAt: Date.now(),
    rawReadings: readings.length,
    readings: [...readings],
    rejections: new Map(),
    defects: new Map(),
    body: body ?? Buffer.from(JSON.stringify(readings)),
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

function named<T extends { name: string }>(first: T, more: Record<string, Partial<T>> = {}): Map<string, T> {
  const all = new Map([[first.name, first]]);
  for (const [name, change] of Object.entries(more)) all.set(name, { ...first, ...change, name });
  return all;
}

function listener(reported: Reported[]): QueueEvents {
  const listen =
    (name: string) =>
    (event: object | number | string): void => {
      if (!NOT_WORTH_KEEPING.has(name) && typeof event === "object")
        reported.push({ name, event: { ...event } });
    };
  return {
    attemptMade: listen("attemptMade"),
    batchSettled: listen("batchSettled"),
    pingsDeadLettered: listen("pingsDeadLettered"),
    gateChanged: listen("gateChanged"),
    deliveryLatency: listen("deliveryLatency"),
    sweepFound: listen("sweepFound"),
    storeTook: listen("storeTook"),
    batchFormed: listen("batchFormed"),
    redisProblem: listen("redisProblem"),
    redisRecovered: listen("redisRecovered"),
    failed: listen("failed"),
  };
}
