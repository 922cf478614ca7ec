-- The pulse of a source, beside its counters: what it counted in each of the last 60 minutes, and how it has been sending:
-- since when every message was refused, or every reading rejected, how long it usually pauses, and in which hours.
--
-- Hash `pulse`: minute (the open one), base (its counters when that minute began), and
--   goodAt                        when its last authenticated message was stored
--   okAt                          when its last reading was stored, or known already
--   refusedRun, refusedSince, refusedAt, refusedShare     messages refused since the last good one; share of the last ten
--   rejectedRun, rejectedSince, rejectedAt, rejectedShare readings rejected since the last one that was not; of the last 20
--   challengedAt                  when it last answered a challenge of the vendor, or was answered one
--   gap:<n>                       pauses of 15 s × 2^n to twice that
--   hours                         one character per hour of the week, UTC: 0 silent, 3 sending, - unknown, 1 and 2 between

--- @include "clock"
--- @include "keys"

local MINUTES_KEPT, HOUR_MS, WEEK_HOURS = 60, 3600000, 168
local openMinute = math.floor(now / 60000)

local function textOf(totals)
  local parts = {}
  for field, n in pairs(totals) do parts[#parts + 1] = field .. ',' .. n end
  return table.concat(parts, ',')
end
local function totalsOf(text)
  local totals = {}
  for field, n in string.gmatch(text, '([^,]+),([^,]+)') do totals[field] = tonumber(n) end
  return totals
end
-- Begins a new minute before anything is counted in it. A minute without a message has no entry.
local function beginMinute(source, before)
  local counters, totals = redis.call('HGETALL', KEY.counters(source)), {}
  for i = 1, #counters, 2 do
    if counters[i] ~= 'lastMessageAt' then totals[counters[i]] = tonumber(counters[i + 1]) end
  end
  if before then
    local base, moved = totalsOf(redis.call('HGET', KEY.pulse(source), 'base') or ''), {}
    for field, n in pairs(totals) do
      if n ~= (base[field] or 0) then moved[field] = n - (base[field] or 0) end
    end
    if next(moved) then
      redis.call('LPUSH', KEY.minutes(source), before .. ':' .. textOf(moved))
      redis.call('LTRIM', KEY.minutes(source), 0, MINUTES_KEPT - 1)
      redis.call('PEXPIRE', KEY.minutes(source), (MINUTES_KEPT + 1) * 60000)
    end
  else
    redis.call('SADD', KEY.sources, source)
  end
  redis.call('HSET', KEY.pulse(source), 'minute', openMinute, 'base', textOf(totals))
end
-- The hours since the last good message: it was sent in one of them, and nothing in those between.
local function noteHours(source, goodAt)
  local last, this = math.floor(goodAt / HOUR_MS), math.floor(now / HOUR_MS)
  local hours = redis.call('HGET', KEY.pulse(source), 'hours') or string.rep('-', WEEK_HOURS)
  local levels = { string.byte(hours, 1, WEEK_HOURS) }
  for hour = math.max(last, this - WEEK_HOURS), this - 1 do
    local at, sends = hour % WEEK_HOURS + 1, hour == last
    local level = levels[at] - 48
    -- One look decides at first; then two of the same are needed to change the verdict.
    if level < 0 then level = sends and 3 or 0
    elseif sends then level = level >= 2 and 3 or level + 2
    else level = level <= 1 and 0 or level - 2 end
    levels[at] = 48 + level
  end
  redis.call('HSET', KEY.pulse(source), 'hours', string.char(unpack(levels)))
end
local function notePause(source, goodAt)
  if not goodAt then return end
  local pause = now - goodAt
  if pause >= 15000 then
    local n = math.min(13, math.floor(math.log(pause / 15000) / math.log(2)))
    -- The older half weighs less, so that the usual pause follows a source that changes.
    if redis.call('HINCRBY', KEY.pulse(source), 'gap:' .. n, 1) > 500 then
      for each = 0, 13 do
        local seen = tonumber(redis.call('HGET', KEY.pulse(source), 'gap:' .. each))
        if seen then redis.call('HSET', KEY.pulse(source), 'gap:' .. each, math.floor(seen / 2)) end
      end
    end
  end
  if math.floor(goodAt / HOUR_MS) ~= math.floor(now / HOUR_MS) then noteHours(source, goodAt) end
end
-- `kind` is refused or rejected: `bad` of `all` were, each weighing as one of about `memory`.
local function noteBad(changes, kind, bad, all, run, share, memory)
  if bad > 0 or share > 0.005 then
    local kept = (1 - 1 / memory) ^ all
    changes[#changes + 1] = kind .. 'Share'
    changes[#changes + 1] = string.format('%.4f', share * kept + (1 - kept) * bad / all)
  end
  if bad == 0 then
    if run > 0 then
      changes[#changes + 1] = kind .. 'Run'
      changes[#changes + 1] = 0
    end
    return
  end
  local isRun = bad == all
  if isRun and run == 0 then
    changes[#changes + 1] = kind .. 'Since'
    changes[#changes + 1] = now
  end
  changes[#changes + 1] = kind .. 'Run'
  changes[#changes + 1] = isRun and run + bad or 0
  changes[#changes + 1] = kind .. 'At'
  changes[#changes + 1] = now
end
-- `counters` are what this step counts of the source, before they are written.
local function feelPulse(source, counters)
  local messages = counters.messages or 0
  local seen = redis.call('HMGET', KEY.pulse(source), 'minute', 'goodAt', 'refusedRun', 'refusedShare', 'rejectedRun',
    'rejectedShare')
  if tonumber(seen[1]) ~= openMinute then beginMinute(source, seen[1]) end
  local refused, changes = counters.refused or 0, {}
  if messages > 0 then
    noteBad(changes, 'refused', refused, messages, tonumber(seen[3]) or 0, tonumber(seen[4]) or 0, 10)
    if messages > refused then
      notePause(source, tonumber(seen[2]))
      changes[#changes + 1] = 'goodAt'
      changes[#changes + 1] = now
    end
    if counters.handshakes then
      changes[#changes + 1] = 'challengedAt'
      changes[#changes + 1] = now
    end
  end
  -- What a source's own filter leaves out is as it should be.
  local thinned = counters['rejected:thinned'] or 0
  local readings = (counters.readings or 0) - thinned
  if readings > 0 then
    local rejected = (counters.rejected or 0) - thinned
    noteBad(changes, 'rejected', rejected, readings, tonumber(seen[5]) or 0, tonumber(seen[6]) or 0, 20)
    if rejected < readings then
      changes[#changes + 1] = 'okAt'
      changes[#changes + 1] = now
    end
  end
  if #changes > 0 then redis.call('HSET', KEY.pulse(source), unpack(changes)) end
end
