-- Reserves a throttle slot for a request that carries no batch: a question that `doctor` asks.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {destination, ratePerSecond, windowMs, horizonMs} as JSON.
--
-- Returns {waitMs, 1 where the slot is reserved, or 0 where there is none within horizonMs}.

--- @include "clock"
--- @include "keys"
--- @include "gates"
--- @include "throttle"

local args = cjson.decode(ARGV[1])
local rate = args.ratePerSecond
local wait, slot = reserveSlot(
  math.min(rateOf(KEY.scopeGate, rate), rateOf(KEY.gate(args.destination), rate)), rate, args.windowMs, args.horizonMs)
return { wait, slot and 1 or 0 }
