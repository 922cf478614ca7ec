-- Evicts what is remembered of devices and units that have been silent for too long: one slice of one hash per call.
--
-- KEYS[1]: the hash.
-- ARGV: "prints" or "time" (how its values show when the device reported last), cursor, most fields, age in ms after
--   which a field goes.
--
-- Where there are too many fields, up to the older half of the slice goes too. That costs a device its memory, never a
-- position: a fix of it that is sent again has the same externalId.
--
-- Returns the next cursor and how many fields are still too many.

--- @include "clock"
--- @include "bulk"

local key, kind, cursor = KEYS[1], ARGV[1], ARGV[2]
local most, oldest = tonumber(ARGV[3]), now - tonumber(ARGV[4])
local function lastReport(value)
  if kind == 'time' then return tonumber(string.match(value, '^%d+')) or 0 end
  -- Only the low 32 bits of the time, 49 days, are there. A fix may be ahead of us, but not by a day.
  local age = (now - struct.unpack('>I4', value, #value - 4)) % 4294967296
  if age > 4294967296 - 86400000 then return now end
  return now - age
end
local scan = redis.call('HSCAN', key, cursor, 'COUNT', 1000)
local gone, rest = {}, {}
for i = 1, #scan[2], 2 do
  local at = lastReport(scan[2][i + 1])
  if at < oldest then gone[#gone + 1] = scan[2][i] else rest[#rest + 1] = { at, scan[2][i] } end
end
local surplus = redis.call('HLEN', key) - #gone - most
if surplus > 0 then
  table.sort(rest, function(a, b) return a[1] < b[1] end)
  for i = 1, math.min(surplus, math.ceil(#rest / 2)) do
    gone[#gone + 1] = rest[i][2]
    surplus = surplus - 1
  end
end
pushAll('HDEL', key, gone)
return { scan[1], math.max(0, surplus) }
