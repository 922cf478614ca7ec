-- The counters of the accounting identity: collected while a script runs, written once at its end.

--- @include "keys"
--- @include "pulse"
--- @include "changed"

local tally = {}
local function count(source, field, n)
  local counters = tally[source]
  if not counters then counters = {}; tally[source] = counters end
  counters[field] = (counters[field] or 0) + n
end
local function writeCounts()
  if not next(tally) then return end
  for source, counters in pairs(tally) do
    feelPulse(source, counters)
    for field, n in pairs(counters) do redis.call('HINCRBY', KEY.counters(source), field, n) end
  end
  markChanged()
end
