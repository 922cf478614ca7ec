/** Cuts a batch from what waits in one lane: in arrival order while we keep up, each unit's newest first while behind. */

import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { run, script } from "../redis/lua.ts";

/**
 * ARGV: destination, lane number, batch id, maxBatchPings, maxBatchBytes, maxBatchAgeMs, maxAgeMs ("" = none),
 * behindMs, backfill, ratePerSecond, windowMs, slotLikelyMs.
 *
 * While behind, records are sifted from the arrival list's newest end: a unit's newest goes to the hash `live` (and the
 * unit to the list `liveorder`), everything older to the sorted set `old`. Sifting is bounded per call, so the answer
 * may be "again".
 *
 * Returns one of
 *   {"busy"}                        another batch of this lane is in flight
 *   {"closed", waitMs}              a gate is shut
 *   {"wait", waitMs}                no throttle slot soon, or the batch is neither full nor old enough
 *   {"empty"}                       nothing waits
 *   {"again"}                       more sifting or expiring to do
 *   {"batch", id, newFlags, record…}
 */
const CUT = script(`
local destination, lane = ARGV[1], ARGV[1] .. '|' .. ARGV[2]
local id, maxPings, maxBytes, maxBatchAge = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local maxAge, behind, backfill = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local rate, windowMs, slotLikely = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local laneKey, destKey = p .. ':lane:' .. lane, p .. ':dest:' .. destination
if redis.call('HEXISTS', laneKey, 'batch') == 1 then return { 'busy' } end
for _, gate in ipairs({ p .. ':gate', p .. ':gate:' .. destination }) do
  local wait = maySend(gate, lane, nil)
  if wait > 0 then return { 'closed', wait } end
end
local wait = slotWait(math.min(rateOf(p .. ':gate', rate), rateOf(p .. ':gate:' .. destination, rate)), windowMs)
if wait > slotLikely then return { 'wait', wait - slotLikely } end

local piece = redis.call('LPOP', p .. ':pieces:' .. lane)
if piece then
  redis.call('HSET', laneKey, 'batch', piece, 'beat', now)
  local out = { 'batch', piece, redis.call('HGET', p .. ':bm:' .. piece, 'new') or '' }
  for _, r in ipairs(redis.call('LRANGE', p .. ':b:' .. piece, 0, -1)) do out[#out + 1] = r end
  return out
end

local sources = redis.call('SMEMBERS', p .. ':lines:' .. lane)
local cap = tonumber(redis.call('HGET', destKey, 'byteCap')) or maxBytes
if cap < maxBytes then maxBytes = cap end
local freed = 0
local function gone(r, field)
  count(sourceOf(r), field, 1)
  freed = freed + #r
end
local function expired(r) return maxAge and fixTimeOf(r) < now - maxAge end
local accepted = {}
-- Asked for many at once: a call for each would cost more than everything else that is done for a ping.
local function lookUp(records)
  local units = {}
  for _, r in ipairs(records) do
    local unit = r and unitOf(r)
    if unit and accepted[unit] == nil then
      accepted[unit] = false
      units[#units + 1] = unit
    end
  end
  for i, fixTime in ipairs(hashValues(p .. ':accepted:' .. destination, units)) do
    accepted[units[i]] = tonumber(fixTime) or false
  end
  return records
end
local function newestAccepted(unit) return accepted[unit] end
local function overtaken(r)
  if backfill ~= 'drop' then return false end
  return isOvertaken(r, newestAccepted(unitOf(r)))
end
local chosen, bytes = {}, 0
-- True while the record is dealt with: chosen, or gone for a counted reason. False: it would burst the batch.
local function choose(r)
  if expired(r) then gone(r, 'expired'); return true end
  if overtaken(r) then gone(r, 'superseded'); return true end
  -- And a comma.
  local size = pingBytesOf(r) + 1
  if #chosen >= maxPings or (#chosen > 0 and bytes + size > maxBytes) then return false end
  chosen[#chosen + 1] = r
  bytes = bytes + size
  return true
end
local function finish(answer)
  if freed > 0 then redis.call('HINCRBY', destKey, 'bytes', -freed) end
  writeCounts()
  return answer
end

-- Who begins is chance: where there are more sources than room in a batch, the last would starve.
local function lineAt(i) return lane .. '|' .. sources[(now + i) % #sources + 1] end
-- Sources take turns in shares, so that one source's flood does not keep another's pings waiting.
local function inTurns(take)
  local share = math.max(1, math.ceil(maxPings / #sources))
  local progress = true
  while progress and #chosen < maxPings do
    progress = false
    for i = 1, #sources do
      if take(lineAt(i), share) > 0 then progress = true end
    end
  end
end
local function addHistory(old, records)
  if #records == 0 then return end
  local members, known = {}, {}
  for i, score in ipairs(redis.call('ZMSCORE', old, unpack(records))) do
    local r = records[i]
    -- A fix stored twice within one millisecond is the same text, and a set holds it only once.
    if score or known[r] then gone(r, 'superseded')
    else
      known[r] = true
      members[#members + 1] = orderOf(r)
      members[#members + 1] = r
    end
  end
  pushAll('ZADD', old, members)
end
-- Moves up to n records from the arrival list's newest end to where each unit's newest is told from its history.
local function sift(line, n)
  local live, order, old = p .. ':live:' .. line, p .. ':liveorder:' .. line, p .. ':old:' .. line
  local newest, units, older, fresh, first = {}, {}, {}, {}, {}
  local popped = lookUp(redis.call('RPOP', p .. ':q:' .. line, n) or {})
  for _, r in ipairs(popped) do
    local unit = unitOf(r)
    local best = newest[unit]
    if expired(r) then gone(r, 'expired')
    elseif overtaken(r) then gone(r, 'superseded')
    -- A newer one has been accepted: this is history, however new it is among what waits.
    elseif isOvertaken(r, newestAccepted(unit)) then older[#older + 1] = r
    elseif not best then
      newest[unit] = r
      units[#units + 1] = unit
    elseif isNewer(r, best) then
      newest[unit] = r
      older[#older + 1] = best
    else older[#older + 1] = r end
  end
  for i, known in ipairs(hashValues(live, units)) do
    local unit = units[i]
    local r = newest[unit]
    if not known then first[#first + 1] = unit end
    if known and not isNewer(r, known) then older[#older + 1] = r
    else
      fresh[#fresh + 1] = unit
      fresh[#fresh + 1] = r
      if known then older[#older + 1] = known end
    end
  end
  pushAll('RPUSH', order, first)
  pushAll('HSET', live, fresh)
  addHistory(old, older)
  return #popped
end

local waiting, oldest, sifting = 0, nil, false
for _, source in ipairs(sources) do
  local line = lane .. '|' .. source
  local n = redis.call('LLEN', p .. ':q:' .. line)
  if n > 0 then
    waiting = waiting + n
    local head = receivedAtOf(redis.call('LINDEX', p .. ':q:' .. line, 0))
    if not oldest or head < oldest then oldest = head end
  end
  if redis.call('EXISTS', p .. ':live:' .. line, p .. ':old:' .. line) > 0 then sifting = true end
end
if oldest and oldest < now - behind then sifting = true end

if not sifting then
  if waiting == 0 then return { 'empty' } end
  -- A clock further ahead of Redis's than a batch may be old says nothing about age; it would hold the batch for minutes.
  if waiting < maxPings and math.abs(now - oldest) < maxBatchAge then
    -- Neither full by count nor old; full by bytes only a look at the records can tell.
    local seen = 0
    for _, source in ipairs(sources) do
      for _, r in ipairs(redis.call('LRANGE', p .. ':q:' .. lane .. '|' .. source, 0, maxPings - 1)) do
        seen = seen + pingBytesOf(r) + 1
      end
    end
    if seen < maxBytes then return { 'wait', oldest + maxBatchAge - now } end
  end
  inTurns(function(line, share)
    local key, taken = p .. ':q:' .. line, 0
    for _, r in ipairs(lookUp(redis.call('LRANGE', key, 0, share - 1))) do
      if not choose(r) then break end
      taken = taken + 1
    end
    if taken > 0 then redis.call('LTRIM', key, taken, -1) end
    return taken
  end)
else
  -- 2,000 records in one call, in steps of 500; every source has its part of them.
  local budget, unsifted = math.max(500, math.floor(2000 / #sources)), false
  for _, source in ipairs(sources) do
    local line = lane .. '|' .. source
    for done = 0, budget - 1, 500 do
      if sift(line, math.min(500, budget - done)) == 0 then break end
    end
    if redis.call('EXISTS', p .. ':q:' .. line) == 1 then unsifted = true end
  end
  inTurns(function(line, share)
    local live, order = p .. ':live:' .. line, p .. ':liveorder:' .. line
    local units, done, taken = redis.call('LRANGE', order, 0, share - 1), {}, {}
    local records = hashValues(live, units)
    lookUp(records)
    for i, r in ipairs(records) do
      -- False: the sweep let it go. It leaves the unit in the order, which may therefore name one twice.
      if r and not taken[units[i]] and not choose(r) then break end
      taken[units[i]] = true
      done[i] = units[i]
    end
    if #done > 0 then
      redis.call('LTRIM', order, #done, -1)
      pushAll('HDEL', live, done)
    end
    return #done
  end)
  -- Everybody's newest is chosen: what room is left goes to history, oldest first. Not before all of it has been
  -- sifted: what lies there still is older. Under \`drop\` history is for those who have nothing newer.
  local wanted = not unsifted and (backfill == 'deliver' or #chosen == 0)
  for i = 1, #sources do
    local old, done = p .. ':old:' .. lineAt(i), {}
    for _, r in ipairs(lookUp(redis.call('ZRANGE', old, 0, math.max(maxPings, 1000) - 1))) do
      if expired(r) or overtaken(r) or wanted then
        if not choose(r) then break end
        done[#done + 1] = r
      end
    end
    pushAll('ZREM', old, done)
  end
end

if #chosen == 0 then return finish({ 'again' }) end
pushAll('RPUSH', p .. ':b:' .. id, chosen)
local new = {}
for i, r in ipairs(chosen) do new[i] = newestAccepted(unitOf(r)) and '0' or '1' end
local flags = table.concat(new)
redis.call('HSET', p .. ':bm:' .. id, 'lane', lane, 'new', flags, 'cutAt', now)
redis.call('HSET', laneKey, 'batch', id, 'beat', now)
local out = { 'batch', id, flags }
for _, r in ipairs(chosen) do out[#out + 1] = r end
return finish(out)
`);

