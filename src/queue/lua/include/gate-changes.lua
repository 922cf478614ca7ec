-- What the answer to a request changes about a gate.

--- @include "clock"

local function openGate(gate, rate)
  local state, ramp, since = unpack(redis.call('HMGET', gate, 'state', 'ramp', 'since'))
  if not state then return end
  -- Any success re-opens a probing gate: a probe that was given up may have succeeded late.
  if state == 'probing' then
    redis.call('HSET', gate, 'state', 'ramping', 'ramp', math.max(1, math.floor(rate / 10)), 'since', now)
    redis.call('HDEL', gate, 'probe', 'until', 'fails')
  elseif state == 'ramping' then
    -- One more for every success: the rate doubles about once a second, as in TCP's slow start.
    local grown = tonumber(ramp) + 1
    -- With little traffic the ramp would never end: ten seconds without a complaint are enough.
    if grown >= rate or now - tonumber(since) > 10000 then redis.call('DEL', gate) else redis.call('HSET', gate, 'ramp', grown) end
  end
  -- Paused: a success that was in flight when the pause began changes nothing.
end
-- `waitMs` nil: full jitter below a doubling bound that ends at 4 s, so that an outage's end is noticed soon.
local function shutGate(gate, reason, waitMs, random)
  local state, till = unpack(redis.call('HMGET', gate, 'state', 'until'))
  -- Two answers of one outage: the longer pause counts. A probe's own deadline is no pause.
  till = state == 'paused' and tonumber(till) or 0
  local fails = redis.call('HINCRBY', gate, 'fails', 1)
  waitMs = waitMs or math.floor(random * math.min(4000, 250 * 2 ^ math.min(fails, 10)))
  redis.call('HSET', gate, 'state', 'paused', 'reason', reason, 'until', math.max(till, now + waitMs), 'since', now)
  redis.call('HDEL', gate, 'probe', 'ramp')
end
-- Ends a probe that taught nothing about this gate; otherwise every other lane would wait until the probe is given up.
local function releaseProbe(gate, owner)
  local state, probe = unpack(redis.call('HMGET', gate, 'state', 'probe'))
  if state == 'probing' and probe == owner then
    redis.call('HSET', gate, 'until', now)
    redis.call('HDEL', gate, 'probe')
  end
end
