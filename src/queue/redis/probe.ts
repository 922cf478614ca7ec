/** Asks Redis once for whoever runs no queue: its state, how fast it answers, its clock, and throttle slots for a question. */

import { Redis } from "ioredis";
import type { RedisStatus } from "../../status/queue.ts";
import { rememberErrors } from "./away.ts";
import { redisNow } from "./clock.ts";
import type { QueueDestination } from "./destination.ts";
import { readRedis } from "./redis.ts";
import { loadScript, namedArgs, runScript } from "./script.ts";

const TAKE_SLOT = loadScript("take-slot");
/** The median of five says how fast it usually is, and not how long it just paused. */
const ROUND_TRIPS = 5;

export interface RedisProbe {
  status: RedisStatus;
  /** Both null where it does not answer. */
  roundTripMs: number | null;
  /** How far this machine's clock is ahead of Redis's; below 0 it is behind. */
  aheadMs: number | null;
  /**
   * Reserves a throttle slot, so that a request of ours is counted among the gateway's. Milliseconds to wait before it is
   * sent; "full" without a slot within the horizon; null where Redis cannot reserve one, for the gateway neither.
   */
  takeSlot(destination: QueueDestination, horizonMs: number): Promise<number | "full" | null>;
  close(): void;
}

/** Never rejects, and takes at most `withinMs`. */
export async function probeRedis(url: string, withinMs: number, now: () => number): Promise<RedisProbe> {
  const redis = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: withinMs,
    commandTimeout: withinMs,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
  });
  rememberErrors(redis);
  let timer: NodeJS.Timeout | undefined;
  // A Redis that is frozen accepts the connection and says nothing.
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, withinMs, null);
  });
  // Why it failed is remembered with the connection.
  await Promise.race([late, redis.connect().catch(() => {})]);
  const unanswered = new Error("Command timed out");
  const status = await Promise.race([late, readRedis(redis, unanswered)]);
  const times = status?.reachable ? await Promise.race([late, timesOf(redis, now)]) : null;
  clearTimeout(timer);
  if (!status?.reachable) redis.disconnect();
  return {
    status: status ?? (await readRedis(redis, unanswered)),
    ...(times ?? { roundTripMs: null, aheadMs: null }),
    takeSlot: (destination, horizonMs) => takeSlot(redis, destination, horizonMs),
    close: () => redis.disconnect(),
  };
}

async function timesOf(redis: Redis, now: () => number) {
  try {
    const tookMs: number[] = [];
    for (let i = 0; i < ROUND_TRIPS; i++) {
      const startedAt = performance.now();
      await redis.ping();
      tookMs.push(performance.now() - startedAt);
    }
    const startedAt = performance.now();
    const theirs = await redisNow(redis);
    const aheadMs = now() - (performance.now() - startedAt) / 2 - theirs;
    return { roundTripMs: tookMs.sort((a, b) => a - b)[Math.floor(ROUND_TRIPS / 2)] ?? null, aheadMs };
  } catch {
    // It went away in between; its state, read just before, stands.
    return null;
  }
}

async function takeSlot(
  redis: Redis,
  { name, keyPrefix, ratePerSecond, windowMs }: QueueDestination,
  horizonMs: number,
): Promise<number | "full" | null> {
  if (redis.status !== "ready") return null;
  try {
    const args = namedArgs({ destination: name, ratePerSecond, windowMs, horizonMs });
    const [waitMs, isReserved] = await runScript(redis, TAKE_SLOT, [keyPrefix], [args]);
    return isReserved === 1 ? Number(waitMs) : "full";
  } catch {
    return null;
  }
}
