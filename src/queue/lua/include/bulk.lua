-- Commands with many values at once, in slices of 1,000: Lua's unpack is limited by its stack (about 8,000 values).

local function hashValues(key, fields)
  local out = {}
  for i = 1, #fields, 1000 do
    for _, value in ipairs(redis.call('HMGET', key, unpack(fields, i, math.min(i + 999, #fields)))) do
      out[#out + 1] = value
    end
  end
  return out
end
local function pushAll(command, key, values)
  for i = 1, #values, 1000 do
    redis.call(command, key, unpack(values, i, math.min(i + 999, #values)))
  end
end
