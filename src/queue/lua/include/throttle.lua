-- The throttle: a sliding log of the last `rate` slots, kept over one second plus a guard. A slot may be given for a
-- moment slightly ahead; its owner sends at that moment, or reports when it really did. A log, because fixed windows let
-- twice the rate into a sliding second (measured: 119 of 60) and GCRA lets one too many.

--- @include "clock"
--- @include "keys"
--- @include "bulk"

local function slotWait(rate, windowMs)
  local newest = tonumber(redis.call('LINDEX', KEY.slots, -1))
  if not newest then
    -- Emptied, or new: what was sent within the last window is unknown, so nothing is sent for as long.
    newest = now + windowMs
    redis.call('RPUSH', KEY.slots, newest)
    redis.call('PEXPIRE', KEY.slots, 86400000)
  end
  if newest - now > 10 * windowMs then
    -- Redis's clock went back by more than slots are ever given ahead: begin again as if all slots were used just now.
    local used = {}
    for i = 1, rate do used[i] = now end
    redis.call('DEL', KEY.slots)
    pushAll('RPUSH', KEY.slots, used)
    return windowMs
  end
  local oldest = tonumber(redis.call('LINDEX', KEY.slots, -rate))
  -- Never before the newest: when the rate rises again the log would lose its order, and with it the count.
  return math.max(0, newest - now, oldest and oldest + windowMs - now or 0)
end
local function reserveSlot(rate, fullRate, windowMs, horizonMs)
  local wait = slotWait(rate, windowMs)
  if wait > horizonMs then return wait, nil end
  redis.call('RPUSH', KEY.slots, now + wait)
  redis.call('LTRIM', KEY.slots, -fullRate, -1)
  -- A scope that is not used any more leaves nothing behind; one that rests for a day waits a window.
  redis.call('PEXPIRE', KEY.slots, 86400000)
  return wait, now + wait
end
-- The log stays sorted, and a slot that moves later never comes closer to those before it.
local function moveSlot(from, to)
  if redis.call('LREM', KEY.slots, -1, from) == 0 then return end
  local after
  for i = -1, -redis.call('LLEN', KEY.slots), -1 do
    local slot = redis.call('LINDEX', KEY.slots, i)
    if tonumber(slot) <= to then break end
    after = slot
  end
  if after then redis.call('LINSERT', KEY.slots, 'BEFORE', after, to) else redis.call('RPUSH', KEY.slots, to) end
end
