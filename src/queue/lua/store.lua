-- Stores the messages of one group commit: duplicate check, filters, storage and counters, for each message whole.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV, by position, because what Redis and its client do per argument is most of what a reading costs; few and short:
--   number of destinations, then per destination its name and byte limit;
--   number of messages, then per message: source, receivedAt, counters as "field,amount,field,amount", number of readings
--     with ":" and its body's fingerprint where it has one, "+" where its timeline follows, and where its tenant may have so
--     many devices only "!most;source,source", with the tenant's sources; per reading: device, mark; per route: backlog
--     (destination|lane|source), record.
-- A timeline is a JSON list of what else is told of the message, [device, kind, reason, how many, fix time or "", least
-- offset or "", greatest offset or "", detail] each; the kind "good" stands for readings stored in another scope.
-- A mark is the place byte as two hex digits, the number of routes, f or h where the device is unmapped and forwarded or
-- held, and, where the source filters, ";maxImpliedMps;minIntervalMs;lat;lon" (radians, limits may be empty).
--
-- Returns per message: how many were stored, where nothing else happened; {1, stored, duplicates, jumps, thinned, of too
-- many devices}; or, where a buffer is full and nothing of the message was stored, {0, the buffer's bytes, its destination's place among
-- those of ARGV, how long its gate stays shut in ms}; then per backlog that grew its name and length.
--
-- A device's fingerprints are one string of 5-byte entries: the fix time's low 32 bits (unique over 49 days) and one
-- byte of the place. 44 entries make 220 bytes, which with the string's head fills jemalloc's 224-byte class exactly.

--- @include "clock"
--- @include "keys"
--- @include "records"
--- @include "bulk"
--- @include "counters"
--- @include "gates"
--- @include "filters"
--- @include "timeline"
--- @include "trouble-notes"

