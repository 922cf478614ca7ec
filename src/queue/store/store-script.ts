/** The script behind keep: for many messages at once the duplicate check, the filters, storage and counters. */

import { script } from "../redis/lua.ts";

/**
 * ARGV: number of destinations and name/byte-limit pairs; number of messages; per message: source, receivedAt, counters
 * as "field,amount,field,amount", number of readings with ":" and its body's fingerprint where it has one; per reading:
 * device, mark; per route: line (destination|lane|source), record. A mark is the place byte as two hex digits, the
 * number of routes, f or h where the device is unmapped and forwarded or held, and, where the source filters,
 * ";maxImpliedMps;minIntervalMs;lat;lon" (radians, limits may be empty).
 * Few and short: what Redis and its client do per argument is most of what a reading costs.
 *
 * A device's fingerprints are one string of 5-byte entries: the fix time's low 32 bits (unique over 49 days) and one
 * byte of the place. 44 entries make 220 bytes, which with the string's head fills jemalloc's 224-byte class exactly.
 *
 * Returns per message: how many were kept, where that is all there is to say; {1, kept, duplicates, jumps, thinned}; or,
 * where a buffer is full and nothing of the message was stored, {0, the buffer's bytes, its destination's place among
 * those of ARGV, how long its gate stays shut in ms}; then per touched line its name and length.
 */
