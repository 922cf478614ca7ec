-- Writes one ledger entry and, for each of its units, a pointer to it in the index of that hour.

--- @include "clock"
--- @include "keys"
--- @include "bulk"

local function writeLedgerEntry(destination, units, entry, indexLifetimeMs)
  local names, hour = {}, math.floor(now / 3600000)
  for unit in pairs(units) do names[#names + 1] = unit end
  -- Redis takes memory in classes of size, of which a tenth is empty.
  local pointers, size = hashValues(KEY.ledgerIndex(destination, hour), names), math.floor(1.1 * #entry) + 100
  -- What a field takes beside its text and its pointers is about 80 bytes.
  for i, unit in ipairs(names) do size = size + 6 + (pointers[i] and 0 or #unit + 80) end
  local id = redis.call('XADD', KEY.ledger, '*', 'e', entry, 'n', size)
  local ms, n = string.match(id, '(%d+)-(%d+)')
  -- Ids never go back, though the clock may.
  if math.floor(ms / 3600000) ~= hour then
    hour = math.floor(ms / 3600000)
    pointers = hashValues(KEY.ledgerIndex(destination, hour), names)
  end
  local pointer, fields = struct.pack('>I4I2', ms - hour * 3600000, n % 65536), {}
  for i, unit in ipairs(names) do
    fields[#fields + 1] = unit
    fields[#fields + 1] = (pointers[i] or '') .. pointer
  end
  pushAll('HSET', KEY.ledgerIndex(destination, hour), fields)
  if redis.call('SADD', KEY.ledgerHours, destination .. ':' .. hour) == 1 then
    redis.call('PEXPIRE', KEY.ledgerIndex(destination, hour), indexLifetimeMs)
  end
  redis.call('HINCRBY', KEY.sizes, 'ledger', size)
end
