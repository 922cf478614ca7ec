-- Returns records of a batch to their backlogs, to where they came from.

--- @include "keys"
--- @include "records"
--- @include "backlogs"

-- The front; while behind the end, which is looked at first then.
local function returnToBacklogs(lane, records)
  local fronts, isBehind = {}, {}
  for _, r in ipairs(records) do
    local backlog = backlogOf(lane, sourceOf(r))
    if isBehind[backlog] == nil then isBehind[backlog] = isSorted(backlog) end
    if isBehind[backlog] then redis.call('RPUSH', KEY.backlog(backlog), r) else fronts[#fronts + 1] = r end
  end
  for i = #fronts, 1, -1 do redis.call('LPUSH', KEY.backlog(backlogOf(lane, sourceOf(fronts[i]))), fronts[i]) end
end
