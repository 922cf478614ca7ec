-- Forms a lane's next batch: in arrival order while we keep up, each unit's newest first while behind.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {destination, lane, batchId, maxBatchPings, maxBatchBytes, maxBatchAgeMs, maxAgeMs?, behindMs, backfill,
--   ratePerSecond, windowMs, slotLikelyMs} as JSON; lane is the lane's number.
--
-- While behind, records are sorted out of the arrival list, from its newest end: a unit's newest goes to the hash `live`
-- (and the unit to the list `liveOrder`), everything older to the sorted set `old`. That is bounded per call, so the
-- answer may be "again".
--
-- Returns one of
--   {"busy"}                        another batch of this lane is in flight
--   {"closed", waitMs}              a gate is shut
--   {"wait", waitMs}                no throttle slot soon, or the batch is neither full nor old enough
--   {"empty"}                       nothing waits
--   {"again"}                       more to sort or to expire
--   {"batch", id, newFlags, record…}

--- @include "clock"
--- @include "keys"
--- @include "records"
--- @include "bulk"
--- @include "counters"
--- @include "changed"
--- @include "backlogs"
--- @include "gates"
--- @include "throttle"
--- @include "device-of"
--- @include "timeline"

local args = cjson.decode(ARGV[1])
local destination, lane, id = args.destination, args.destination .. '|' .. args.lane, args.batchId
local maxPings, maxBytes, rate = args.maxBatchPings, args.maxBatchBytes, args.ratePerSecond
local laneKey, destKey = KEY.lane(lane), KEY.destination(destination)
if redis.call('HEXISTS', laneKey, 'batch') == 1 then return { 'busy' } end
for _, gate in ipairs({ KEY.scopeGate, KEY.gate(destination) }) do
  local wait = maySend(gate, lane, nil)
  if wait > 0 then return { 'closed', wait } end
end
local wait = slotWait(math.min(rateOf(KEY.scopeGate, rate), rateOf(KEY.gate(destination), rate)), args.windowMs)
if wait > args.slotLikelyMs then return { 'wait', wait - args.slotLikelyMs } end