local at = 1
local function nextArg() at = at + 1; return ARGV[at - 1] end
-- Most messages of a call say the same here, so each text is taken apart once.
local lists, marks = {}, {}
local function countersOf(text)
  local list = lists[text]
  if not list then
    list = {}
    for field, amount in string.gmatch(text, '([^,]+),([^,]+)') do
      list[#list + 1] = field
      list[#list + 1] = tonumber(amount)
    end
    lists[text] = list
  end
  return list
end
local function markOf(text)
  local mark = marks[text]
  if not mark then
    local place, routes, unmapped, filter = string.match(text, '^(..)(%d+)(%a?);?(.*)$')
    mark = { place = tonumber(place, 16), routes = tonumber(routes), unmapped = unmapped, filter = filter }
    marks[text] = mark
  end
  return mark
end
local function nextMessage()
  local source, receivedAt, counters, text = nextArg(), nextArg(), nextArg(), nextArg()
  local readings = tonumber(text)
  if readings then return source, receivedAt, counters, readings, '', nil, '' end
  local digits, bodyPrint, isTold, limit = string.match(text, '^(%d+):?([^+!]*)(%+?)!?(.*)$')
  return source, receivedAt, counters, tonumber(digits), bodyPrint, isTold == '+' and nextArg() or nil, limit
end
-- Per limit: how many devices more its tenant may have.
local room = {}
local function isBeyond(limit)
  if not room[limit] then
    local most, names = string.match(limit, '^(%d+);(.*)$')
    room[limit] = tonumber(most)
    for name in string.gmatch(names, '[^,]+') do room[limit] = room[limit] - redis.call('HLEN', KEY.seen(name)) end
  end
  if room[limit] <= 0 then return true end
  room[limit] = room[limit] - 1
  return false
end
local function tell(source, receivedAt, text)
  for _, told in ipairs(cjson.decode(text)) do
    local device, kind, reason, n, fixTime, least, greatest, detail = unpack(told)
    if kind == 'good' then
      noteGood(lookUpTroubles(source, { device }), device, receivedAt)
    else
      -- Numbers of more than 14 digits would be written with an exponent.
      if fixTime ~= '' then fixTime = string.format('%.0f', fixTime) end
      if least ~= '' then least = string.format('%.0f', least) end
      note(source, device, kind, reason, receivedAt, n, fixTime, least, detail)
      if kind == EVENT.rejected and device ~= '' then noteRejection(source, device, reason, receivedAt, n, least, greatest) end
    end
  end
end
local full, bytesAdded = {}, {}
for i = 1, tonumber(nextArg()) do
  local destination, limit = nextArg(), tonumber(nextArg())
  -- Looked at once per call, so a buffer may exceed its budget by one call's readings.
  local bytes = tonumber(redis.call('HGET', KEY.destination(destination), 'bytes')) or 0
  if bytes >= limit then
    local shut = math.max((maySend(KEY.scopeGate, '', nil)), (maySend(KEY.gate(destination), '', nil)))
    full[destination] = { bytes, i - 1, shut }
  end
end
local anyFull = next(full) ~= nil
local out, arrivals, order, lastSeen = {}, {}, {}, {}
local function destinationOf(backlog) return string.sub(backlog, 1, string.find(backlog, '|', 1, true) - 1) end
-- Per source: device → its fingerprints, and the devices that were asked for and those that changed.
local prints, asked, changed = {}, {}, {}
-- Per source: device → when its last duplicate came.
local repeated = {}
local function seen(source, device, fixTime, place, receivedAt)
  local known = prints[source][device]
  local time = struct.pack('>I4', fixTime % 4294967296)
  local from = 1
  while true do
    local found = string.find(known, time, from, true)
    if not found then break end
    if found % 5 == 1 then return string.byte(known, found + 4) == place and 'duplicate' or 'conflict' end
    from = found + 1
  end
  prints[source][device] = string.sub(known, -215) .. time .. string.char(place)
  changed[source][device] = receivedAt
  return nil
end
local function hold(source, device, record)
  local before = redis.call('HGET', KEY.held(source), device)
  -- 20 MB of records. An authenticated sender can make up devices, and what is held is outside every buffer's budget.
  local isDropped = not before and redis.call('HLEN', KEY.held(source)) >= 50000
  note(source, device, isDropped and EVENT.dropped or EVENT.held, '', receivedAtOf(record), 1, fixTimeOf(record), '', '')
  if isDropped then
    count(source, 'dropped', 1)
    return
  end
  if before then count(source, 'superseded', 1) end
  if not before or isNewer(record, before) then redis.call('HSET', KEY.held(source), device, record) end
end
local function store(backlog, record)
  local records = arrivals[backlog]
  if not records then
    records = {}
    arrivals[backlog] = records
    order[#order + 1] = backlog
  end
  records[#records + 1] = record
end

-- First look at all messages: which devices they are of, and whether their destinations have room.
local messages = tonumber(nextArg())
local firstMessage, turnedAway = at, {}
for m = 1, messages do
  local source, _, _, readings = nextMessage()
  if readings > 0 and not prints[source] then
    prints[source], asked[source], changed[source], repeated[source] = {}, {}, {}, {}
  end
  for i = 1, readings do
    local device = nextArg()
    if not prints[source][device] then
      prints[source][device] = ''
      table.insert(asked[source], device)
    end
    for r = 1, markOf(nextArg()).routes do
      local inTheWay = anyFull and full[destinationOf(ARGV[at])]
      if inTheWay then turnedAway[m] = inTheWay end
      at = at + 2
    end
  end
end
for source, devices in pairs(asked) do
  for i, known in ipairs(hashValues(KEY.fingerprints(source), devices)) do
    if known then prints[source][devices[i]] = known end
  end
  lookUpTroubles(source, devices)
end
local function tellVerdict(source, device, receivedAt, verdict, record)
  local fixTime = fixTimeOf(record)
  local offset = receivedAtOf(record) - fixTime
  if verdict == 'duplicate' or verdict == 'conflict' then
    note(source, device, EVENT[verdict], '', receivedAt, 1, fixTime, offset, '')
    repeated[source][device] = receivedAt
    return
  end
  note(source, device, EVENT.rejected, verdict, receivedAt, 1, fixTime, offset, '')
  -- What a source leaves out on purpose is no trouble.
  if verdict ~= 'thinned' then noteRejection(source, device, verdict, receivedAt, 1, offset, offset) end
end

-- Then store them, one after another.
at = firstMessage
for m = 1, messages do
  local source, receivedAt, counters, readings, bodyPrint, told, limit = nextMessage()
  local stored, duplicates, jumps, thinned, tooMany = 0, 0, 0, 0, 0
  if turnedAway[m] then
    for i = 1, readings do at = at + 2 + 2 * markOf(ARGV[at + 1]).routes end
  else
    local list = countersOf(counters)
    for i = 1, #list, 2 do count(source, list[i], list[i + 1]) end
    lastSeen[source] = receivedAt
    if told then tell(source, receivedAt, told) end
    local resent = bodyPrint ~= '' and not redis.call('SET', KEY.bodyPrint(bodyPrint), 1, 'NX', 'EX', 600)
    local trouble = troubles[source]
    for i = 1, readings do
      local device, mark = nextArg(), markOf(nextArg())
      local routes, unmapped = mark.routes, mark.unmapped
      local fixTime = fixTimeOf(ARGV[at + 1])
      local verdict = resent and 'duplicate'
        or limit ~= '' and prints[source][device] == '' and isBeyond(limit) and 'too_many_devices'
        or seen(source, device, fixTime, mark.place, receivedAt)
        or mark.filter ~= '' and filtered(source, device, ARGV[at + 1], mark.filter)
      count(source, 'readings', routes)
      if verdict then
        tellVerdict(source, device, receivedAt, verdict, ARGV[at + 1])
        at = at + 2 * routes
        if verdict ~= 'duplicate' and verdict ~= 'conflict' then
          count(source, 'rejected', routes)
          count(source, 'rejected:' .. verdict, routes)
          if verdict == 'thinned' then thinned = thinned + routes
          elseif verdict == 'too_many_devices' then tooMany = tooMany + routes
          else jumps = jumps + routes end
        else
          duplicates = duplicates + routes
          if verdict == 'conflict' then count(source, 'conflictingFixes', routes) end
        end
      else
        stored = stored + routes
        if trouble.isAny then noteGood(trouble, device, receivedAt) end
        if unmapped ~= '' then
          local order = orderOf(ARGV[at + 1])
          redis.call('HSET', KEY.unmapped(source), device, order)
        end
        for r = 1, routes do
          local backlog, record = nextArg(), nextArg()
          if unmapped == 'h' then hold(source, device, record) else store(backlog, record) end
        end
      end
    end
    if stored > 0 then count(source, 'stored', stored) end
    if duplicates > 0 then count(source, 'duplicates', duplicates) end
  end
  if turnedAway[m] then out[m] = { 0, unpack(turnedAway[m]) }
  elseif duplicates + jumps + thinned + tooMany == 0 then out[m] = stored
  else out[m] = { 1, stored, duplicates, jumps, thinned, tooMany } end
end

for source, devices in pairs(changed) do
  local flat, times = {}, {}
  for device, receivedAt in pairs(devices) do
    local n = #flat
    flat[n + 1], flat[n + 2] = device, prints[source][device]
    times[n + 1], times[n + 2] = device, receivedAt
  end
  pushAll('HSET', KEY.fingerprints(source), flat)
  for device, receivedAt in pairs(repeated[source]) do
    times[#times + 1] = device
    times[#times + 1] = receivedAt
  end
  pushAll('HSET', KEY.seen(source), times)
end
writeTimelines()
writeTroubles()
writeLastFixes()
for source, receivedAt in pairs(lastSeen) do redis.call('HSET', KEY.counters(source), 'lastMessageAt', receivedAt) end
writeCounts()
for _, backlog in ipairs(order) do
  local records, bytes = arrivals[backlog], 0
  for _, r in ipairs(records) do bytes = bytes + #r end
  local destination = destinationOf(backlog)
  bytesAdded[destination] = (bytesAdded[destination] or 0) + bytes
  pushAll('RPUSH', KEY.backlog(backlog), records)
  local length = redis.call('LLEN', KEY.backlog(backlog))
  if length == #records then
    local lane, source = string.match(backlog, '^(.-|.-)|(.*)$')
    redis.call('SADD', KEY.lanes, lane)
    redis.call('SADD', KEY.backlogs(lane), source)
  end
  out[#out + 1] = backlog
  out[#out + 1] = length
end
for destination, n in pairs(bytesAdded) do redis.call('HINCRBY', KEY.destination(destination), 'bytes', n) end
return out
