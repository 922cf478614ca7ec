-- Takes a dead letter back into its backlog, or lets it go for the reason for which it would end on its way.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {id, backlog, maxAgeMs?, backfill, dryRun} as JSON; a dry run changes nothing.
--
-- Returns what becomes of it: "waiting", "expired" or "superseded"; "gone" where it is no longer there.

--- @include "clock"
--- @include "keys"
--- @include "records"
--- @include "counters"
--- @include "entry-fields"
--- @include "enqueue"
--- @include "device-of"
--- @include "timeline"

local args = cjson.decode(ARGV[1])
local entry = redis.call('XRANGE', KEY.deadLetters, args.id, args.id)[1]
if not entry then return { 'gone' } end
local fields = fieldsOf(entry)
local r, answer = fields.record, 'waiting'
if args.maxAgeMs and fixTimeOf(r) < now - args.maxAgeMs then answer = 'expired'
elseif args.backfill == 'drop' then
  local newest = tonumber(redis.call('HGET', KEY.accepted(fields.destination), unitOf(r)))
  if isOvertaken(r, newest) then answer = 'superseded' end
end
if args.dryRun then return { answer } end
redis.call('XDEL', KEY.deadLetters, args.id)
redis.call('HINCRBY', KEY.sizes, 'dead', -(tonumber(fields.n) or 0))
count(sourceOf(r), 'deadLettered', -1)
count(sourceOf(r), 'redrivenPings', 1)
redis.call('HINCRBY', KEY.destination(fields.destination), 'deadLetters', -1)
if answer == 'waiting' then enqueue(args.backlog, r) else count(sourceOf(r), answer, 1) end
note(sourceOf(r), deviceOf(r), EVENT.redriven, answer, now, 1, fixTimeOf(r), '', 'was ' .. fields.reason)
writeCounts()
writeTimelines()
return { answer }
