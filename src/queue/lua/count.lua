-- Counts everything of one scope in one step: counters, what waits, is held, is in flight, and the gates.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {sources: [name], minutes: {name: minute}, destinations: [name]} as JSON: the sources at home here, and of
--   which minute the caller has the closed minutes of each source already.
--
-- Returns JSON, as `ScopeCount` in count.ts reads it. Hashes are flat lists: making a table of each would cost more than
-- reading it.

--- @include "clock"
--- @include "keys"
--- @include "records"
--- @include "backlogs"
--- @include "streams"

local args = cjson.decode(ARGV[1])
local waiting, inFlight, orphans = {}, {}, {}
local function add(map, name, n) map[name] = (map[name] or 0) + n end
local function pairsOf(key) return redis.call('HGETALL', key) end
local function countInFlight(records)
  for _, r in ipairs(records) do add(inFlight, sourceOf(r), 1) end
  return #records
end
-- What has left the backlogs of a lane: its batch, its pieces, and the isolated pings.
local function inFlightOf(lane)
  local batches, n = redis.call('LRANGE', KEY.pieces(lane), 0, -1), 0
  batches[#batches + 1] = redis.call('HGET', KEY.lane(lane), 'batch') or nil
  for _, batch in ipairs(batches) do n = n + countInFlight(redis.call('LRANGE', KEY.batch(batch), 0, -1)) end
  return n + countInFlight(redis.call('LRANGE', KEY.isolated(lane), 0, -1))
end
-- When the oldest record of a backlog came; nil where nothing waits.
local function oldestArrival(backlog)
  local unit = redis.call('LINDEX', KEY.liveOrder(backlog), 0)
  local oldest
  for _, head in pairs({
    redis.call('LINDEX', KEY.backlog(backlog), 0) or nil,
    redis.call('ZRANGE', KEY.old(backlog), 0, 0)[1],
    unit and redis.call('HGET', KEY.live(backlog), unit) or nil
  }) do
    if not oldest or receivedAtOf(head) < oldest then oldest = receivedAtOf(head) end
  end
  return oldest
end
local answeredWell = tonumber(redis.call('GET', KEY.answeredWell)) or 0
local function countLane(lane, number)
  local counted = { lane = tonumber(number), waiting = 0 }
  for _, source in ipairs(redis.call('SMEMBERS', KEY.backlogs(lane))) do
    local backlog = backlogOf(lane, source)
    local n, oldest = backlogSize(backlog), oldestArrival(backlog)
    add(waiting, source, n)
    counted.waiting = counted.waiting + n
    if oldest and (not counted.oldest or oldest < counted.oldest) then counted.oldest = oldest end
  end
  local batch = redis.call('HGET', KEY.lane(lane), 'batch')
  if batch then
    local formedAt, sentAt = unpack(redis.call('HMGET', KEY.batchFacts(batch), 'formedAt', 'sentAt'))
    counted.batchId, counted.formedAt = batch, tonumber(formedAt)
    sentAt = tonumber(sentAt)
    -- A request that was sent later has been answered: this one was forgotten, and will be sent again.
    if sentAt and sentAt > answeredWell then counted.sentAt = sentAt end
  end
  counted.inFlight = inFlightOf(lane)
  return counted
end
local function countOrphans(lane, destination)
  for _, source in ipairs(redis.call('SMEMBERS', KEY.backlogs(lane))) do
    local n = backlogSize(backlogOf(lane, source))
    add(waiting, source, n)
    add(orphans, destination, n)
  end
  add(orphans, destination, inFlightOf(lane))
end

local destinations, byName = {}, {}
for i, name in ipairs(args.destinations) do
  destinations[i] = {
    name = name, lanes = {}, facts = pairsOf(KEY.destination(name)), gate = pairsOf(KEY.gate(name)),
    units = redis.call('HLEN', KEY.accepted(name))
  }
  byName[name] = destinations[i]
end
for _, lane in ipairs(redis.call('SMEMBERS', KEY.lanes)) do
  local name, number = string.match(lane, '^(.-)|(.*)$')
  local destination = byName[name]
  if destination then table.insert(destination.lanes, countLane(lane, number)) else countOrphans(lane, name) end
end
-- The minutes that the caller does not know yet; all of them where another one is open by now.
local function pulseOf(source)
  local open = redis.call('HGET', KEY.pulse(source), 'minute')
  if not open then return {}, {} end
  if tonumber(open) == args.minutes[source] then
    local names = { 'goodAt', 'okAt', 'refusedRun', 'refusedSince', 'refusedAt', 'refusedShare', 'rejectedRun',
      'rejectedSince', 'rejectedAt', 'rejectedShare', 'challengedAt' }
    local pulse, values = {}, redis.call('HMGET', KEY.pulse(source), unpack(names))
    for i, name in ipairs(names) do
      if values[i] then
        pulse[#pulse + 1] = name
        pulse[#pulse + 1] = values[i]
      end
    end
    return pulse, {}
  end
  return pairsOf(KEY.pulse(source)), redis.call('LRANGE', KEY.minutes(source), 0, -1)
end
local known, names = {}, {}
local function addSource(name)
  if not known[name] then
    known[name] = true
    names[#names + 1] = name
  end
end
for _, name in ipairs(args.sources) do addSource(name) end
for _, name in ipairs(redis.call('SMEMBERS', KEY.sources)) do addSource(name) end
for name in pairs(waiting) do addSource(name) end
for name in pairs(inFlight) do addSource(name) end
local sources = {}
for i, name in ipairs(names) do
  local pulse, minutes = pulseOf(name)
  sources[i] = {
    name = name, counters = pairsOf(KEY.counters(name)), held = redis.call('HLEN', KEY.held(name)),
    unmapped = redis.call('HLEN', KEY.unmapped(name)), waiting = waiting[name] or 0, inFlight = inFlight[name] or 0,
    pulse = pulse, minutes = minutes
  }
end
local lengths = {}
for name, stream in pairs(STREAMS) do
  local n = redis.call('XLEN', stream)
  local first = n > 0 and oldestOf(stream)
  local last = n > 0 and redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  lengths[name] = { n = n, first = first and first[1] or '', last = last and last[1] or '' }
end
return cjson.encode({
  now = now, sources = sources, destinations = destinations, orphans = orphans, gate = pairsOf(KEY.scopeGate),
  sizes = pairsOf(KEY.sizes), lengths = lengths
})
