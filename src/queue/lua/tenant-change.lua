-- Writes one tenant's document, if no other has changed since its writer looked, and remembers the answer to its request.
--
-- KEYS: the documents, their revision, the answers by request, when each was given, the channel.
-- ARGV[1]: {revision, changes, request, answer, forMs, most} as JSON: the revision that the writer knows; `changes` as a
--   list of {name, text} without `text` where the document goes; and only with an answer to be remembered its request,
--   its text, for how long, and how many are remembered.
--
-- Returns the new revision, or 0 where another change came first.

--- @include "clock"

local args = cjson.decode(ARGV[1])
local documents, revision, answers, times, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if tonumber(redis.call('GET', revision) or 0) ~= args.revision then return { 0 } end
local own = redis.call('INCR', revision)
for _, change in ipairs(args.changes) do
  if change.text then redis.call('HSET', documents, change.name, own .. ' ' .. change.text)
  else redis.call('HDEL', documents, change.name) end
end
if args.request then
  redis.call('HSET', answers, args.request, args.answer)
  redis.call('ZADD', times, now, args.request)
end
local function forget(requests)
  for _, request in ipairs(requests) do
    redis.call('HDEL', answers, request)
    redis.call('ZREM', times, request)
  end
end
if args.request then
  forget(redis.call('ZRANGE', times, '-inf', now - args.forMs, 'BYSCORE'))
  forget(redis.call('ZRANGE', times, 0, -1 - args.most))
end
redis.call('PUBLISH', channel, own)
return { own }
