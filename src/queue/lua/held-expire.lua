-- Lets a held reading go that is too old.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {source, device, record} as JSON.
--
-- Returns {1}, or {0} where another reading of the device is held by now.

--- @include "clock"
--- @include "keys"
--- @include "counters"
--- @include "records"
--- @include "timeline"

local args = cjson.decode(ARGV[1])
if redis.call('HGET', KEY.held(args.source), args.device) ~= args.record then return { 0 } end
redis.call('HDEL', KEY.held(args.source), args.device)
count(args.source, 'expired', 1)
note(args.source, args.device, EVENT.expired, 'held', now, 1, fixTimeOf(args.record), '', '')
writeCounts()
writeTimelines()
return { 1 }
