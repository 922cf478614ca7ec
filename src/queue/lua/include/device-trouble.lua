-- Reads which devices of a source are in trouble, as trouble-notes.lua writes them.
--
-- A trouble is a text, with commas between: since, last rejection, rejected, in how many messages, good ones, of these in
-- a row, last good one (0: none), reason, least offset, greatest offset ('': none; receivedAt - fixTime, of the
-- rejections for this reason). Times and offsets are in milliseconds.

--- @include "keys"

local MOST_TOLD = 50
-- Per device eleven values: its id, then the parts of its trouble as above. Those rejected last come first.
local function troubledIn(source)
  local flat, all, out = redis.call('HGETALL', KEY.trouble(source)), {}, {}
  for i = 1, #flat, 2 do
    all[#all + 1] = { flat[i], flat[i + 1], tonumber(string.match(flat[i + 1], '^%d+,(%d+)')) or 0 }
  end
  table.sort(all, function(a, b) return a[3] > b[3] end)
  for i = 1, math.min(#all, MOST_TOLD) do
    out[#out + 1] = all[i][1]
    for part in string.gmatch(all[i][2] .. ',', '([^,]*),') do out[#out + 1] = part end
  end
  return out
end
