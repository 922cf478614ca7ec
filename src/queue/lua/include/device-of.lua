-- The device of a record: in its facts where it is not the unit.

--- @include "records"

-- The facts begin with latitude, longitude, speed and heading, and end there where the device is the unit; see record.ts.
local function deviceOf(r)
  -- Nothing else ends in a digit.
  if string.find(r, '%d%]$', -2) then return unitOf(r) end
  local units, sources = tonumber(string.sub(r, 28, 30)), tonumber(string.sub(r, 31, 32))
  local start = 38 + units + sources
  local device = string.match(r, '^%[[^,]+,[^,]+,[^,]+,[^,%]]+,"([^"\\]*)"', start)
  if device then return device end
  return cjson.decode(string.sub(r, start))[5] or unitOf(r)
end
