-- What the answer to a request changes about a gate.

--- @include "clock"

local function openGate(gate, rate)
  local state, ramp, since, earned, raisedAt = unpack(redis.call('HMGET', gate, 'state', 'ramp', 'since', 'earned', 'raisedAt'))
  if not state then return end
  -- Any success re-opens a probing gate: a probe that was given up may have succeeded late.
  if state == 'probing' then
    local first = math.max(1, math.floor(rate / 10))
    redis.call('HSET', gate, 'state', 'ramping', 'ramp', first, 'earned', first, 'since', now, 'raisedAt', now)
    redis.call('HDEL', gate, 'probe', 'until', 'fails')
  elseif state == 'ramping' then
    -- One more for every success, as in TCP's slow start, but raised once a second: raised at once, each answer would let
    -- the next request out, and a fast ServiceTitan would get the full rate within the first second.
    earned = tonumber(earned or ramp) + 1
    -- A time from the future: Redis's clock was set back, and the ramp would last as long as that.
    local isDue = math.abs(now - tonumber(raisedAt or since)) >= 1000
    -- With little traffic the ramp would never end: ten seconds without a complaint are enough.
    if isDue and earned >= rate or math.abs(now - tonumber(since)) > 10000 then redis.call('DEL', gate)
    elseif isDue then redis.call('HSET', gate, 'ramp', earned, 'earned', earned, 'raisedAt', now)
    else redis.call('HSET', gate, 'earned', earned) end
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
  redis.call('HDEL', gate, 'probe', 'ramp', 'earned', 'raisedAt')
end
-- Ends a probe that taught nothing about this gate; otherwise every other lane would wait until the probe is given up.
local function releaseProbe(gate, owner)
  local state, probe = unpack(redis.call('HMGET', gate, 'state', 'probe'))
  if state == 'probing' and probe == owner then
    redis.call('HSET', gate, 'until', now)
    redis.call('HDEL', gate, 'probe')
  end
end
