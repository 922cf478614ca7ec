/** Connects to Redis, and checks whether its settings and state are safe for data that must not be lost. */

import { Redis } from "ioredis";
import type { RedisStatus } from "../../status/queue.ts";
import { rememberErrors, whyRedisIsAway } from "./away.ts";

export interface RedisSettings {
  url: string;
  commandTimeoutMs: number;
}

/**
 * `ingest`: fails at once while Redis is away, so that senders are answered 503 and keep their message.
 * `jobs`: BullMQ's; waits for Redis without limit and never times out a blocking read.
 */
export type ConnectionUse = "ingest" | "jobs";

/** Reconnects after this long at most, so that recovery is noticed within seconds. */
const MAX_RECONNECT_MS = 1000;
/** Redis is near; a connection that takes longer than this is attempted again. */
const CONNECT_TIMEOUT_MS = 2000;
const MIN_SOCKET_TIMEOUT_MS = 4000;

export function connectRedis(settings: RedisSettings, use: ConnectionUse): Redis {
  const redis = openConnection(settings, use);
  rememberErrors(redis);
  return redis;
}

function openConnection({ url, commandTimeoutMs }: RedisSettings, use: ConnectionUse): Redis {
  const retryStrategy = (times: number) => Math.min(50 * 2 ** Math.min(times, 10), MAX_RECONNECT_MS);
  const shared = {
    retryStrategy,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // Without a socket timeout a dead peer is noticed only after TCP's 15 minutes. Longer than a blocking read of BullMQ
    // takes (jobs.ts).
    socketTimeout: Math.max(MIN_SOCKET_TIMEOUT_MS, 2 * commandTimeoutMs),
    // After a failover the old primary refuses writes; the address leads to the new one, but only for a new connection.
    reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
  };
  if (use === "jobs") return new Redis(url, { ...shared, maxRetriesPerRequest: null });
  return new Redis(url, {
    ...shared,
    commandTimeout: commandTimeoutMs,
    enableOfflineQueue: false,
    // A write whose answer was lost is unknown, not failed; resending it automatically could order it wrongly.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  });
}

function awayStatus(redis: Redis, error?: unknown): RedisStatus {
  return {
    reachable: false,
    version: null,
    aof: "unknown",
    maxmemoryPolicy: null,
    usedMemoryBytes: null,
    maxMemoryBytes: null,
    writable: false,
    problems: [`Redis does not answer (${whyRedisIsAway(redis, error)}).`],
  };
}

/**
 * Reads from INFO and CONFIG what matters for durability; a managed Redis may refuse CONFIG. `error`: why there is no
 * connection, where the connection itself has nothing to say.
 */
export async function readRedis(redis: Redis, error?: unknown): Promise<RedisStatus> {
  let text: string;
  // Redis answers INFO a little earlier than any other command.
  if (redis.status !== "ready") return awayStatus(redis, error);
  try {
    text = await redis.info();
  } catch (refusal) {
    return awayStatus(redis, refusal);
  }
  const info = new Map(
    text
      .split("\r\n")
      .filter((field) => field.includes(":"))
      .map((field) => [field.slice(0, field.indexOf(":")), field.slice(field.indexOf(":") + 1)] as const),
  );
  const fsync = info.get("aof_enabled") === "1" ? await setting(redis, "appendfsync") : null;
  const aof = info.get("aof_enabled") !== "1" ? "off" : isFsync(fsync) ? fsync : "unknown";
  const maxmemoryPolicy = info.get("maxmemory_policy") ?? null;
  const problems: string[] = [];
  if (aof === "off") problems.push("AOF is off: a restart of Redis loses what is waiting.");
  if (aof === "no") problems.push("appendfsync is no: a machine crash may lose many seconds.");
  if (maxmemoryPolicy !== null && maxmemoryPolicy !== "noeviction") {
    problems.push(`maxmemory-policy is ${maxmemoryPolicy}: Redis may silently throw waiting pings away.`);
  }
  // Until it succeeds, Redis refuses every write (MISCONF).
  const unwritten = info.get("aof_last_write_status") === "err";
  if (unwritten) problems.push("The last AOF write failed: look at Redis's disk.");
  if (info.get("rdb_last_bgsave_status") === "err")
    problems.push("The last RDB save failed: look at Redis's disk.");
  const used = Number(info.get("used_memory"));
  const max = Number(info.get("maxmemory"));
  const full = max > 0 && used >= max;
  if (full) problems.push("Redis is out of memory and refuses writes.");
  const replica = info.get("role") === "slave";
  if (replica) problems.push("Connected to a replica, which takes no writes.");
  return {
    reachable: true,
    version: info.get("redis_version") ?? null,
    aof,
    maxmemoryPolicy,
    usedMemoryBytes: used,
    maxMemoryBytes: max > 0 ? max : null,
    writable: !full && !replica && !unwritten,
    problems,
  };
}

function isFsync(value: string | null): value is "always" | "everysec" | "no" {
  return value === "always" || value === "everysec" || value === "no";
}

async function setting(redis: Redis, name: string): Promise<string | null> {
  try {
    const reply = await redis.config("GET", name);
    return Array.isArray(reply) ? String(reply[1]) : null;
  } catch {
    return null;
  }
}