export const KEEP = script(`
local at = 1
local function take() at = at + 1; return ARGV[at - 1] end
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
local function takeMessage()
  local source, receivedAt, counters, text = take(), take(), take(), take()
  local readings = tonumber(text)
  if readings then return source, receivedAt, counters, readings, '' end
  local digits, bodyPrint = string.match(text, '^(%d+):(.*)$')
  return source, receivedAt, counters, tonumber(digits), bodyPrint
end
local full, bytesAdded = {}, {}
for i = 1, tonumber(take()) do
  local destination, limit = take(), tonumber(take())
  -- Looked at once per call, so a buffer may exceed its budget by one call's readings.
  local bytes = tonumber(redis.call('HGET', p .. ':dest:' .. destination, 'bytes')) or 0
  if bytes >= limit then
    local shut = math.max((maySend(p .. ':gate', '', nil)), (maySend(p .. ':gate:' .. destination, '', nil)))
    full[destination] = { bytes, i - 1, shut }
  end
end
local anyFull = next(full) ~= nil
local out, arrivals, order, lastSeen = {}, {}, {}, {}
local function destinationOf(line) return string.sub(line, 1, string.find(line, '|', 1, true) - 1) end
-- Per source: device → its fingerprints, and the devices that were asked for and those that changed.
local prints, asked, changed = {}, {}, {}
local function seen(source, device, fixTime, place)
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
  changed[source][device] = true
  return nil
end
local lastFix, lastChanged = {}, {}
local function impliedMps(fromLat, fromLon, lat, lon, seconds)
  local dLat, dLon = lat - fromLat, lon - fromLon
  local h = math.sin(dLat / 2) ^ 2 + math.cos(lat) * math.cos(fromLat) * math.sin(dLon / 2) ^ 2
  return 2 * 6371008.8 * math.asin(math.min(1, math.sqrt(h))) / math.abs(seconds)
end
local function aheadText(last, run) return last + run > 0 and ',a' .. last .. 'b' .. run or '' end
-- Milliseconds between two fixes. A clock that is always ahead still tells them rightly; where only one of the two is
-- dated ahead of its receipt, no more time has passed than until that receipt.
local function between(time, ahead, earlier, earlierAhead)
  local ms = time - earlier
  if ahead > 0 and earlierAhead > 0 then return ms + ahead - earlierAhead end
  return ms
end
-- What is remembered: order and place of the last good fix, then those of a run of jumps that agree with each other, and
-- last how far ahead of their receipt the two are dated, where one is.
local function filtered(source, device, record, filter)
  local time = orderOf(record)
  local ahead = fixTimeOf(record) - time
  local maxImplied, minInterval, latText, lonText = string.match(filter, '^(.-);(.-);(.-);(.*)$')
  local key = source .. '|' .. device
  local last = lastFix[key]
  if last == nil then last = redis.call('HGET', p .. ':last:' .. source, device); lastFix[key] = last end
  local lat, lon = tonumber(latText), tonumber(lonText)
  if last then
    local t, lastLat, lastLon, run = string.match(last, '([^,]+),([^,]+),([^,]+),?(.*)')
    local lastAhead, runAhead = string.match(run, 'a(%d+)b(%d+)$')
    lastAhead, runAhead = tonumber(lastAhead or 0), tonumber(runAhead or 0)
    local dt = between(time, ahead, tonumber(t), lastAhead) / 1000
    if minInterval ~= '' and math.abs(dt) * 1000 < tonumber(minInterval) then return 'thinned' end
    local limit = maxImplied ~= '' and dt ~= 0 and tonumber(maxImplied)
    if limit and impliedMps(tonumber(lastLat), tonumber(lastLon), lat, lon, dt) > limit then
      if dt < 0 then return 'implausible_jump' end
      local since, runT, runLat, runLon = string.match(run, '([^,]+),([^,]+),([^,]+),([^,]+)')
      local sinceRun = since and between(time, ahead, tonumber(runT), runAhead) or 0
      local agrees = sinceRun > 0
        and impliedMps(tonumber(runLat), tonumber(runLon), lat, lon, sinceRun / 1000) <= limit
      if not agrees then since = time end
      -- Jumps that agree for a minute are where the vehicle is: it was the last good fix that was wrong.
      if time - tonumber(since) < 60000 then
        lastFix[key] = table.concat({ t, lastLat, lastLon, since, time, latText, lonText }, ',') .. aheadText(lastAhead, ahead)
        lastChanged[key] = { source, device }
        return 'implausible_jump'
      end
    elseif dt < 0 then return nil end
  end
  lastFix[key] = time .. ',' .. latText .. ',' .. lonText .. aheadText(ahead, 0)
  lastChanged[key] = { source, device }
  return nil
end
local function hold(source, device, record)
  local before = redis.call('HGET', p .. ':held:' .. source, device)
  -- 20 MB of records. A authenticated sender can make up devices, and what is held is outside every buffer's budget.
  if not before and redis.call('HLEN', p .. ':held:' .. source) >= 50000 then
    count(source, 'dropped', 1)
    return
  end
  if before then count(source, 'superseded', 1) end
  if not before or isNewer(record, before) then redis.call('HSET', p .. ':held:' .. source, device, record) end
end
local function store(line, record)
  local records = arrivals[line]
  if not records then
    records = {}
    arrivals[line] = records
    order[#order + 1] = line
  end
  records[#records + 1] = record
end
-- First look at all messages: which devices they are of, and whether their destinations have room.
local messages = tonumber(take())
local firstMessage, turnedAway = at, {}
for m = 1, messages do
  local source, _, _, readings = takeMessage()
  if readings > 0 and not prints[source] then prints[source], asked[source], changed[source] = {}, {}, {} end
  for i = 1, readings do
    local device = take()
    if not prints[source][device] then
      prints[source][device] = ''
      table.insert(asked[source], device)
    end
    for r = 1, markOf(take()).routes do
      local inTheWay = anyFull and full[destinationOf(ARGV[at])]
      if inTheWay then turnedAway[m] = inTheWay end
      at = at + 2
    end
  end
end
for source, devices in pairs(asked) do
  for i, known in ipairs(hashValues(p .. ':fp:' .. source, devices)) do
    if known then prints[source][devices[i]] = known end
  end
end
at = firstMessage
for m = 1, messages do
  local source, receivedAt, counters, readings, bodyPrint = takeMessage()
  local stored, duplicates, jumps, thinned = 0, 0, 0, 0
  if turnedAway[m] then
    for i = 1, readings do at = at + 2 + 2 * markOf(ARGV[at + 1]).routes end
  else
    local list = countersOf(counters)
    for i = 1, #list, 2 do count(source, list[i], list[i + 1]) end
    lastSeen[source] = receivedAt
    local resent = bodyPrint ~= '' and not redis.call('SET', p .. ':body:' .. bodyPrint, 1, 'NX', 'EX', 600)
    for i = 1, readings do
      local device, mark = take(), markOf(take())
      local routes, unmapped = mark.routes, mark.unmapped
      local fixTime = fixTimeOf(ARGV[at + 1])
      local verdict = resent and 'duplicate' or seen(source, device, fixTime, mark.place)
        or mark.filter ~= '' and filtered(source, device, ARGV[at + 1], mark.filter)
      count(source, 'readings', routes)
      if verdict then
        at = at + 2 * routes
        if verdict == 'thinned' or verdict == 'implausible_jump' then
          count(source, 'rejected', routes)
          count(source, 'rejected:' .. verdict, routes)
          if verdict == 'thinned' then thinned = thinned + routes else jumps = jumps + routes end
        else
          duplicates = duplicates + routes
          if verdict == 'conflict' then count(source, 'conflictingFixes', routes) end
        end
      else
        stored = stored + routes
        if unmapped ~= '' then
          local order = orderOf(ARGV[at + 1])
          redis.call('HSET', p .. ':unmapped:' .. source, device, order)
        end
        for r = 1, routes do
          local line, record = take(), take()
          if unmapped == 'h' then hold(source, device, record) else store(line, record) end
        end
      end
    end
    if stored > 0 then count(source, 'stored', stored) end
    if duplicates > 0 then count(source, 'duplicates', duplicates) end
  end
  if turnedAway[m] then out[m] = { 0, unpack(turnedAway[m]) }
  elseif duplicates + jumps + thinned == 0 then out[m] = stored
  else out[m] = { 1, stored, duplicates, jumps, thinned } end
end
for source, devices in pairs(changed) do
  local flat = {}
  for device in pairs(devices) do
    flat[#flat + 1] = device
    flat[#flat + 1] = prints[source][device]
  end
  pushAll('HSET', p .. ':fp:' .. source, flat)
end
for key, owner in pairs(lastChanged) do redis.call('HSET', p .. ':last:' .. owner[1], owner[2], lastFix[key]) end
for source, receivedAt in pairs(lastSeen) do redis.call('HSET', p .. ':n:' .. source, 'lastMessageAt', receivedAt) end
writeCounts()
for _, line in ipairs(order) do
  local records, bytes = arrivals[line], 0
  for _, r in ipairs(records) do bytes = bytes + #r end
  local destination = destinationOf(line)
  bytesAdded[destination] = (bytesAdded[destination] or 0) + bytes
  pushAll('RPUSH', p .. ':q:' .. line, records)
  local length = redis.call('LLEN', p .. ':q:' .. line)
  if length == #records then
    local lane, source = string.match(line, '^(.-|.-)|(.*)$')
    redis.call('SADD', p .. ':lanes', lane)
    redis.call('SADD', p .. ':lines:' .. lane, source)
  end
  out[#out + 1] = line
  out[#out + 1] = length
end
for destination, n in pairs(bytesAdded) do redis.call('HINCRBY', p .. ':dest:' .. destination, 'bytes', n) end
return out
`);
