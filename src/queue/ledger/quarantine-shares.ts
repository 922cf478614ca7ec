/** Whose quarantined messages make room for new ones: those of the sender that holds most, and its oldest first. */

/**
 * A share is a path: the source, then the levels of the MQTT topic. Each node of this tree is a sorted set of its
 * children by the bytes they hold, and the path ends in a sorted set of its entries (`id:bytes`) by age. From the root
 * the largest child is taken at each node. So a source pays for itself; and within it, a device pays that floods its
 * own branch, however many topics it makes up there.
 */
export const SHARES = `
local shareRoot = p .. ':share:'
local function levelsOf(share)
  local levels = {}
  for level in string.gmatch(share, '[^/]+') do levels[#levels + 1] = level end
  -- No level holds a slash: this one is the end of every path, and never a topic's.
  levels[#levels + 1] = '/'
  return levels
end
local function endOf(levels) return shareRoot .. '/' .. table.concat(levels, '/') end
local function charge(levels, n)
  local node = shareRoot
  for _, level in ipairs(levels) do
    if tonumber(redis.call('ZINCRBY', node, n, level)) <= 0 then redis.call('ZREM', node, level) end
    node = node .. '/' .. level
  end
  redis.call('HINCRBY', p .. ':sizes', 'quarantine:shares', n)
end
local function putIn(levels, id, n)
  redis.call('ZADD', endOf(levels), string.match(id, '^%d+'), id .. ':' .. n)
  charge(levels, n)
  redis.call('HINCRBY', p .. ':sizes', 'quarantine', n)
end
-- The only way out of the quarantine for an entry that has been read.
local function takeOut(entry)
  local id, n, share = entry[1], 0, nil
  for f = 1, #entry[2], 2 do
    if entry[2][f] == 'n' then n = tonumber(entry[2][f + 1]) elseif entry[2][f] == 'share' then share = entry[2][f + 1] end
  end
  if redis.call('XDEL', p .. ':quarantine', id) == 1 then redis.call('HINCRBY', p .. ':sizes', 'quarantine', -n) end
  if not share then return end
  local levels = levelsOf(share)
  if redis.call('ZREM', endOf(levels), id .. ':' .. n) == 1 then charge(levels, -n) end
end
local function takeOldest()
  local entry = redis.call('XRANGE', p .. ':quarantine', '-', '+', 'COUNT', 1)[1]
  if entry then takeOut(entry) end
  return entry ~= nil
end
-- The path of the largest, as if \`size\` bytes more lay at the end of \`own\`, where something lies.
local function largest(own, size)
  local levels, node, onOwn = {}, shareRoot, true
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
local function takeFromLargest(own, size)
  local held, shared = unpack(redis.call('HMGET', p .. ':sizes', 'quarantine', 'quarantine:shares'))
  if (tonumber(held) or 0) > (tonumber(shared) or 0) then
    -- Something of an earlier version lies here, whose share nobody knows; it goes first.
    local entry = redis.call('XRANGE', p .. ':quarantine', '-', '+', 'COUNT', 1)[1]
    local share = false
    for f = 1, entry and #entry[2] or 0, 2 do share = share or entry[2][f] == 'share' end
    if entry and not share then
      takeOut(entry)
      return true
    end
  end
  local levels = largest(own, size)
  local member = levels and redis.call('ZRANGE', endOf(levels), 0, 0)[1]
  if not member then return takeOldest() end
  local id, n = string.match(member, '^(.*):(%d+)$')
  -- Bodies are not read: they may have megabytes. An earlier version that still runs may have deleted and counted it.
  redis.call('ZREM', endOf(levels), member)
  charge(levels, -n)
  if redis.call('XDEL', p .. ':quarantine', id) == 1 then redis.call('HINCRBY', p .. ':sizes', 'quarantine', -n) end
  return true
end
-- Returns how many made room. \`most\` is a bound per call: Redis serves nobody else meanwhile.
local function makeRoom(budget, own, size, most)
  local gone = 0
  while gone < most and (tonumber(redis.call('HGET', p .. ':sizes', 'quarantine')) or 0) + size > budget do
    if not takeFromLargest(own, size) then break end
    gone = gone + 1
  end
  return gone
end
`;

/** Beyond these a topic tells nothing more about who sent it; the keys of a path cost memory too. */
const MAX_LEVELS = 8;
const MAX_LEVEL_LENGTH = 64;

/** The path of the message's share, its levels joined by slashes. */
export function shareOf(
  source: string,
  { login = "", topic = "" }: { login?: string | undefined; topic?: string | undefined },
): string {
  const levels = [login.replaceAll("/", "_"), ...topic.split("/", MAX_LEVELS)].filter(
    (level) => level !== "",
  );
  return [source, ...levels.map((level) => level.slice(0, MAX_LEVEL_LENGTH))].join("/");
}
