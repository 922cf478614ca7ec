-- Dead-letters a ping: ServiceTitan refused it for good.

--- @include "keys"
--- @include "records"
--- @include "counters"

local function deadLetter(destination, r, reason, message)
  count(sourceOf(r), 'deadLettered', 1)
  local size = #r + #message + 100
  redis.call('XADD', KEY.deadLetters, '*', 'destination', destination, 'reason', reason, 'message', message, 'record', r,
    'n', size)
  redis.call('HINCRBY', KEY.sizes, 'dead', size)
  redis.call('HINCRBY', KEY.destination(destination), 'deadLetters', 1)
end
