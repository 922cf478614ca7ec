/** Once a second: wakes what a crash left behind, lets the expired go, and trims what has a budget. */

import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";

const SWEEP = loadScript("sweep");
const TRIM = loadScript("trim");

/** A bounded stream of the scope. */
export interface StreamBudget {
  name: "ledger" | "dead" | "quarantine";
  bytes: number;
  maxAgeMs: number;
}

export interface SweepOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  budgets: readonly StreamBudget[];
  /** A lane has something waiting and no batch. */
  laneNeedsBatch(destination: string, lane: number): void;
  /** A batch has been silent: its job may be lost. Waking a batch whose job lives changes nothing. */
  batchSilent(destination: string, lane: number, batchId: string): void;
  /** What was in Redis is gone: a person deleted it, or a Redis without it took over. */
  emptied(event: { scope: string }): void;
  /** Redis's clock, and how long the answer took. */
  clockRead(redisMs: number, roundTripMs: number): void;
  trimmed(event: { scope: string; stream: StreamBudget["name"]; noRoom: number; tooOld: number }): void;
  failed(error: unknown): void;
}

const EVERY_MS = 1000;
/** Longer than a batch that waits for a slot pauses between two signs of life, shorter than any person's patience. */
const SILENCE_MS = 3000;

/** Redis serves no other client meanwhile: 200 small entries take it about a millisecond. */
const TRIMMED_AT_ONCE = 200;
/** A flood of malformed messages must be trimmed as fast as it comes in; 20,000 a second are more than come in. */
const MAX_TRIM_ROUNDS = 100;

export function startSweep(options: SweepOptions): { stop(): void } {
  const { redis, destinations, budgets } = options;
  /** Per scope, since when it has had keys. */
  const born = new Map<string, string>();
  let stopped = false;
  let timer = setTimeout(() => void tick(), jittered());

  async function tick(): Promise<void> {
    try {
      const scopes = byScope(destinations);
      for (const scope of born.keys()) if (!scopes.has(scope)) born.delete(scope);
      for (const [scope, members] of scopes) {
        if (stopped) return;
        await sweep(scope, members);
      }
    } catch (error) {
      options.failed(error);
    }
    if (!stopped) timer = setTimeout(() => void tick(), jittered());
  }

  async function sweep(scope: string, members: readonly QueueDestination[]): Promise<void> {
    const limits = members.map(({ name, maxAgeMs }) => ({ name, maxAgeMs }));
    const args = namedArgs({ silenceMs: SILENCE_MS, destinations: limits });
    const askedAt = performance.now();
    const [since = "", time = "", ...todo] = (await runScript(redis, SWEEP, [scope], [args])).map(String);
    options.clockRead(Number(time), performance.now() - askedAt);
    if ((born.get(scope) ?? since) !== since) options.emptied({ scope });
    born.set(scope, since);
    for (let i = 0; i < todo.length; i += 3) {
      const [destination = "", lane = "", batchId = ""] = todo.slice(i, i + 3);
      if (batchId === "") options.laneNeedsBatch(destination, Number(lane));
      else options.batchSilent(destination, Number(lane), batchId);
    }
    await trim(scope);
  }

  async function trim(scope: string): Promise<void> {
    const args = namedArgs({ most: TRIMMED_AT_ONCE, streams: budgets });
    for (let round = 0; round < MAX_TRIM_ROUNDS && !stopped; round++) {
      const gone = (await runScript(redis, TRIM, [scope], [args])).map(Number);
      budgets.forEach(({ name }, i) => {
        const [noRoom = 0, tooOld = 0] = gone.slice(2 * i, 2 * i + 2);
        if (noRoom + tooOld > 0) options.trimmed({ scope, stream: name, noRoom, tooOld });
      });
      const most = Math.max(...budgets.map((_, i) => (gone[2 * i] ?? 0) + (gone[2 * i + 1] ?? 0)));
      if (most < TRIMMED_AT_ONCE) return;
    }
  }

  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

function byScope(destinations: SweepOptions["destinations"]): Map<string, QueueDestination[]> {
  const scopes = new Map<string, QueueDestination[]>();
  for (const destination of destinations.values()) {
    const members = scopes.get(destination.keyPrefix);
    if (members) members.push(destination);
    else scopes.set(destination.keyPrefix, [destination]);
  }
  return scopes;
}

/** Several processes sweep; jitter keeps them from doing it in the same moment. */
function jittered(): number {
  return EVERY_MS * (0.75 + Math.random() / 2);
}