local piece = redis.call('LPOP', KEY.pieces(lane))
if piece then
  redis.call('HSET', laneKey, 'batch', piece, 'beat', now)
  markChanged()
  local out = { 'batch', piece, redis.call('HGET', KEY.batchFacts(piece), 'new') or '' }
  for _, r in ipairs(redis.call('LRANGE', KEY.batch(piece), 0, -1)) do out[#out + 1] = r end
  return out
end

local sources = redis.call('SMEMBERS', KEY.backlogs(lane))
local cap = tonumber(redis.call('HGET', destKey, 'byteCap')) or maxBytes
if cap < maxBytes then maxBytes = cap end
local freed = 0
local function gone(r, field)
  local source = sourceOf(r)
  count(source, field, 1)
  note(source, deviceOf(r), EVENT[field], '', now, 1, fixTimeOf(r), '', '')
  freed = freed + #r
end
local function expired(r) return args.maxAgeMs and fixTimeOf(r) < now - args.maxAgeMs end
local accepted = {}
-- For many at once: a call for each would cost more than everything else that is done for a ping.
local function lookUp(records)
  local units = {}
  for _, r in ipairs(records) do
    local unit = r and unitOf(r)
    if unit and accepted[unit] == nil then
      accepted[unit] = false
      units[#units + 1] = unit
    end
  end
  for i, fixTime in ipairs(hashValues(KEY.accepted(destination), units)) do
    accepted[units[i]] = tonumber(fixTime) or false
  end
  return records
end
local function newestAccepted(unit) return accepted[unit] end
local function overtaken(r)
  if args.backfill ~= 'drop' then return false end
  return isOvertaken(r, newestAccepted(unitOf(r)))
end
local chosen, bytes = {}, 0
-- True when the record is dealt with: chosen, or gone for a counted reason. False: the batch has no room for it.
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
  writeTimelines()
  markChanged()
  return answer
end

-- A random source begins: where there are more sources than room in a batch, the last one would starve.
local function backlogAt(i) return backlogOf(lane, sources[(now + i) % #sources + 1]) end
-- Sources takeFrom turns in shares, so that one source's flood does not keep another's pings waiting.
local function inTurns(takeFrom)
  local share = math.max(1, math.ceil(maxPings / #sources))
  local progress = true
  while progress and #chosen < maxPings do
    progress = false
    for i = 1, #sources do
      if takeFrom(backlogAt(i), share) > 0 then progress = true end
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
-- Moves up to n records from the arrival list's newest end to where each unit's newest is apart from its history.
local function sortOut(backlog, n)
  local live, order, old = KEY.live(backlog), KEY.liveOrder(backlog), KEY.old(backlog)
  local newest, units, older, fresh, first = {}, {}, {}, {}, {}
  local popped = lookUp(redis.call('RPOP', KEY.backlog(backlog), n) or {})
  for _, r in ipairs(popped) do
    local unit = unitOf(r)
    local best = newest[unit]
    if expired(r) then gone(r, 'expired')
    elseif overtaken(r) then gone(r, 'superseded')
    -- A newer one has been accepted: this is history, even if it is the newest that waits.
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

local waiting, oldest, isBehind = 0, nil, false
for _, source in ipairs(sources) do
  local backlog = backlogOf(lane, source)
  local n = redis.call('LLEN', KEY.backlog(backlog))
  if n > 0 then
    waiting = waiting + n
    local head = receivedAtOf(redis.call('LINDEX', KEY.backlog(backlog), 0))
    if not oldest or head < oldest then oldest = head end
  end
  if isSorted(backlog) then isBehind = true end
end
if oldest and oldest < now - args.behindMs then isBehind = true end

if not isBehind then
  if waiting == 0 then return { 'empty' } end
  -- A clock further ahead of Redis's than a batch may be old says nothing about age; it would delay the batch by minutes.
  if waiting < maxPings and math.abs(now - oldest) < args.maxBatchAgeMs then
    -- Neither full by count nor old; whether full by bytes only the records show.
    local seen = 0
    for _, source in ipairs(sources) do
      for _, r in ipairs(redis.call('LRANGE', KEY.backlog(backlogOf(lane, source)), 0, maxPings - 1)) do
        seen = seen + pingBytesOf(r) + 1
      end
    end
    if seen < maxBytes then return { 'wait', oldest + args.maxBatchAgeMs - now } end
  end
  inTurns(function(backlog, share)
    local key, taken = KEY.backlog(backlog), 0
    for _, r in ipairs(lookUp(redis.call('LRANGE', key, 0, share - 1))) do
      if not choose(r) then break end
      taken = taken + 1
    end
    if taken > 0 then redis.call('LTRIM', key, taken, -1) end
    return taken
  end)
else
  -- 2,000 records in one call, in steps of 500, shared by the sources: Redis serves no other client meanwhile.
  local budget, unsorted = math.max(500, math.floor(2000 / #sources)), false
  for _, source in ipairs(sources) do
    local backlog = backlogOf(lane, source)
    for done = 0, budget - 1, 500 do
      if sortOut(backlog, math.min(500, budget - done)) == 0 then break end
    end
    if redis.call('EXISTS', KEY.backlog(backlog)) == 1 then unsorted = true end
  end
  inTurns(function(backlog, share)
    local live, order = KEY.live(backlog), KEY.liveOrder(backlog)
    local units, done, taken = redis.call('LRANGE', order, 0, share - 1), {}, {}
    local records = hashValues(live, units)
    lookUp(records)
    for i, r in ipairs(records) do
      -- False: the sweep let it expire. It leaves the unit in the order, which may therefore name a unit twice.
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
  -- Every unit's newest is chosen: the room that is left goes to history, oldest first, once all of it has been sorted
  -- out, for what still lies in the arrival list is older. Under `drop` only units without anything newer have history.
  local isHistoryWanted = not unsorted and (args.backfill == 'deliver' or #chosen == 0)
  for i = 1, #sources do
    local old, done = KEY.old(backlogAt(i)), {}
    for _, r in ipairs(lookUp(redis.call('ZRANGE', old, 0, math.max(maxPings, 1000) - 1))) do
      if expired(r) or overtaken(r) or isHistoryWanted then
        if not choose(r) then break end
        done[#done + 1] = r
      end
    end
    pushAll('ZREM', old, done)
  end
end

if #chosen == 0 then return finish({ 'again' }) end
pushAll('RPUSH', KEY.batch(id), chosen)
local new = {}
for i, r in ipairs(chosen) do new[i] = newestAccepted(unitOf(r)) and '0' or '1' end
local flags = table.concat(new)
redis.call('HSET', KEY.batchFacts(id), 'lane', lane, 'new', flags, 'formedAt', now)
redis.call('HSET', laneKey, 'batch', id, 'beat', now)
local out = { 'batch', id, flags }
for _, r in ipairs(chosen) do out[#out + 1] = r end
return finish(out)
