-- The timelines: what happened to a device's readings beside delivery, which the ledger tells. Noted while a script runs,
-- written once at its end.
--
-- A timeline is a text of lines. The first has the time of the last event and the number of the other lines; each of
-- those tells one event, the last one last, with tabs between: first time, last time, how often, kind, reason, fix time,
-- offset (receivedAt - fixTime), detail. Events in a row of one kind and reason are one line. The device '' stands for
-- the source itself, with what names no device; there one line serves a kind and reason wherever it stands, of refusals
-- and malformed messages also a detail.

--- @include "keys"
--- @include "bulk"
--- @include "timeline-kinds"

-- 10,000 devices of a source at 1,800 bytes with their ids are 18 MB at most. An authenticated sender can make up devices.
local MOST_LINES, MOST_BYTES, MOST_DEVICES = 20, 1600, 10000
-- A flood of one kind leaves half of the source's lines to the others.
local MOST_OF_A_KIND = 10
-- Of a line: first time, how often, kind, reason, detail.
local LINE = '^(%d+)\t%d+\t(%d+)\t(%w)\t([^\t]*)\t%d*\t%-?%d*\t(.*)$'
local IS_TOLD_APART = { [EVENT.refused] = true, [EVENT.malformed] = true }
local noted = {}

-- `at`: UTC milliseconds; `fixTime` and `offset` may be ''. Texts must be in one line and bounded.
local function note(source, device, kind, reason, at, n, fixTime, offset, detail)
  local devices = noted[source]
  if not devices then devices = {}; noted[source] = devices end
  local events = devices[device]
  if not events then events = {}; devices[device] = events end
  local last = events[#events]
  if last and last[4] == kind and last[5] == reason and (last[8] == detail or not IS_TOLD_APART[kind]) then
    last[2], last[3], last[6], last[7], last[8] = at, last[3] + n, fixTime, offset, detail
  else events[#events + 1] = { at, at, n, kind, reason, fixTime, offset, detail } end
end
local function lineOf(event) return table.concat(event, '\t') end
local function joined(before, event)
  local first, n, kind, reason, detail = string.match(before, LINE)
  if kind ~= event[4] or reason ~= event[5] then return nil end
  if detail ~= event[8] and IS_TOLD_APART[kind] then return nil end
  event[1], event[3] = first, n + event[3]
  return lineOf(event)
end
local function linesOf(text)
  local lines = {}
  for line in string.gmatch(text, '\n([^\n]+)') do lines[#lines + 1] = line end
  return lines
end
local function bounded(at, lines)
  local size = 20
  for _, line in ipairs(lines) do size = size + #line + 1 end
  while #lines > MOST_LINES or size > MOST_BYTES do size = size - #table.remove(lines, 1) - 1 end
  return at .. ' ' .. #lines .. '\n' .. table.concat(lines, '\n')
end
local function withEvents(text, events)
  local at = events[#events][2]
  if text == '' and #events == 1 then return at .. ' 1\n' .. lineOf(events[1]) end
  local before, last = string.match(text, '^%d+( .*\n)([^\n]+)$')
  -- The usual case by far: more of what the last line tells.
  local more = last and joined(last, events[1])
  if more and #events == 1 and #text - #last + #more <= MOST_BYTES then return at .. before .. more end
  local lines = linesOf(text)
  if more then lines[#lines] = more end
  for i = more and 2 or 1, #events do lines[#lines + 1] = lineOf(events[i]) end
  return bounded(at, lines)
end
local function withSourceEvents(text, events)
  local lines, at = linesOf(text), 0
  for _, event in ipairs(events) do
    at = event[2]
    local line, ofKind, first = nil, 0, nil
    for i = #lines, 1, -1 do
      line = joined(lines[i], event)
      if line then table.remove(lines, i); break end
      local _, _, kind = string.match(lines[i], LINE)
      if kind == event[4] then ofKind, first = ofKind + 1, i end
    end
    if not line and ofKind >= MOST_OF_A_KIND then table.remove(lines, first) end
    lines[#lines + 1] = line or lineOf(event)
  end
  return bounded(at, lines)
end
local function writeTimelines()
  for source, devices in pairs(noted) do
    local key, names, flat, room = KEY.timeline(source), {}, {}, nil
    for device in pairs(devices) do names[#names + 1] = device end
    for i, text in ipairs(hashValues(key, names)) do
      local device = names[i]
      -- The source's own line, '', always has room.
      if not text and device ~= '' then
        room = (room or MOST_DEVICES - redis.call('HLEN', key)) - 1
      end
      if text or device == '' or room >= 0 then
        flat[#flat + 1] = device
        flat[#flat + 1] = (device == '' and withSourceEvents or withEvents)(text or '', devices[device])
      end
    end
    pushAll('HSET', key, flat)
  end
end
