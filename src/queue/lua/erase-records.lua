-- Takes records out of where they wait, as far as they are still there, and counts them as dropped.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {kind, name, records} as JSON: the name of a backlog for the kinds "backlog", "live" and "old", of a lane for
--   "isolated", of a source for "held".
--
-- Returns how many were taken out.

--- @include "keys"
--- @include "records"
--- @include "counters"
--- @include "device-of"

local args = cjson.decode(ARGV[1])
local name, freed, taken = args.name, {}, 0
local function destinationOf(lane) return string.match(lane, '^(.-)|') end
local takeOut = {
  backlog = function(r) return redis.call('LREM', KEY.backlog(name), 1, r) == 1 end,
  old = function(r) return redis.call('ZREM', KEY.old(name), r) == 1 end,
  live = function(r)
    if redis.call('HGET', KEY.live(name), unitOf(r)) ~= r then return false end
    redis.call('HDEL', KEY.live(name), unitOf(r))
    redis.call('LREM', KEY.liveOrder(name), 1, unitOf(r))
    return true
  end,
  isolated = function(r)
    redis.call('HDEL', KEY.retests(destinationOf(name)), r)
    return redis.call('LREM', KEY.isolated(name), 1, r) == 1
  end,
  held = function(r)
    local device = deviceOf(r)
    if redis.call('HGET', KEY.held(name), device) ~= r then return false end
    return redis.call('HDEL', KEY.held(name), device) == 1
  end
}
for _, r in ipairs(args.records) do
  if takeOut[args.kind](r) then
    taken = taken + 1
    count(sourceOf(r), 'dropped', 1)
    if args.kind ~= 'held' then
      local destination = destinationOf(name)
      freed[destination] = (freed[destination] or 0) + #r
    end
  end
end
for destination, n in pairs(freed) do redis.call('HINCRBY', KEY.destination(destination), 'bytes', -n) end
writeCounts()
return { taken }
