-- Marks that something of the scope has changed that the status shows: a scope without the mark is not counted again.

--- @include "keys"

local function markChanged() redis.call('INCR', KEY.changed) end
