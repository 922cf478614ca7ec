-- Counts and quarantines a message in one step. The sweep keeps the budget too, but only once a second, in which one
-- sender could write gigabytes.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {source, reason, receivedAt, problems, envelope, share, budget, problem} as JSON; problems and envelope are
--   JSON texts, problem is the first of them in one short line.
-- ARGV[2]: the body.
--
-- Returns how many messages made room.

--- @include "keys"
--- @include "counters"
--- @include "quarantine-shares"
--- @include "timeline"

local args, body = cjson.decode(ARGV[1]), ARGV[2]
local levels = levelsOf(args.share)
-- Beside the texts, the entry and its place in the tree take memory too.
local size = #args.problems + #args.envelope + #body + #args.share + 100 + 60 * #levels
-- 1,000: a bound for a large message among small ones.
local gone = makeRoom(args.budget, levels, size, 1000)
local id = redis.call('XADD', KEY.quarantine, '*', 'source', args.source, 'reason', args.reason,
  'receivedAt', args.receivedAt, 'problems', args.problems, 'envelope', args.envelope, 'body', body,
  'n', size, 'share', args.share)
putIn(levels, id, size)
count(args.source, 'messages', 1)
count(args.source, 'malformed', 1)
count(args.source, 'malformed:' .. args.reason, 1)
redis.call('HSET', KEY.counters(args.source), 'lastMessageAt', args.receivedAt)
note(args.source, '', EVENT.malformed, args.reason, args.receivedAt, 1, '', '', args.problem .. ' (' .. id .. ')')
writeCounts()
writeTimelines()
return { gone }
