/** Once a second: wakes what a crash left behind, lets the expired go, and trims what has a budget. */

import type { Redis } from "ioredis";
import { SHARES } from "../ledger/quarantine-shares.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { run, script } from "../redis/lua.ts";

/**
 * ARGV: silence after which a batch is taken to have lost its job, then per destination of the scope its name and
 * maxAgeMs ("" = none). Returns since when the scope has had keys, and the time; then per lane with something to do: destination,
 * lane, batch id or "" (= ask for a batch).
 */
const SWEEP = script(`
local silence = tonumber(ARGV[1])
local maxAge = {}
for i = 2, #ARGV, 2 do maxAge[ARGV[i]] = ARGV[i + 1] end
redis.call('SET', p .. ':born', now, 'NX')
local out = { redis.call('GET', p .. ':born'), now }
for _, lane in ipairs(redis.call('SMEMBERS', p .. ':lanes')) do
  local destination, number = string.match(lane, '^(.-)|(.*)$')
  if maxAge[destination] then
    local oldestWanted = now - (tonumber(maxAge[destination]) or now)
    local laneKey, piecesKey, suspectsKey = p .. ':lane:' .. lane, p .. ':pieces:' .. lane, p .. ':suspects:' .. lane
    local freed = 0
    local function isOld(r) return fixTimeOf(r) < oldestWanted end
    local function expire(r)
      count(sourceOf(r), 'expired', 1)
      freed = freed + #r
    end
    for _, piece in ipairs(redis.call('LRANGE', piecesKey, 0, -1)) do
      local records, old = redis.call('LRANGE', p .. ':b:' .. piece, 0, -1), true
      for _, r in ipairs(records) do old = old and isOld(r) end
      if old then
        for _, r in ipairs(records) do expire(r) end
        redis.call('LREM', piecesKey, 1, piece)
        redis.call('DEL', p .. ':b:' .. piece, p .. ':bm:' .. piece)
      end
    end
    local waiting = redis.call('LLEN', piecesKey)
    for _, source in ipairs(redis.call('SMEMBERS', p .. ':lines:' .. lane)) do
      local line = lane .. '|' .. source
      local live = p .. ':live:' .. line
      -- A bound per call; what is left expires a second later.
      for _ = 1, 500 do
        local r = redis.call('LINDEX', p .. ':q:' .. line, 0)
        if not r or not isOld(r) then break end
        redis.call('LPOP', p .. ':q:' .. line)
        expire(r)
      end
      for _, r in ipairs(redis.call('ZRANGEBYSCORE', p .. ':old:' .. line, '-inf', '(' .. oldestWanted, 'LIMIT', 0, 500)) do
        -- Their order may be before their own time.
        if isOld(r) then
          redis.call('ZREM', p .. ':old:' .. line, r)
          expire(r)
        end
      end
      -- No order by age here, so some are looked at each time; behind an open gate cutting is faster anyway.
      if redis.call('EXISTS', live) == 1 then
        local cursor = 'scan:' .. source
        local scan = redis.call('HSCAN', live, redis.call('HGET', laneKey, cursor) or '0', 'COUNT', 200)
        redis.call('HSET', laneKey, cursor, scan[1])
        for i = 1, #scan[2], 2 do
          if isOld(scan[2][i + 1]) then
            redis.call('HDEL', live, scan[2][i])
            expire(scan[2][i + 1])
          end
        end
        if redis.call('EXISTS', live) == 0 then redis.call('DEL', p .. ':liveorder:' .. line) end
      end
      waiting = waiting + redis.call('LLEN', p .. ':q:' .. line) + redis.call('HLEN', live)
        + redis.call('ZCARD', p .. ':old:' .. line)
    end
    if freed > 0 then redis.call('HINCRBY', p .. ':dest:' .. destination, 'bytes', -freed) end
    local batch, beat = unpack(redis.call('HMGET', laneKey, 'batch', 'beat'))
    if batch and redis.call('EXISTS', p .. ':b:' .. batch) == 0 then
      redis.call('HDEL', laneKey, 'batch', 'beat')
      batch = false
    end
    if not batch and redis.call('LLEN', piecesKey) == 0 then
      -- Suspects whose last piece expired before it could clear or convict them.
      for _, r in ipairs(redis.call('LRANGE', suspectsKey, 0, -1)) do
        redis.call('RPUSH', p .. ':q:' .. lane .. '|' .. sourceOf(r), r)
        waiting = waiting + 1
      end
      redis.call('DEL', suspectsKey, p .. ':suspicion:' .. lane)
    end
    -- A beat from the future: Redis's clock was set back, and nobody would be taken to be silent for as long as that.
    if batch and math.abs(now - tonumber(beat)) > silence then
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
 * ARGV: how many entries may go per stream, then per stream its name, byte budget and maxAgeMs. Oldest first until within
 * both; of the quarantine, the oldest of the sender that holds most. Every entry carries in its field `n` the bytes it was
 * counted with. Returns how many entries of each went for lack of room and for age.
 */
const TRIM = script(`${SHARES}
local out = {}
-- The ledger's index goes by the hour, with the last entry of it.
local function trimIndex(first)
  local oldest = first and math.floor(string.match(first[1], '^%d+') / 3600000)
  for _, member in ipairs(redis.call('SMEMBERS', p .. ':lihours')) do
    if not oldest or tonumber(string.match(member, '%d+$')) < oldest then
      redis.call('UNLINK', p .. ':li:' .. member)
      redis.call('SREM', p .. ':lihours', member)
    end
  end
end
for i = 2, #ARGV, 3 do
  local name, budget, maxAge = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local key = p .. ':' .. name
  local isQuarantine = name == 'quarantine'
  local size = tonumber(redis.call('HGET', p .. ':sizes', name)) or 0
  local noRoom, tooOld = 0, 0
  for _ = 1, tonumber(ARGV[1]) do
    -- One at a time: a quarantined body may have megabytes, and mostly nothing has to go.
    local entry = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    if not entry then break end
    local old = tonumber(string.match(entry[1], '^%d+')) < now - maxAge
    if not old and (isQuarantine or size <= budget) then break end
    if isQuarantine then takeOut(entry)
    else
      for f = 1, #entry[2], 2 do
        if entry[2][f] == 'n' then size = size - tonumber(entry[2][f + 1]) end
      end
      redis.call('XDEL', key, entry[1])
    end
    if old then tooOld = tooOld + 1 else noRoom = noRoom + 1 end
  end
  if isQuarantine then noRoom = makeRoom(budget, {}, 0, tonumber(ARGV[1]) - tooOld)
  elseif noRoom + tooOld > 0 then
    redis.call('HSET', p .. ':sizes', name, size)
    if name == 'ledger' then trimIndex(redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]) end
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
}

