-- Locates a unit among what has not come to an end yet: waiting, in flight, or held until a mapping row names it.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {destination, lane, unit, most, sources} as JSON: the lane's number, how many records are checked per list,
--   and the sources whose own destination it is.
--
-- Returns waiting, in flight, 1 if everything was checked, the newest fix that was accepted or "", then per held reading
-- its source and fix time.

--- @include "keys"
--- @include "records"
--- @include "backlogs"

local args = cjson.decode(ARGV[1])
local lane, unit, most = args.destination .. '|' .. args.lane, args.unit, args.most
local function among(records)
  local n = 0
  for _, r in ipairs(records) do
    if unitOf(r) == unit then n = n + 1 end
  end
  return n
end
local waiting, inFlight, isComplete = 0, 0, 1
local batches = redis.call('LRANGE', KEY.pieces(lane), 0, most)
batches[#batches + 1] = redis.call('HGET', KEY.lane(lane), 'batch') or nil
for _, id in ipairs(batches) do inFlight = inFlight + among(redis.call('LRANGE', KEY.batch(id), 0, -1)) end
inFlight = inFlight + among(redis.call('LRANGE', KEY.isolated(lane), 0, -1))
for _, source in ipairs(redis.call('SMEMBERS', KEY.backlogs(lane))) do
  local backlog = backlogOf(lane, source)
  -- The newest end of the list, and all of a unit's newest: what a dispatcher waits for is there.
  waiting = waiting + among(redis.call('LRANGE', KEY.backlog(backlog), -most, -1))
    + redis.call('HEXISTS', KEY.live(backlog), unit)
    + among(redis.call('ZREVRANGE', KEY.old(backlog), 0, most - 1))
  if math.max(redis.call('LLEN', KEY.backlog(backlog)), redis.call('ZCARD', KEY.old(backlog))) > most then
    isComplete = 0
  end
end
local out = { waiting, inFlight, isComplete, redis.call('HGET', KEY.accepted(args.destination), unit) or '' }
for _, source in ipairs(args.sources) do
  local r = redis.call('HGET', KEY.held(source), unit)
  if r then
    out[#out + 1] = source
    out[#out + 1] = string.format('%.0f', fixTimeOf(r))
  end
end
return out
