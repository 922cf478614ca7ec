-- Releases a held reading into the backlogs of its home scope.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {source, device, record, routes: [{backlog, record}]} as JSON: the held record, and the routes in this scope.
--
-- Returns {1}, or {0} where another reading of the device is held by now.

--- @include "keys"
--- @include "counters"
--- @include "enqueue"
--- @include "held-counts"

local args = cjson.decode(ARGV[1])
local source, device = args.source, args.device
if redis.call('HGET', KEY.held(source), device) ~= args.record then return { 0 } end
redis.call('HDEL', KEY.held(source), device)
redis.call('HDEL', KEY.unmapped(source), device)
-- It was counted once; it may turn out to feed several destinations here, or none because all are elsewhere.
recount(source, #args.routes - 1)
for _, route in ipairs(args.routes) do enqueue(route.backlog, route.record) end
writeCounts()
return { 1 }
