-- Names the devices that are known of some sources: one slice of each hash per call, as far as there is room.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {most, scans: [{hash, source, cursor}]} as JSON: about how many names are wanted, and what is to be read on.
--
-- Returns per scan that was begun its next cursor, "0" at the end, how many names, and the names. Values stay here: those
-- of fingerprints and timelines are long.

--- @include "keys"

local args = cjson.decode(ARGV[1])
local HASHES = { seen = KEY.seen, timeline = KEY.timeline, fingerprints = KEY.fingerprints }
local out, total = {}, 0
for _, scan in ipairs(args.scans) do
  if total >= args.most then break end
  local key = HASHES[scan.hash](scan.source)
  local reply = redis.call('HSCAN', key, scan.cursor, 'COUNT', 1000)
  local n = #reply[2] / 2
  out[#out + 1] = reply[1]
  out[#out + 1] = n
  for i = 1, n do out[#out + 1] = reply[2][2 * i - 1] end
  total = total + n
end
return out
