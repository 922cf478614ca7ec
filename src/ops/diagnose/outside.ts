/** Finds problems of what the gateway depends on: Redis, the brokers, and the disk of the spool. */

import type { BrokerStatus, RedisStatus, SpoolStatus } from "../../status.ts";
import { durationText } from "./duration.ts";
import { error, type Problem, warning } from "./problem.ts";

const MEMORY_WARN_SHARE = 0.8;
/** A connection that takes longer than this is not just slow. */
const CONNECTING_WARN_MS = 15_000;

/** The problem when the queue gave no answer at all. */
export function redisUnreachable(detail: string): Problem {
  return {
    severity: "error",
    where: "Redis",
    what: `Redis does not answer (${detail}), so nothing can be stored: senders get 503, MQTT messages are not acknowledged.`,
    doNext:
      "See that Redis runs and that redis.url is right. Vendors and brokers send again once it answers.",
  };
}

export function diagnoseRedis(redis: RedisStatus): Problem[] {
  if (!redis.reachable) return [redisUnreachable(redis.problems[0] ?? "not reachable")];
  const found: Problem[] = [];
  const where = "Redis";
  if (!redis.writable) {
    const why = redis.problems[0] ?? "writes are refused";
    found.push(
      error(
        where,
        `Redis refuses writes: ${why}`,
        "See Redis' log: memory full, disk full, or a read-only replica.",
      ),
    );
  }
  if (redis.aof === "off") {
    found.push(
      error(
        where,
        "The append-only file is off: a crash of Redis loses every position not yet delivered.",
        "Set appendonly yes (CONFIG SET appendonly yes, and in redis.conf).",
      ),
    );
  } else if (redis.aof === "no") {
    found.push(
      warning(
        where,
        "The append-only file is written when the system likes (appendfsync no): a power cut may lose half a minute.",
        "Set appendfsync everysec.",
      ),
    );
  } else if (redis.aof === "unknown") {
    found.push(
      warning(
        where,
        "Redis does not say whether it keeps an append-only file.",
        "See in your provider's console that AOF persistence is on.",
      ),
    );
  }
  if (redis.maxmemoryPolicy !== null && redis.maxmemoryPolicy !== "noeviction") {
    found.push(
      error(
        where,
        `The eviction policy is ${redis.maxmemoryPolicy}: when memory is short, Redis deletes positions.`,
        "Set maxmemory-policy noeviction.",
      ),
    );
  }
  const { usedMemoryBytes: used, maxMemoryBytes: max } = redis;
  if (used !== null && max !== null && max > 0 && used > max * MEMORY_WARN_SHARE) {
    const share = Math.round((used / max) * 100);
    found.push(
      warning(
        where,
        `Redis uses ${share} % of its memory.`,
        "Raise maxmemory; at 100 % nothing more can be stored.",
      ),
    );
  }
  // Other findings of the queue, unless they repeat one of the above in other words.
  if (found.length === 0) {
    for (const text of redis.problems) found.push(warning(where, text, "See Redis' log and configuration."));
  }
  return found;
}

export function diagnoseBroker(broker: BrokerStatus, nowMs: number): Problem[] {
  const where = `broker ${broker.name}`;
  const forMs = nowMs - Date.parse(broker.since);
  const why = broker.reason ?? "no reason was given";
  switch (broker.state) {
    case "connected":
    case "standby":
      return [];
    case "refused":
      return [
        error(
          where,
          `The broker refuses us: ${why}.`,
          "Check username, password, certificate and the topics this login may read.",
        ),
      ];
    case "disconnected":
      return [
        error(
          where,
          `Not connected for ${durationText(forMs)}: ${why}. The broker keeps messages for us up to its queue limit.`,
          "See that the broker runs and that its url is right; connecting is tried again all the time.",
        ),
      ];
    case "connecting":
      return forMs < CONNECTING_WARN_MS
        ? []
        : [
            warning(
              where,
              `Connecting for ${durationText(forMs)}: ${why}.`,
              "See that the broker can be reached from this machine.",
            ),
          ];
    default:
      return broker.state satisfies never;
  }
}

export function diagnoseSpool(spool: SpoolStatus | null): Problem[] {
  if (spool === null || spool.messages === 0) return [];
  const full = spool.bytes > 0.8 * spool.maxBytes;
  const what = `${spool.messages} messages are on this machine's disk and not in Redis, the oldest since ${spool.oldestAt ?? "its start"}.`;
  return full
    ? [
        error(
          "spool",
          `${what} The spool is nearly full; after that senders get 503.`,
          "Bring Redis back. A larger spool.maxBytes buys time.",
        ),
      ]
    : [
        warning(
          "spool",
          what,
          "They go on by themselves when Redis is back. Keep this machine's disk until then.",
        ),
      ];
}
