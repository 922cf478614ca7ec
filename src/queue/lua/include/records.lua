-- Reads a record's head without parsing the rest; mirrors record.ts. Offsets are in bytes.

local function fixTimeOf(r) return tonumber(string.sub(r, 2, 14)) end
local function receivedAtOf(r) return tonumber(string.sub(r, 15, 27)) end
-- The order of a unit's fixes. A fix dated ahead of its receipt is no newer than its receipt; otherwise a clock that runs
-- ahead, or a forged fix, would overtake later ones. Records of one message often tie here: their own times decide.
local function orderOf(r) return math.min(fixTimeOf(r), receivedAtOf(r)) end
local function isNewer(r, other)
  local one, two = orderOf(r), orderOf(other)
  return one > two or one == two and fixTimeOf(r) > fixTimeOf(other)
end
-- `mark` is the order of the unit's newest accepted ping. Where the two tie, a fix dated ahead is not lost.
local function isOvertaken(r, mark)
  local own = orderOf(r)
  return mark and (mark > own or mark == own and fixTimeOf(r) == own)
end
local function unitOf(r) return string.sub(r, 38, 37 + tonumber(string.sub(r, 28, 30))) end
local function sourceOf(r)
  local start = 38 + tonumber(string.sub(r, 28, 30))
  return string.sub(r, start, start + tonumber(string.sub(r, 31, 32)) - 1)
end
local function pingBytesOf(r) return tonumber(string.sub(r, 33, 37)) end
