-- The backlogs of a lane: what waits there from each source.

--- @include "keys"

local function backlogOf(lane, source) return lane .. '|' .. source end
-- Everything of a backlog that waits, sorted by unit or not.
local function backlogSize(backlog)
  return redis.call('LLEN', KEY.backlog(backlog)) + redis.call('HLEN', KEY.live(backlog))
    + redis.call('ZCARD', KEY.old(backlog))
end
-- True while the lane is behind: the backlog's records have been sorted into each unit's newest and its history.
local function isSorted(backlog) return redis.call('EXISTS', KEY.live(backlog), KEY.old(backlog)) > 0 end
