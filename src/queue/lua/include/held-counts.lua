-- Counts a held reading again for where it leads now: to several destinations, or to none of this scope.

--- @include "counters"

local function recount(source, n)
  if n ~= 0 then
    count(source, 'readings', n)
    count(source, 'stored', n)
  end
end
