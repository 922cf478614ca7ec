-- Takes entries out of one of the bounded streams, as far as they are still there.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {stream, ids} as JSON.
--
-- Returns how many were taken out.

--- @include "clock"
--- @include "keys"
--- @include "changed"
--- @include "streams"
--- @include "entry-fields"
--- @include "quarantine-shares"

local args = cjson.decode(ARGV[1])
local key, taken = STREAMS[args.stream], 0
for _, id in ipairs(args.ids) do
  local entry = redis.call('XRANGE', key, id, id)[1]
  if entry then
    taken = taken + 1
    if args.stream == 'quarantine' then remove(entry)
    else
      local fields = fieldsOf(entry)
      redis.call('XDEL', key, id)
      redis.call('HINCRBY', KEY.sizes, args.stream, -(tonumber(fields.n) or 0))
      if args.stream == 'dead' then redis.call('HINCRBY', KEY.destination(fields.destination), 'deadLetters', -1) end
    end
  end
end
if taken > 0 then markChanged() end
return { taken }
