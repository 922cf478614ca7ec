-- The filters of a source: readings too close in time to the last one, and jumps no vehicle can make.

--- @include "keys"
--- @include "records"

local lastFix, lastChanged = {}, {}
local function impliedMps(fromLat, fromLon, lat, lon, seconds)
  local dLat, dLon = lat - fromLat, lon - fromLon
  local h = math.sin(dLat / 2) ^ 2 + math.cos(lat) * math.cos(fromLat) * math.sin(dLon / 2) ^ 2
  return 2 * 6371008.8 * math.asin(math.min(1, math.sqrt(h))) / math.abs(seconds)
end
local function aheadText(last, run) return last + run > 0 and ',a' .. last .. 'b' .. run or '' end
-- Milliseconds between two fixes. A clock that is always ahead still measures them rightly; where only one of the two is
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
  if last == nil then last = redis.call('HGET', KEY.lastFix(source), device); lastFix[key] = last end
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
local function writeLastFixes()
  for key, owner in pairs(lastChanged) do redis.call('HSET', KEY.lastFix(owner[1]), owner[2], lastFix[key]) end
end
