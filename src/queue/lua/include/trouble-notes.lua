-- Notes which devices are in trouble: their readings are rejected. Trouble begins with a rejection, and ends with three
-- good readings in a row, or with one when the last rejection is a minute old. Collected while a script runs, written once
-- at its end; device-trouble.lua says what is stored.

--- @include "keys"
--- @include "bulk"

-- 200 devices of a source are 20 kB, and more than a person reads; a source with more has one fault in common.
local MOST_TROUBLED = 200
-- Kept so long after its last change; a quarter of an hour after it nobody is told of it any more.
local TROUBLE_MS, TROUBLE_STALE_MS = 7200000, 900000
local troubles = {}

-- One command per source where no device is in trouble.
local function troublesOf(source)
  local all = troubles[source]
  if not all then
    all = { size = redis.call('HLEN', KEY.trouble(source)), of = {}, changed = {} }
    all.isAny = all.size > 0
    troubles[source] = all
  end
  return all
end
local function readTrouble(text)
  local parts, t = {}, {}
  for part in string.gmatch(text .. ',', '([^,]*),') do parts[#parts + 1] = part end
  t.since, t.lastAt, t.rejected, t.messages = parts[1], tonumber(parts[2]), tonumber(parts[3]), tonumber(parts[4])
  t.good, t.inARow, t.goodAt, t.reason = tonumber(parts[5]), tonumber(parts[6]), parts[7], parts[8]
  t.least, t.greatest = tonumber(parts[9]), tonumber(parts[10])
  return t
end
local function lookUpTroubles(source, devices)
  local all = troublesOf(source)
  if all.size == 0 then return all end
  for i, text in ipairs(hashValues(KEY.trouble(source), devices)) do
    all.of[devices[i]] = text and readTrouble(text) or false
  end
  return all
end
local function noteRejection(source, device, reason, at, n, least, greatest)
  local all = troublesOf(source)
  if all.of[device] == nil then lookUpTroubles(source, { device }) end
  local t = all.of[device]
  if not t then
    t = { since = at, rejected = 0, messages = 0, good = 0, goodAt = 0, reason = reason, isNew = true }
    all.of[device] = t
  end
  -- Offsets are those of one fault: another reason is another one.
  if t.reason ~= reason then t.reason, t.least, t.greatest = reason, nil, nil end
  t.lastAt, t.rejected, t.messages, t.inARow = tonumber(at), t.rejected + n, t.messages + 1, 0
  if tonumber(least) then
    t.least = math.min(t.least or tonumber(least), tonumber(least))
    t.greatest = math.max(t.greatest or tonumber(greatest), tonumber(greatest))
  end
  all.changed[device], all.isAny = true, true
end
local function noteGood(all, device, at)
  local t = all.of[device]
  if not t then return end
  t.good, t.inARow, t.goodAt = t.good + 1, t.inARow + 1, at
  if t.inARow >= 3 or tonumber(at) - t.lastAt > 60000 then all.of[device] = false end
  all.changed[device] = true
end
local function makeRoomForTrouble(key, at)
  local flat, stale = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    if tonumber(at) - readTrouble(flat[i + 1]).lastAt > TROUBLE_STALE_MS then stale[#stale + 1] = flat[i] end
  end
  pushAll('HDEL', key, stale)
  return #stale
end
local function textOf(t)
  local function whole(n) return n and string.format('%.0f', n) or '' end
  return table.concat({
    t.since, whole(t.lastAt), t.rejected, t.messages, t.good, t.inARow, t.goodAt, t.reason, whole(t.least), whole(t.greatest)
  }, ',')
end
local function writeTroubles()
  for source, all in pairs(troubles) do
    local key, flat, over, hasLooked = KEY.trouble(source), {}, {}, false
    local room = MOST_TROUBLED - all.size
    for device in pairs(all.changed) do
      local t = all.of[device]
      if not t then over[#over + 1] = device
      else
        -- Rejected for the first time; once a call those that nobody is told of any more make room.
        if t.isNew then
          if room <= 0 and not hasLooked then room, hasLooked = room + makeRoomForTrouble(key, t.lastAt), true end
          room = room - 1
        end
        if room >= 0 or not t.isNew then
          flat[#flat + 1] = device
          flat[#flat + 1] = textOf(t)
        end
      end
    end
    pushAll('HDEL', key, over)
    pushAll('HSET', key, flat)
    if #flat > 0 then redis.call('PEXPIRE', key, TROUBLE_MS) end
  end
end
