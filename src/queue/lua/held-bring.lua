-- Brings a held reading into this scope from its home scope.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {source, device, fixTime, markMs, routes: [{backlog, record}]} as JSON: the mark's lifetime, and the routes in
--   this scope.
--
-- The reading is counted here before it is uncounted at home, so that no crash in between can lose it; the mark keeps a
-- second attempt, or another process, from bringing it twice.
--
-- Returns {1}, or {0} where it has been brought before.

--- @include "keys"
--- @include "counters"
--- @include "enqueue"
--- @include "held-counts"

local args = cjson.decode(ARGV[1])
local mark = KEY.moved(args.source, args.fixTime, args.device)
if not redis.call('SET', mark, 1, 'NX', 'PX', args.markMs) then return { 0 } end
recount(args.source, #args.routes)
for _, route in ipairs(args.routes) do enqueue(route.backlog, route.record) end
writeCounts()
return { 1 }
