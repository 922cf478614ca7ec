-- Takes a message out of the quarantine, to be ingested again; it is counted anew there, so its old count goes with it.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV: entry id.
--
-- Returns {1}, or {0} where it is no longer there.

--- @include "clock"
--- @include "keys"
--- @include "counters"
--- @include "entry-fields"
--- @include "quarantine-shares"
--- @include "timeline"

local entry = redis.call('XRANGE', KEY.quarantine, ARGV[1], ARGV[1])[1]
if not entry then return { 0 } end
local fields = fieldsOf(entry)
remove(entry)
count(fields.source, 'messages', -1)
count(fields.source, 'malformed', -1)
count(fields.source, 'malformed:' .. fields.reason, -1)
count(fields.source, 'redrivenMessages', 1)
note(fields.source, '', EVENT.redriven, fields.reason, now, 1, '', '', ARGV[1])
writeCounts()
writeTimelines()
return { 1 }