export interface SweepOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  budgets: readonly StreamBudget[];
  /** A lane has something waiting and no batch. */
  found(destination: string, lane: number): void;
  /** A batch has been silent: its job may be lost. Waking a batch whose job lives changes nothing. */
  silent(destination: string, lane: number, batchId: string): void;
  /** What lay in Redis is gone: somebody deleted it, or a Redis without it took over. */
  emptied(event: { scope: string }): void;
  /** Redis's clock, and how long the answer took. */
  clockRead(redisMs: number, roundTripMs: number): void;
  trimmed(event: { scope: string; stream: StreamBudget["name"]; noRoom: number; tooOld: number }): void;
  failed(error: unknown): void;
}

const EVERY_MS = 1000;
/** Longer than the pause between two signs of life of a batch that is waiting for a slot, shorter than anybody's patience. */
const SILENCE_MS = 3000;

/** Redis serves nobody else meanwhile: 200 small entries take it about a millisecond. */
const TRIMMED_AT_ONCE = 200;
/** A flood of malformed messages must be trimmed as fast as it comes in; 20,000 a second are more than come in. */
const MAX_TRIM_ROUNDS = 100;

export function startSweep(options: SweepOptions): { stop(): void } {
  const { redis, destinations, budgets } = options;
  const scopes = new Map<string, QueueDestination[]>();
  for (const destination of destinations.values()) {
    scopes.set(destination.scope, [...(scopes.get(destination.scope) ?? []), destination]);
  }
  /** Per scope, since when it has had keys. */
  const born = new Map<string, string>();
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
    const askedAt = performance.now();
    const [since = "", time = "", ...todo] = (await run(redis, SWEEP, scope, [SILENCE_MS, ...limits])).map(
      String,
    );
    options.clockRead(Number(time), performance.now() - askedAt);
    if ((born.get(scope) ?? since) !== since) options.emptied({ scope });
    born.set(scope, since);
    for (let i = 0; i < todo.length; i += 3) {
      const [destination = "", lane = "", batchId = ""] = todo.slice(i, i + 3);
      if (batchId === "") options.found(destination, Number(lane));
      else options.silent(destination, Number(lane), batchId);
    }
    await trim(scope);
  }

  async function trim(scope: string): Promise<void> {
    const args = budgets.flatMap(({ name, bytes, maxAgeMs }) => [name, bytes, maxAgeMs]);
    for (let round = 0; round < MAX_TRIM_ROUNDS && !stopped; round++) {
      const gone = (await run(redis, TRIM, scope, [TRIMMED_AT_ONCE, ...args])).map(Number);
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

/** Several processes sweep; they shall not all do it in the same moment. */
function jittered(): number {
  return EVERY_MS * (0.75 + Math.random() / 2);
}
