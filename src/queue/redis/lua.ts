/** What all Redis scripts share: reading a record's head, the gates of scope and destination, and the throttle's slots. */

import { createHash } from "node:crypto";
import type { Redis } from "ioredis";

/**
 * Mirrors keys.ts and record.ts. `p` is the scope's key prefix; every key built from it carries the scope's hash tag, so
 * a script never leaves its Redis Cluster slot.
 */
const RECORDS = `
local p = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function fixTimeOf(r) return tonumber(string.sub(r, 2, 14)) end
local function receivedAtOf(r) return tonumber(string.sub(r, 15, 27)) end
-- The order of a unit's fixes: a fix dated ahead of its receipt is no newer than its receipt, or a clock that runs ahead,
-- or a forged fix, would overtake what is taken after it. Records of one message often tie there: their own times decide.
local function orderOf(r) return math.min(fixTimeOf(r), receivedAtOf(r)) end
local function isNewer(r, other)
  local one, two = orderOf(r), orderOf(other)
  return one > two or one == two and fixTimeOf(r) > fixTimeOf(other)
end
-- By what was accepted of its unit, whose mark tells the order alone: where that ties, a fix dated ahead is not lost.
local function isOvertaken(r, mark)
  local own = orderOf(r)
  return mark and (mark > own or mark == own and fixTimeOf(r) == own)
end
local function unitOf(r) return string.sub(r, 38, 37 + tonumber(string.sub(r, 28, 30))) end
local function sourceOf(r)
  local start = 38 + tonumber(string.sub(r, 28, 30))
  return string.sub(r, start, start + tonumber(string.sub(r, 31, 32)) - 1)
end
local function pingBytesOf(r) return tonumber(string.sub(r, 33, 37)) end
local function hashValues(key, fields)
  local out = {}
  for i = 1, #fields, 1000 do
    for _, value in ipairs(redis.call('HMGET', key, unpack(fields, i, math.min(i + 999, #fields)))) do
      out[#out + 1] = value
    end
  end
  return out
end
local tally = {}
local function count(source, field, n)
  local counters = tally[source]
  if not counters then counters = {}; tally[source] = counters end
  counters[field] = (counters[field] or 0) + n
end
local function writeCounts()
  for source, counters in pairs(tally) do
    for field, n in pairs(counters) do redis.call('HINCRBY', p .. ':n:' .. source, field, n) end
  end
end
local function pushAll(command, key, records)
  -- Lua's unpack is limited by its stack (about 8,000 values).
  for i = 1, #records, 1000 do
    redis.call(command, key, unpack(records, i, math.min(i + 999, #records)))
  end
end
`;

/**
 * A gate is a hash {state, until, reason, fails, probe, ramp}; no hash means open. There is one per scope and one per
 * destination, and `maySend` is the only way to ask them. `holder` is the destination|lane that wants to send: while a
 * gate is probing only the lane that holds the probe passes.
 */
const GATES = `
local function maySend(gate, holder, take)
  local state, till, probe, since = unpack(redis.call('HMGET', gate, 'state', 'until', 'probe', 'since'))
  if not state or state == 'open' or state == 'ramping' then return 0, state end
  local remaining = tonumber(till) - now
  -- It began in the future: Redis's clock was set back, and what was to be a short wait would last as long as that.
  if (tonumber(since) or 0) > now + 1000 then remaining = 0 end
  if state == 'probing' and probe == holder then return 0, state end
  if remaining > 0 then
    -- A probe may end at any moment, so ask again soon; a pause ends when it says.
    return state == 'probing' and math.min(remaining, 250) or remaining, state
  end
  if take then
    -- Should this process die with the probe in its hands, another may probe after the same time again.
    redis.call('HSET', gate, 'state', 'probing', 'probe', holder, 'until', now + take, 'since', now)
  end
  return 0, 'probing'
end
local function rateOf(gate, rate)
  local state, ramp = unpack(redis.call('HMGET', gate, 'state', 'ramp'))
  if state == 'probing' then return 1 end
  if state == 'ramping' then return math.max(1, math.min(rate, tonumber(ramp) or 1)) end
  return rate
end
local function opened(gate, rate)
  local state, ramp, since = unpack(redis.call('HMGET', gate, 'state', 'ramp', 'since'))
  if not state then return end
  -- Whoever it was that got through: an earlier probe may have been given up too soon.
  if state == 'probing' then
    redis.call('HSET', gate, 'state', 'ramping', 'ramp', math.max(1, math.floor(rate / 10)), 'since', now)
    redis.call('HDEL', gate, 'probe', 'until', 'fails')
  elseif state == 'ramping' then
    -- One more for every success: the rate doubles about once a second, as TCP's slow start does.
    local grown = tonumber(ramp) + 1
    -- With little traffic the ramp would never end: ten seconds without a complaint are enough.
    if grown >= rate or now - tonumber(since) > 10000 then redis.call('DEL', gate) else redis.call('HSET', gate, 'ramp', grown) end
  end
  -- Paused: a success that was under way when the pause began changes nothing.
end
-- \`waitMs\` nil: full jitter below a doubling bound that ends at 4 s, so that an outage's end is noticed soon.
local function shut(gate, reason, waitMs, random)
  local state, till = unpack(redis.call('HMGET', gate, 'state', 'until'))
  -- Two answers of one outage: the longer pause counts. A probe's own deadline is no pause.
  till = state == 'paused' and tonumber(till) or 0
  local fails = redis.call('HINCRBY', gate, 'fails', 1)
  waitMs = waitMs or math.floor(random * math.min(4000, 250 * 2 ^ math.min(fails, 10)))
  redis.call('HSET', gate, 'state', 'paused', 'reason', reason, 'until', math.max(till, now + waitMs), 'since', now)
  redis.call('HDEL', gate, 'probe', 'ramp')
end
`;

