-- Trims the bounded streams of a scope, oldest first, until each is within its budget and its age; of the quarantine, the
-- oldest of the sender that holds most.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {most, streams: [{name, bytes, maxAgeMs}]} as JSON; at most `most` entries go per stream and call.
--
-- Returns per stream how many entries went for lack of room, and how many for their age.

--- @include "clock"
--- @include "keys"
--- @include "changed"
--- @include "streams"
--- @include "entry-fields"
--- @include "quarantine-shares"

local args = cjson.decode(ARGV[1])
-- The ledger's index goes by the hour, with the last entry of it.
local function trimIndex(first)
  local oldest = first and math.floor(timeOf(first) / 3600000)
  for _, member in ipairs(redis.call('SMEMBERS', KEY.ledgerHours)) do
    local destination, hour = string.match(member, '^(.*):(%d+)$')
    if not oldest or tonumber(hour) < oldest then
      redis.call('UNLINK', KEY.ledgerIndex(destination, hour))
      redis.call('SREM', KEY.ledgerHours, member)
    end
  end
end
local out = {}
for _, limit in ipairs(args.streams) do
  local key = STREAMS[limit.name]
  local isQuarantine = limit.name == 'quarantine'
  local size = tonumber(redis.call('HGET', KEY.sizes, limit.name)) or 0
  local noRoom, tooOld = 0, 0
  for _ = 1, args.most do
    -- One at a time: a quarantined body may have megabytes, and mostly nothing has to go.
    local entry = oldestOf(key)
    if not entry then break end
    local isOld = timeOf(entry) < now - limit.maxAgeMs
    if not isOld and (isQuarantine or size <= limit.bytes) then break end
    if isQuarantine then remove(entry)
    else
      size = size - (tonumber(fieldsOf(entry).n) or 0)
      redis.call('XDEL', key, entry[1])
    end
    if isOld then tooOld = tooOld + 1 else noRoom = noRoom + 1 end
  end
  if isQuarantine then noRoom = makeRoom(limit.bytes, {}, 0, args.most - tooOld)
  elseif noRoom + tooOld > 0 then
    redis.call('HSET', KEY.sizes, limit.name, size)
    if limit.name == 'ledger' then trimIndex(oldestOf(key)) end
  end
  if noRoom + tooOld > 0 then markChanged() end
  out[#out + 1] = noRoom
  out[#out + 1] = tooOld
end
return out
