/** What Redis holds without a delivery: for tests of storing and forming batches that decide themselves what comes next. */

import { Redis } from "ioredis";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { createJobs } from "../../src/queue/batch/jobs.ts";
import { type NextBatch, nextBatch } from "../../src/queue/batch/next-batch.ts";
import { createQuarantine } from "../../src/queue/ledger/quarantine.ts";
import { createStatus } from "../../src/queue/lookup/status.ts";
import type { QueueSource } from "../../src/queue/queue.ts";
import type { QueueDestination } from "../../src/queue/redis/destination.ts";
import { scopePrefix } from "../../src/queue/redis/keys.ts";
import { type BufferRecord, decodeRecord } from "../../src/queue/redis/record.ts";
import { createRoutes, type RoutesOptions } from "../../src/queue/store/routes.ts";
import { createStore } from "../../src/queue/store/store.ts";
import type { Reading } from "../../src/reading.ts";
import { type Accounting, sumAccounting } from "../../src/status/accounting.ts";
import type { QueueStatus } from "../../src/status/queue.ts";
import { destinationOf, messageOf, mismatchesIn, sourceOf } from "./queue.ts";

export interface StoreOptions {
  destination?: Partial<QueueDestination>;
  more?: Record<string, Partial<QueueDestination> & { otherScope?: true }>;
  source?: Partial<QueueSource>;
  moreSources?: Record<string, Partial<QueueSource>>;
  mapping?: RoutesOptions["mapping"];
  quarantineBytes?: number;
}

export interface Store {
  db: Redis;
  /** Key prefix of the first destination's scope. */
  keyPrefix: string;
  destination: QueueDestination;
  destinations: ReadonlyMap<string, QueueDestination>;
  sources: ReadonlyMap<string, QueueSource>;
  routes: ReturnType<typeof createRoutes>;
  store: ReturnType<typeof createStore>;
  /** Stores one message with these readings. */
  add(readings: readonly Reading[], source?: string): ReturnType<ReturnType<typeof createStore>["add"]>;
  /** Asks a lane of the first destination for a batch. */
  nextBatch(lane?: number): Promise<NextBatch>;
  /** Asks until there is more to say than "again", and reads the batch; throws when there is none. */
  batch(lane?: number): Promise<{ id: string; records: BufferRecord[]; newFlags: string }>;
  /** How many quarantined messages made room for others. */
  quarantineTrimmed(): number;
  status(): Promise<QueueStatus>;
  account(): Promise<Accounting>;
  mismatches(): Promise<string[]>;
}

/** One Redis for a test file; every store on it has keys of its own. */
export async function startStores(): Promise<{
  redis: PrivateRedis;
  open(options?: StoreOptions): Store;
  close(): Promise<void>;
}> {
  const redis = await startPrivateRedis();
  const closers: (() => Promise<void>)[] = [];
  let opened = 0;

  function open(options: StoreOptions = {}): Store {
    opened++;
    const db = new Redis(redis.url, { maxRetriesPerRequest: null });
    const home = scopePrefix(`s${opened}`, "home");
    const base = destinationOf({ apiUrl: "http://127.0.0.1:1", authUrl: "http://127.0.0.1:1" });
    const first = { ...base, keyPrefix: home, lanes: 1, maxBatchAgeMs: 0, ...options.destination };
    const destinations = new Map([[first.name, first]]);
    for (const [name, { otherScope, ...change }] of Object.entries(options.more ?? {})) {
      const keyPrefix = otherScope ? scopePrefix(`s${opened}`, name) : home;
      destinations.set(name, { ...first, keyPrefix, ...change, name });
    }
    const source = { ...sourceOf(home, first.maxAgeMs), ...options.source };
    const sources = new Map([[source.name, source]]);
    for (const [name, change] of Object.entries(options.moreSources ?? {})) {
      sources.set(name, { ...source, ...change, name });
    }
    // A Redis that has never seen a request is waited for; here nothing was sent before.
    for (const { keyPrefix } of destinations.values()) db.rpush(`${keyPrefix}:slots`, 0).catch(() => {});
    const routes = createRoutes({ destinations, sources, mapping: options.mapping ?? null });
    let trimmed = 0;
    const quarantine = createQuarantine({
      redis: db,
      bytes: options.quarantineBytes ?? Number.POSITIVE_INFINITY,
      trimmed({ count }) {
        trimmed += count;
      },
    });
    // Nothing is ever woken here; status asks for the counts.
    const jobs = createJobs({
      redis: db,
      prefix: `{s${opened}-jobs}`,
      concurrency: 1,
      lockMs: 30_000,
      stalledCheckMs: 30_000,
      deliver: async () => "done",
      failed: () => {},
    });
    const store = createStore({
      redis: db,
      sources,
      routes,
      quarantine,
      groupCommitMs: 0,
      arrived: () => {},
      committed: () => {},
    });
    const status = createStatus({ redis: db, destinations, sources, routes, jobs });
    closers.push(async () => {
      await jobs.close();
      db.disconnect();
    });
    let batches = 0;
    const askLane = (lane = 0) => nextBatch(db, first, lane, `batch-${++batches}`);
    return {
      db,
      keyPrefix: home,
      destination: first,
      destinations,
      sources,
      routes,
      store,
      add: (readings, name) => store.add(messageOf(readings, name ?? source.name)),
      nextBatch: askLane,
      async batch(lane) {
        let answer = await askLane(lane);
        while (answer.kind === "again") answer = await askLane(lane);
        if (answer.kind !== "batch") throw new Error(`no batch but ${JSON.stringify(answer)}`);
        const { id, records, newFlags } = answer.batch;
        return { id, newFlags, records: records.map(decodeRecord) };
      },
      quarantineTrimmed: () => trimmed,
      status,
      account: async () => sumAccounting((await status()).sources),
      mismatches: async () => mismatchesIn(await status()),
    };
  }

  return {
    redis,
    open,
    async close() {
      for (const end of closers) await end();
      await redis.stop();
    },
  };
}
