-- Appends a record to a backlog (`destination|lane|source`) that may not have existed before.

--- @include "keys"
--- @include "changed"

local function enqueue(backlog, record)
  local lane, destination, source = string.match(backlog, '^((.-)|.-)|(.*)$')
  redis.call('RPUSH', KEY.backlog(backlog), record)
  redis.call('SADD', KEY.lanes, lane)
  redis.call('SADD', KEY.backlogs(lane), source)
  redis.call('HINCRBY', KEY.destination(destination), 'bytes', #record)
  markChanged()
end