/**
 * The throttle: a sliding log of the last \`rate\` slots, kept over one second plus a guard. A slot may be given for a
 * moment slightly ahead; whoever gets it sends at that moment, or tells when it really did. A log, because fixed windows
 * let twice the rate into a sliding second (measured: 119 of 60) and GCRA lets one too many.
 */
const SLOTS = `
local function slotWait(rate, windowMs)
  local newest = tonumber(redis.call('LINDEX', p .. ':slots', -1))
  if not newest then
    -- Emptied, or new: what was sent within the last window nobody knows, so nothing is sent for as long.
    newest = now + windowMs
    redis.call('RPUSH', p .. ':slots', newest)
    redis.call('PEXPIRE', p .. ':slots', 86400000)
  end
  if newest - now > 10 * windowMs then
    -- Redis's clock went back by more than slots are ever given ahead: begin again as if all slots were used just now.
    local used = {}
    for i = 1, rate do used[i] = now end
    redis.call('DEL', p .. ':slots')
    pushAll('RPUSH', p .. ':slots', used)
    return windowMs
  end
  local oldest = tonumber(redis.call('LINDEX', p .. ':slots', -rate))
  -- Never before the newest: when the rate rises again the log would lose its order, and with it the count.
  return math.max(0, newest - now, oldest and oldest + windowMs - now or 0)
end
local function takeSlot(rate, fullRate, windowMs, horizonMs)
  local wait = slotWait(rate, windowMs)
  if wait > horizonMs then return wait, nil end
  redis.call('RPUSH', p .. ':slots', now + wait)
  redis.call('LTRIM', p .. ':slots', -fullRate, -1)
  -- A scope that nobody uses any more leaves nothing behind; one that rests for a day waits a window.
  redis.call('PEXPIRE', p .. ':slots', 86400000)
  return wait, now + wait
end
-- The log stays sorted, and a slot that moves later never comes closer to those before it.
local function moveSlot(from, to)
  if redis.call('LREM', p .. ':slots', -1, from) == 0 then return end
  local after
  for i = -1, -redis.call('LLEN', p .. ':slots'), -1 do
    local slot = redis.call('LINDEX', p .. ':slots', i)
    if tonumber(slot) <= to then break end
    after = slot
  end
  if after then redis.call('LINSERT', p .. ':slots', 'BEFORE', after, to) else redis.call('RPUSH', p .. ':slots', to) end
end
`;

/** A Lua script as Redis knows it. */
export interface Script {
  lua: string;
  sha: string;
}

/** Puts the shared functions in front of a script. */
export function script(body: string): Script {
  const lua = `${RECORDS}${GATES}${SLOTS}${body}`;
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

/** Runs a script on the scope whose key prefix is given. After a restart or FLUSHALL Redis has forgotten it: sent again. */
export async function run(
  redis: Redis,
  { lua, sha }: Script,
  scopePrefix: string,
  args: readonly (string | number | Buffer)[],
): Promise<unknown[]> {
  let reply: unknown;
  try {
    reply = await redis.call("EVALSHA", [sha, 1, scopePrefix, ...args]);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
    reply = await redis.call("EVAL", [lua, 1, scopePrefix, ...args]);
  }
  return Array.isArray(reply) ? reply : [reply];
}