/** A batch as it was cut: its id and its records, in the order they stand in Redis. */
export interface CutBatch {
  id: string;
  destination: string;
  lane: number;
  /** One character per record: `1` where ServiceTitan has not accepted a ping of that unit yet. */
  newFlags: string;
  records: string[];
}

export type CutAnswer =
  | { kind: "batch"; batch: CutBatch }
  | { kind: "busy" | "empty" | "again" }
  /** Ask again after `waitMs`. */
  | { kind: "closed" | "wait"; waitMs: number };

/** A backlog whose oldest ping came longer ago than this means we are behind: the newest go first. */
const BEHIND_MS = 5000;
/** A batch is cut when its throttle slot is at most this far away; earlier it would only age outside the buffer. */
const SLOT_LIKELY_MS = 100;

/** Asks Redis for the next batch of a lane. Throws when Redis does not answer. */
export async function cut(
  redis: Redis,
  destination: QueueDestination,
  lane: number,
  id: string,
): Promise<CutAnswer> {
  const [kind, ...rest] = (
    await run(redis, CUT, destination.scope, [
      destination.name,
      lane,
      id,
      destination.maxBatchPings,
      destination.maxBatchBytes,
      destination.maxBatchAgeMs,
      Number.isFinite(destination.maxAgeMs) ? destination.maxAgeMs : "",
      BEHIND_MS,
      destination.backfill,
      destination.ratePerSecond,
      destination.windowMs,
      SLOT_LIKELY_MS,
    ])
  ).map(String);
  switch (kind) {
    case "batch": {
      const [batchId = "", newFlags = "", ...records] = rest;
      return { kind, batch: { id: batchId, destination: destination.name, lane, newFlags, records } };
    }
    case "busy":
    case "empty":
    case "again":
      return { kind };
    case "closed":
    case "wait":
      return { kind, waitMs: Math.max(1, Number(rest[0])) };
    default:
      throw new Error(`Unexpected answer of the cut script: ${kind}`);
  }
}
