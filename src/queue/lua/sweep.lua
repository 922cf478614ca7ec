-- Once a second: lets the expired go, and finds batches that lost their job and lanes that wait without a batch.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {silenceMs, destinations: [{name, maxAgeMs?}]} as JSON. A batch without a sign of life for silenceMs has lost
--   its job.
--
-- Returns since when the scope has had keys, and the time; then per lane with something to do its destination, its
-- number, and the silent batch's id or "" where the lane needs a batch.

--- @include "clock"
--- @include "keys"
--- @include "records"
--- @include "counters"
--- @include "backlogs"
--- @include "device-of"
--- @include "timeline"

local args = cjson.decode(ARGV[1])
local oldestWantedOf = {}
for _, each in ipairs(args.destinations) do oldestWantedOf[each.name] = each.maxAgeMs and now - each.maxAgeMs or 0 end

local freed = 0
local function expire(r)
  local source = sourceOf(r)
  count(source, 'expired', 1)
  note(source, deviceOf(r), EVENT.expired, '', now, 1, fixTimeOf(r), '', '')
  freed = freed + #r
end
-- A piece goes as a whole, when all of its records are too old.
local function expirePieces(lane, oldestWanted)
  for _, piece in ipairs(redis.call('LRANGE', KEY.pieces(lane), 0, -1)) do
    local records, isOld = redis.call('LRANGE', KEY.batch(piece), 0, -1), true
    for _, r in ipairs(records) do isOld = isOld and fixTimeOf(r) < oldestWanted end
    if isOld then
      for _, r in ipairs(records) do expire(r) end
      redis.call('LREM', KEY.pieces(lane), 1, piece)
      redis.call('DEL', KEY.batch(piece), KEY.batchFacts(piece))
    end
  end
end
local function expireLive(lane, source, oldestWanted)
  local backlog = backlogOf(lane, source)
  local live = KEY.live(backlog)
  -- No order by age here, so some are checked each time; behind an open gate batches are formed faster anyway.
  if redis.call('EXISTS', live) == 0 then return end
  local cursor = 'scan:' .. source
  local scan = redis.call('HSCAN', live, redis.call('HGET', KEY.lane(lane), cursor) or '0', 'COUNT', 200)
  redis.call('HSET', KEY.lane(lane), cursor, scan[1])
  for i = 1, #scan[2], 2 do
    if fixTimeOf(scan[2][i + 1]) < oldestWanted then
      redis.call('HDEL', live, scan[2][i])
      expire(scan[2][i + 1])
    end
  end
  if redis.call('EXISTS', live) == 0 then redis.call('DEL', KEY.liveOrder(backlog)) end
end
local function expireBacklog(lane, source, oldestWanted)
  local backlog = backlogOf(lane, source)
  -- A bound per call; what is left expires a second later.
  for _ = 1, 500 do
    local r = redis.call('LINDEX', KEY.backlog(backlog), 0)
    if not r or fixTimeOf(r) >= oldestWanted then break end
    redis.call('LPOP', KEY.backlog(backlog))
    expire(r)
  end
  local old = KEY.old(backlog)
  for _, r in ipairs(redis.call('ZRANGEBYSCORE', old, '-inf', '(' .. oldestWanted, 'LIMIT', 0, 500)) do
    -- Their order may be before their own time.
    if fixTimeOf(r) < oldestWanted then
      redis.call('ZREM', old, r)
      expire(r)
    end
  end
  expireLive(lane, source, oldestWanted)
end

redis.call('SET', KEY.born, now, 'NX')
local out = { redis.call('GET', KEY.born), now }
for _, lane in ipairs(redis.call('SMEMBERS', KEY.lanes)) do
  local destination, number = string.match(lane, '^(.-)|(.*)$')
  local oldestWanted = oldestWantedOf[destination]
  if oldestWanted then
    freed = 0
    expirePieces(lane, oldestWanted)
    local waiting = redis.call('LLEN', KEY.pieces(lane))
    for _, source in ipairs(redis.call('SMEMBERS', KEY.backlogs(lane))) do
      expireBacklog(lane, source, oldestWanted)
      waiting = waiting + backlogSize(backlogOf(lane, source))
    end
    if freed > 0 then redis.call('HINCRBY', KEY.destination(destination), 'bytes', -freed) end
    local batch, beat = unpack(redis.call('HMGET', KEY.lane(lane), 'batch', 'beat'))
    if batch and redis.call('EXISTS', KEY.batch(batch)) == 0 then
      redis.call('HDEL', KEY.lane(lane), 'batch', 'beat')
      batch = false
    end
    if not batch and redis.call('LLEN', KEY.pieces(lane)) == 0 then
      -- Isolated pings whose last piece expired before it could decide about them.
      for _, r in ipairs(redis.call('LRANGE', KEY.isolated(lane), 0, -1)) do
        redis.call('RPUSH', KEY.backlog(backlogOf(lane, sourceOf(r))), r)
        waiting = waiting + 1
      end
      redis.call('DEL', KEY.isolated(lane), KEY.isolation(lane))
    end
    -- A beat from the future: Redis's clock was set back, and no batch would count as silent for as long as that.
    local isSilent = batch and math.abs(now - tonumber(beat)) > args.silenceMs
    if isSilent or not batch and waiting > 0 then
      out[#out + 1] = destination
      out[#out + 1] = number
      out[#out + 1] = batch or ''
    end
  end
end
writeCounts()
writeTimelines()
return out
