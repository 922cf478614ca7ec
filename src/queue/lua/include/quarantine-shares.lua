-- Whose quarantined messages make room for new ones: those of the sender that holds most, and its oldest first.
--
-- A share is a path: the source, then the levels of the MQTT topic. Each node of this tree is a sorted set of its
-- children by the bytes they hold, and the path ends in a sorted set of its entries (`id:bytes`) by age. From the root
-- the largest child is followed at each node. So a source pays for itself; and within it, a device pays that floods its
-- own branch, however many topics it makes up there.

--- @include "keys"
--- @include "entry-fields"

local function levelsOf(share)
  local levels = {}
  for level in string.gmatch(share, '[^/]+') do levels[#levels + 1] = level end
  -- No level holds a slash: this one is the end of every path, and never a topic's.
  levels[#levels + 1] = '/'
  return levels
end
local function endOf(levels) return KEY.share('/' .. table.concat(levels, '/')) end
local function charge(levels, n)
  local node = KEY.share('')
  for _, level in ipairs(levels) do
    if tonumber(redis.call('ZINCRBY', node, n, level)) <= 0 then redis.call('ZREM', node, level) end
    node = node .. '/' .. level
  end
  redis.call('HINCRBY', KEY.sizes, 'quarantine:shares', n)
end
local function putIn(levels, id, n)
  redis.call('ZADD', endOf(levels), string.match(id, '^%d+'), id .. ':' .. n)
  charge(levels, n)
  redis.call('HINCRBY', KEY.sizes, 'quarantine', n)
end
-- The only way out of the quarantine for an entry that has been read.
local function remove(entry)
  local id, fields = entry[1], fieldsOf(entry)
  local n = tonumber(fields.n) or 0
  if redis.call('XDEL', KEY.quarantine, id) == 1 then redis.call('HINCRBY', KEY.sizes, 'quarantine', -n) end
  if not fields.share then return end
  local levels = levelsOf(fields.share)
  if redis.call('ZREM', endOf(levels), id .. ':' .. n) == 1 then charge(levels, -n) end
end
local function oldestQuarantined() return redis.call('XRANGE', KEY.quarantine, '-', '+', 'COUNT', 1)[1] end
local function removeOldest()
  local entry = oldestQuarantined()
  if entry then remove(entry) end
  return entry ~= nil
end
-- The path of the largest, as if `size` bytes more lay at the end of `own`, where something lies.
local function largest(own, size)
  local levels, node, onOwn = {}, KEY.share(''), true
  repeat
    local top = redis.call('ZREVRANGE', node, 0, 0, 'WITHSCORES')
    local mine = onOwn and own[#levels + 1]
    local held = mine and redis.call('ZSCORE', node, mine)
    local level = top[1]
    if held and tonumber(held) + size >= tonumber(top[2]) then level = mine end
    if not level then return nil end
    onOwn = mine == level
    levels[#levels + 1] = level
    node = node .. '/' .. level
  until level == '/'
  return levels
end
local function removeFromLargest(own, size)
  local held, shared = unpack(redis.call('HMGET', KEY.sizes, 'quarantine', 'quarantine:shares'))
  if (tonumber(held) or 0) > (tonumber(shared) or 0) then
    -- Something of an earlier version lies here, which has no share; it goes first.
    local entry = oldestQuarantined()
    if entry and not fieldsOf(entry).share then
      remove(entry)
      return true
    end
  end
  local levels = largest(own, size)
  local member = levels and redis.call('ZRANGE', endOf(levels), 0, 0)[1]
  if not member then return removeOldest() end
  local id, n = string.match(member, '^(.*):(%d+)$')
  -- Bodies are not read: they may have megabytes. An earlier version that still runs may have deleted and counted it.
  redis.call('ZREM', endOf(levels), member)
  charge(levels, -n)
  if redis.call('XDEL', KEY.quarantine, id) == 1 then redis.call('HINCRBY', KEY.sizes, 'quarantine', -n) end
  return true
end
-- Returns how many made room. `most` is a bound per call: Redis serves no other client meanwhile.
local function makeRoom(budget, own, size, most)
  local gone = 0
  while gone < most and (tonumber(redis.call('HGET', KEY.sizes, 'quarantine')) or 0) + size > budget do
    if not removeFromLargest(own, size) then break end
    gone = gone + 1
  end
  return gone
end
