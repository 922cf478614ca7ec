-- The gates. A gate is a hash {state, until, reason, fails, probe, since, ramp, earned, raisedAt}; no hash means open. There is one per
-- scope and one per destination, and `maySend` is the only way to ask them.

--- @include "clock"

-- `owner` is the lane that wants to send: while a gate is probing only the lane that owns the probe passes. With
-- `probeMs` the lane becomes the probe where one is due. Returns how long to wait, 0 where the lane may send.
local function maySend(gate, owner, probeMs)
  local state, till, probe, since = unpack(redis.call('HMGET', gate, 'state', 'until', 'probe', 'since'))
  if not state or state == 'open' or state == 'ramping' then return 0, state end
  local remaining = tonumber(till) - now
  -- A pause that began in the future: Redis's clock was set back, and a short wait would last as long as that.
  if (tonumber(since) or 0) > now + 1000 then remaining = 0 end
  if state == 'probing' and probe == owner then return 0, state end
  if remaining > 0 then
    -- A probe may end at any moment, so ask again soon; a pause ends when it says.
    return state == 'probing' and math.min(remaining, 250) or remaining, state
  end
  if probeMs then
    -- If this process dies while it owns the probe, another lane may probe after the same time again.
    redis.call('HSET', gate, 'state', 'probing', 'probe', owner, 'until', now + probeMs, 'since', now)
  end
  return 0, 'probing'
end
local function rateOf(gate, rate)
  local state, ramp = unpack(redis.call('HMGET', gate, 'state', 'ramp'))
  if state == 'probing' then return 1 end
  if state == 'ramping' then return math.max(1, math.min(rate, tonumber(ramp) or 1)) end
  return rate
end
