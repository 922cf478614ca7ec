/** Once a second: wakes what a crash left behind, lets the expired go, and trims what has a budget. */

import type { Redis } from "ioredis";
import type { QueueDestination } from "./destination.ts";
import { run, script } from "./lua.ts";

/**
 * ARGV: silence after which a batch is taken to have lost its job, then per destination of the scope its name and
 * maxAgeMs ("" = none). Returns per lane with something to do: destination, lane, batch id or "" (= ask for a batch).
 */
const SWEEP = script(`
local silence = tonumber(ARGV[1])
local maxAge = {}
for i = 2, #ARGV, 2 do maxAge[ARGV[i]] = ARGV[i + 1] end
local out = {}
for _, lane in ipairs(redis.call('SMEMBERS', p .. ':lanes')) do
  local destination, number = string.match(lane, '^(.-)|(.*)$')
  if maxAge[destination] then
    local oldestWanted = now - (tonumber(maxAge[destination]) or now)
    local freed, waiting = 0, redis.call('LLEN', p .. ':pieces:' .. lane)
    local function expire(r)
      count(sourceOf(r), 'expired', 1)
      freed = freed + #r
    end
    for _, source in ipairs(redis.call('SMEMBERS', p .. ':lines:' .. lane)) do
      local line = lane .. '|' .. source
      -- A bound per call; what is left expires a second later.
      for _ = 1, 500 do
        local r = redis.call('LINDEX', p .. ':q:' .. line, 0)
        if not r or receivedAtOf(r) >= oldestWanted and fixTimeOf(r) >= oldestWanted then break end
        redis.call('LPOP', p .. ':q:' .. line)
        expire(r)
      end
      for _, r in ipairs(redis.call('ZRANGEBYSCORE', p .. ':old:' .. line, '-inf', '(' .. oldestWanted, 'LIMIT', 0, 500)) do
        redis.call('ZREM', p .. ':old:' .. line, r)
        expire(r)
      end
      waiting = waiting + redis.call('LLEN', p .. ':q:' .. line) + redis.call('HLEN', p .. ':live:' .. line)
        + redis.call('ZCARD', p .. ':old:' .. line)
    end
    if freed > 0 then redis.call('HINCRBY', p .. ':dest:' .. destination, 'bytes', -freed) end
    local batch, beat = unpack(redis.call('HMGET', p .. ':lane:' .. lane, 'batch', 'beat'))
    if batch and redis.call('EXISTS', p .. ':b:' .. batch) == 0 then
      redis.call('HDEL', p .. ':lane:' .. lane, 'batch', 'beat')
      batch = false
    end
    if batch and now - tonumber(beat) > silence then
      out[#out + 1] = destination
      out[#out + 1] = number
      out[#out + 1] = batch
    elseif not batch and waiting > 0 then
      out[#out + 1] = destination
      out[#out + 1] = number
      out[#out + 1] = ''
    end
  end
end
writeCounts()
return out
`);

/**
 * ARGV: per stream its name, byte budget, maxAgeMs and overhead per entry. Oldest first until within both; bounded per
 * call. Returns how many entries of each went for lack of room and for age.
 */
const TRIM = script(`
local out = {}
for i = 1, #ARGV, 4 do
  local name, budget, maxAge = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local overhead = tonumber(ARGV[i + 3])
  local size = tonumber(redis.call('HGET', p .. ':sizes', name)) or 0
  local noRoom, tooOld = 0, 0
  for _, entry in ipairs(redis.call('XRANGE', p .. ':' .. name, '-', '+', 'COUNT', 200)) do
    local old = tonumber(string.match(entry[1], '^%d+')) < now - maxAge
    if not old and size <= budget then break end
    local bytes = overhead
    for f = 2, #entry[2], 2 do bytes = bytes + #entry[2][f] end
    redis.call('XDEL', p .. ':' .. name, entry[1])
    size = size - bytes
    if old then tooOld = tooOld + 1 else noRoom = noRoom + 1 end
  end
  if noRoom + tooOld > 0 then
    if redis.call('XLEN', p .. ':' .. name) == 0 then size = 0 end
    redis.call('HSET', p .. ':sizes', name, math.max(0, size))
  end
  out[#out + 1] = noRoom
  out[#out + 1] = tooOld
end
return out
`);

/** A bounded stream of the scope. */
export interface StreamBudget {
  name: "ledger" | "dead" | "quarantine";
  bytes: number;
  maxAgeMs: number;
  /** Bytes per entry that were counted beside its fields when it was added. */
  overheadBytes: number;
}

export interface SweepOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  budgets: readonly StreamBudget[];
  /** A lane has something waiting and no batch. */
  found(destination: string, lane: number): void;
  /** A batch has been silent: its job may be lost. Waking a batch whose job lives changes nothing. */
  silent(destination: string, lane: number, batchId: string): void;
  trimmed(event: { scope: string; stream: StreamBudget["name"]; noRoom: number; tooOld: number }): void;
  failed(error: unknown): void;
}

const EVERY_MS = 1000;
/** Longer than the pause between two signs of life of a batch that is waiting for a slot, shorter than anybody's patience. */
const SILENCE_MS = 3000;

export function startSweep(options: SweepOptions): { stop(): void } {
  const { redis, destinations, budgets } = options;
  const scopes = new Map<string, QueueDestination[]>();
  for (const destination of destinations.values()) {
    scopes.set(destination.scope, [...(scopes.get(destination.scope) ?? []), destination]);
  }
  let stopped = false;
  let timer = setTimeout(() => void tick(), jittered());

  async function tick(): Promise<void> {
    try {
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
    const limits = members.flatMap(({ name, maxAgeMs }) => [name, Number.isFinite(maxAgeMs) ? maxAgeMs : ""]);
    const todo = (await run(redis, SWEEP, scope, [SILENCE_MS, ...limits])).map(String);
    for (let i = 0; i < todo.length; i += 3) {
      const [destination = "", lane = "", batchId = ""] = todo.slice(i, i + 3);
      if (batchId === "") options.found(destination, Number(lane));
      else options.silent(destination, Number(lane), batchId);
    }
    const args = budgets.flatMap(({ name, bytes, maxAgeMs, overheadBytes }) => [
      name,
      bytes,
      maxAgeMs,
      overheadBytes,
    ]);
    const gone = (await run(redis, TRIM, scope, args)).map(Number);
    budgets.forEach(({ name }, i) => {
      const [noRoom = 0, tooOld = 0] = gone.slice(2 * i, 2 * i + 2);
      if (noRoom + tooOld > 0) options.trimmed({ scope, stream: name, noRoom, tooOld });
    });
  }

  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** Several processes sweep; they shall not all do it in the same moment. */
function jittered(): number {
  return EVERY_MS * (0.75 + Math.random() / 2);
}
