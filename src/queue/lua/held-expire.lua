-- Lets a held reading go that is too old.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {source, device, record} as JSON.
--
-- Returns {1}, or {0} where another reading of the device is held by now.

--- @include "keys"
--- @include "counters"

local args = cjson.decode(ARGV[1])
if redis.call('HGET', KEY.held(args.source), args.device) ~= args.record then return { 0 } end
redis.call('HDEL', KEY.held(args.source), args.device)
count(args.source, 'expired', 1)
writeCounts()
return { 1 }
