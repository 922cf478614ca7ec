/** Whether Redis is there and safe for data that must not be lost. */

import { probeRedis, type RedisProbe } from "../queue/redis/probe.ts";
import { type Checked, notAsked, notWell, type Surroundings, skewInWords, type Task, well } from "./check.ts";
import { finding } from "./findings.ts";

const OLDEST_VERSION = 7;
/** The rest is for what arrives while ServiceTitan is away for a while. */
const MEMORY_HIGH = 0.8;
/** A message costs one round trip, and a burst several in a row. */
const SLOW_SHARE = 1 / 4;
const CHECKS = ["version", "aof", "eviction", "memory", "writable", "latency", "clock"];

export function redisTask({ config }: Surroundings, probe: () => Promise<RedisProbe>): Task {
  const { commandTimeoutMs } = config.redis;
  return {
    ...{ area: "redis", of: "", check: "reachable" },
    run: async () => redisChecks(await probe(), commandTimeoutMs),
  };
}

/** One connection for all who ask. */
export function redisProbeOnce({ config, stepMs, now }: Surroundings): () => Promise<RedisProbe> {
  let probe: Promise<RedisProbe> | null = null;
  return () => {
    probe ??= probeRedis(config.redis.url, stepMs, now);
    return probe;
  };
}

export function redisChecks(
  { status, roundTripMs, aheadMs }: Pick<RedisProbe, "status" | "roundTripMs" | "aheadMs">,
  commandTimeoutMs: number,
): Checked[] {
  if (!status.reachable) {
    // In the words of the ops page: "Redis does not answer (connection refused at 127.0.0.1:6379)."
    const [, why = "unknown"] = /\((.*)\)/.exec(status.problems.join()) ?? [];
    return [
      notWell("reachable", finding("redis_unreachable", { why })),
      ...CHECKS.map((check) => notAsked(check, "Redis does not answer")),
    ];
  }
  return [
    well("reachable", "answers"),
    versionCheck(status),
    aofCheck(status),
    evictionCheck(status),
    memoryCheck(status),
    ...writeChecks(status),
    latencyCheck(roundTripMs, commandTimeoutMs),
    clockCheck(aheadMs),
  ];
}

type Status = RedisProbe["status"];

function versionCheck({ version }: Status): Checked {
  if (version === null) return notAsked("version", "it does not say");
  const isOld = Number(version.split(".")[0]) < OLDEST_VERSION;
  return isOld ? notWell("version", finding("redis_version", { version })) : well("version", version);
}

function aofCheck({ aof }: Status): Checked {
  if (aof === "off") return notWell("aof", finding("redis_aof_off", {}));
  if (aof === "no") return notWell("aof", finding("redis_fsync_off", {}));
  return well("aof", aof === "unknown" ? "on; appendfsync is not told" : `on, appendfsync ${aof}`);
}

function evictionCheck({ maxmemoryPolicy }: Status): Checked {
  if (maxmemoryPolicy === null) return notAsked("eviction", "it does not tell maxmemory-policy");
  return maxmemoryPolicy === "noeviction"
    ? well("eviction", maxmemoryPolicy)
    : notWell("eviction", finding("redis_evicts", { policy: maxmemoryPolicy }));
}

function memoryCheck({ usedMemoryBytes: used, maxMemoryBytes: max }: Status): Checked {
  const usedMb = inMb(used ?? 0);
  if (max === null) return well("memory", `${usedMb} MB used, no maxmemory`);
  const percent = Math.floor((100 * (used ?? 0)) / max);
  return percent < 100 * MEMORY_HIGH
    ? well("memory", `${usedMb} of ${inMb(max)} MB used`)
    : notWell("memory", finding("redis_memory", { percent, maxMb: inMb(max) }));
}

function inMb(bytes: number): number {
  return Math.ceil(bytes / 1e6);
}

/** Memory has a check of its own. */
function writeChecks({ writable, problems }: Status): Checked[] {
  const has = (word: string) => problems.some((problem) => problem.includes(word));
  const found = [
    ...(has("replica") ? [finding("redis_replica", {})] : []),
    ...(has("AOF write") ? [finding("redis_write_failed", {})] : []),
    ...(has("RDB save") ? [finding("redis_save_failed", {})] : []),
  ];
  if (found.length > 0) return found.map((each) => notWell("writable", each));
  return writable ? [well("writable", "takes writes")] : [];
}

function latencyCheck(roundTripMs: number | null, timeoutMs: number): Checked {
  if (roundTripMs === null) return notAsked("latency", "Redis went away");
  const ms = roundTripMs < 10 ? roundTripMs.toFixed(1) : Math.round(roundTripMs);
  return roundTripMs > SLOW_SHARE * timeoutMs
    ? notWell("latency", finding("redis_slow", { ms, timeoutMs }))
    : well("latency", `${ms} ms`);
}

function clockCheck(aheadMs: number | null): Checked {
  if (aheadMs === null) return notAsked("clock", "Redis went away");
  const offset = skewInWords(aheadMs);
  return offset === null
    ? well("clock", "agrees with this machine's")
    : notWell("clock", finding("redis_clock", { offset }));
}
