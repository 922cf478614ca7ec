/** Finds problems of what the gateway depends on: Redis, the brokers, and the disk of the spool. */

import type { BrokerStatus, SpoolStatus } from "../../status/process.ts";
import type { RedisStatus } from "../../status/queue.ts";
import { durationText } from "./duration.ts";
import { error, type Finding, warning } from "./problem.ts";

const MEMORY_WARN_SHARE = 0.8;
/** A connection that takes longer than this is not just slow. */
const CONNECTING_WARN_MS = 15_000;

/** The problem when the queue gave no answer at all. */
export function redisUnreachable(detail: string): Finding {
  return error("redis_unreachable", "Redis", {
    what: `Redis does not answer (${detail}), so nothing can be stored: senders get 503, MQTT messages are not acknowledged.`,
    doNext:
      "See that Redis runs and that redis.url is right. Vendors and brokers send again once it answers.",
  });
}

/** Asking was slow; storing was not. */
export function redisSlow(withinMs: number): Finding {
  return warning("redis_slow", "Redis", {
    what: `Redis did not say within ${durationText(withinMs)} how things are. Positions are stored and sent as usual; what this page shows is older.`,
    doNext:
      "See what keeps Redis busy: SLOWLOG GET 10, memory, a snapshot being written, another user of the same Redis.",
  });
}

export function diagnoseRedis(redis: RedisStatus): Finding[] {
  if (!redis.reachable) return [redisUnreachable(redis.problems[0] ?? "not reachable")];
  const found: Finding[] = [];
  const where = "Redis";
  if (!redis.writable) {
    const why = redis.problems[0] ?? "writes are refused";
    found.push(
      error("redis_refuses_writes", where, {
        what: `Redis refuses writes: ${why}`,
        doNext: "See Redis' log: memory full, disk full, or a read-only replica.",
      }),
    );
  }
  if (redis.aof === "off") {
    found.push(
      error("redis_settings", where, {
        what: "The append-only file is off: a crash of Redis loses every position not yet delivered.",
        doNext: "Set appendonly yes (CONFIG SET appendonly yes, and in redis.conf).",
      }),
    );
  } else if (redis.aof === "no") {
    found.push(
      warning("redis_settings", where, {
        what: "The append-only file is written when the system likes (appendfsync no): a power cut may lose half a minute.",
        doNext: "Set appendfsync everysec.",
      }),
    );
  } else if (redis.aof === "unknown") {
    found.push(
      warning("redis_settings", where, {
        what: "Redis does not say whether it keeps an append-only file.",
        doNext: "See in your provider's console that AOF persistence is on.",
      }),
    );
  }
  if (redis.maxmemoryPolicy !== null && redis.maxmemoryPolicy !== "noeviction") {
    found.push(
      error("redis_settings", where, {
        what: `The eviction policy is ${redis.maxmemoryPolicy}: when memory is short, Redis deletes positions.`,
        doNext: "Set maxmemory-policy noeviction.",
      }),
    );
  }
  const { usedMemoryBytes: used, maxMemoryBytes: max } = redis;
  if (used !== null && max !== null && max > 0 && used > max * MEMORY_WARN_SHARE) {
    const share = Math.round((used / max) * 100);
    found.push(
      warning("redis_memory", where, {
        what: `Redis uses ${share} % of its memory.`,
        doNext: "Raise maxmemory; at 100 % nothing more can be stored.",
      }),
    );
  }
  // Other findings of the queue, unless they repeat one of the above in other words.
  if (found.length === 0) {
    for (const text of redis.problems)
      found.push(
        warning("redis_settings", where, { what: text, doNext: "See Redis' log and configuration." }),
      );
  }
  return found;
}

export function diagnoseBroker(broker: BrokerStatus, nowMs: number): Finding[] {
  const where = `broker ${broker.name}`;
  const forMs = nowMs - Date.parse(broker.since);
  const why = broker.reason ?? "no reason was given";
  switch (broker.state) {
    case "connected":
    case "standby":
      return [];
    case "refused":
      return [
        error("broker_refused", where, {
          what: `The broker refuses us: ${why}.`,
          doNext: "Check username, password, certificate and the topics this login may read.",
        }),
      ];
    case "disconnected":
      return [
        error("broker_disconnected", where, {
          what: `Not connected for ${durationText(forMs)}: ${why}. The broker keeps messages for us up to its queue limit.`,
          doNext:
            "See that the broker runs and that its url is right; connecting is tried again all the time.",
        }),
      ];
    case "connecting":
      return forMs < CONNECTING_WARN_MS
        ? []
        : [
            warning("broker_connecting", where, {
              what: `Connecting for ${durationText(forMs)}: ${why}.`,
              doNext: "See that the broker can be reached from this machine.",
            }),
          ];
    default:
      return broker.state satisfies never;
  }
}

export function diagnoseSpool(spool: SpoolStatus | null): Finding[] {
  if (spool === null || spool.messages === 0) return [];
  const full = spool.bytes > 0.8 * spool.maxBytes;
  const what = `${spool.messages} messages are on this machine's disk and not in Redis, the oldest since ${spool.oldestAt ?? "its start"}.`;
  return full
    ? [
        error("spool_in_use", "spool", {
          what: `${what} The spool is nearly full; after that senders get 503.`,
          doNext: "Bring Redis back. A larger spool.maxBytes buys time.",
        }),
      ]
    : [
        warning("spool_in_use", "spool", {
          what,
          doNext: "They go on by themselves when Redis is back. Keep this machine's disk until then.",
        }),
      ];
}
