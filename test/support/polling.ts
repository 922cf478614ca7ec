/** A poller at work on a stand-in vendor: real HTTP, real cursors in Redis, a store that a test can make fail. */

import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll } from "vitest";
import { startPrivateRedis } from "../../sandbox/redis.ts";
import { findAdapter } from "../../src/adapters/index.ts";
import type { Pull, PullAccount, PullRequest } from "../../src/adapters/kit/pull.ts";
import type { Source } from "../../src/ingest/source.ts";
import type { CursorStore } from "../../src/inputs/poll/cursor.ts";
import { createPullHttp, type PullHttp } from "../../src/inputs/poll/http.ts";
import { type PollEvents, type Poller, startPoller } from "../../src/inputs/poll/poller.ts";
import { createCursorStore } from "../../src/queue/redis/cursors.ts";
import { type MemoryStore, memoryStore } from "./memory-store.ts";
import { ingestOver, type Told } from "./plain-vendor.ts";

export const NO_PROXY = { httpProxy: null, httpsProxy: null, noProxy: "" };

/** What the poller emitted, by event. */
export type PollTold = { [K in keyof PollEvents]: Parameters<PollEvents[K]>[0][] };

export interface Polling {
  poller: Poller;
  store: MemoryStore;
  told: PollTold;
  intakeTold: Told[];
  source: Source;
}

export interface PollingOptions {
  vendor: string;
  baseUrl: string;
  account: PullAccount;
  name?: string;
  intervalMs?: number;
  lookBackMs?: number;
  pull?: Partial<Pull>;
  /** Of a vendor that is described by the source. */
  pullSettings?: unknown;
  source?: Partial<Source>;
  store?: MemoryStore;
  cursors?: CursorStore;
  http?: PullHttp;
}

/** How a vendor is asked, whether its adapter says it or the source does. */
export function pullOf(vendor: string, settings: unknown = {}): Pull {
  const pull = findAdapter(vendor)?.pull;
  if (!pull) throw new Error(`${vendor} is not asked`);
  return "settings" in pull ? pull.settings.parse(settings) : pull;
}

export interface Pollings {
  cursors: CursorStore;
  start(options: PollingOptions): Polling;
  /** Ends all pollers of the test; Redis stays. */
  endAll(): Promise<void>;
}

/** For the tests around the call: one Redis for all of them; after each, its pollers end before its stand-ins close. */
export function usePollings(): Pollings & {
  /** The stand-in, which closes after the test. */
  closing<StandIn extends { close(): Promise<void> }>(standIn: StandIn): StandIn;
} {
  let opened: (Pollings & { close(): Promise<void> }) | null = null;
  const standIns: { close(): Promise<void> }[] = [];
  const pollings = (): Pollings => {
    if (opened === null) throw new Error("Redis is there within tests only.");
    return opened;
  };

  beforeAll(async () => {
    opened = await openPollings();
  });
  afterEach(async () => {
    await pollings().endAll();
    for (const standIn of standIns.splice(0)) await standIn.close();
  });
  afterAll(() => opened?.close());

  return {
    get cursors() {
      return pollings().cursors;
    },
    start: (options) => pollings().start(options),
    endAll: () => pollings().endAll(),
    closing(standIn) {
      standIns.push(standIn);
      return standIn;
    },
  };
}

async function openPollings(): Promise<Pollings & { close(): Promise<void> }> {
  const redis = await startPrivateRedis();
  const db = new Redis(redis.url);
  const cursors = createCursorStore(db, "polling");
  const http = createPullHttp(NO_PROXY);
  let running: Poller[] = [];

  function start(options: PollingOptions): Polling {
    const {
      vendor,
      baseUrl,
      account,
      intervalMs = 50,
      lookBackMs = 86_400_000,
      store = memoryStore(),
    } = options;
    const adapter = findAdapter(vendor);
    if (!adapter?.pull) throw new Error(`${vendor} is not asked`);
    const pull = pullOf(vendor, options.pullSettings);
    const source: Source = {
      name: options.name ?? `source-${Math.random()}`,
      adapter,
      authMethod: null,
      credentials: { secrets: [] },
      maxAgeMs: Number.POSITIVE_INFINITY,
      ...options.source,
    };
    const told: PollTold = { pollMade: [], pollStateChanged: [], pollGap: [], failed: [] };
    const { ingest, told: intakeTold } = ingestOver(store);
    const poller = startPoller({
      source,
      // The vendor's own patience would make these tests last minutes.
      pull: { ...pull, minGapMs: 10, ...options.pull },
      settings: { baseUrl, account, intervalMs, lookBackMs, privateNetwork: true },
      ingest,
      cursors: options.cursors ?? cursors,
      http: options.http ?? http,
      events: {
        pollMade: (event) => void told.pollMade.push(event),
        pollStateChanged: (event) => void told.pollStateChanged.push(event),
        pollGap: (event) => void told.pollGap.push(event),
        failed: (event) => void told.failed.push(event),
      },
    });
    running.push(poller);
    return { poller, store, told, intakeTold, source };
  }

  async function endAll(): Promise<void> {
    await Promise.all(running.map((poller) => poller.close(0)));
    running = [];
  }

  return {
    cursors,
    start,
    endAll,
    async close() {
      await endAll();
      await http.close();
      db.disconnect();
      await redis.stop();
    },
  };
}

/** The network between the poller and the vendor: a request to an https host goes to the stand-in for it. */
export function viaHosts(hosts: Readonly<Record<string, string>>): PullHttp & { hosts: string[] } {
  const http = createPullHttp(NO_PROXY);
  const seen: string[] = [];
  return {
    hosts: seen,
    exchange(request: PullRequest, stop, privateNetwork) {
      const { origin, host, pathname, search } = new URL(request.url);
      seen.push(host);
      const standIn = hosts[origin];
      if (standIn === undefined) return Promise.resolve({ kind: "failed", reason: "dns_error", code: host });
      return http.exchange({ ...request, url: `${standIn}${pathname}${search}` }, stop, privateNetwork);
    },
    close: () => http.close(),
  };
}

/** Every reading that was stored, in order, each once. */
export function distinctReadings(store: MemoryStore) {
  const seen = new Set<string>();
  return store.entries
    .flatMap((entry) => (entry.kind === "decoded" ? entry.readings : []))
    .filter(({ deviceId, fixTime }) => {
      const key = `${deviceId} ${fixTime}`;
      return !seen.has(key) && seen.add(key);
    });
}
