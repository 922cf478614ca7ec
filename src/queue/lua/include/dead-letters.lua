-- Dead-letters a ping: ServiceTitan refused it for good.

--- @include "keys"
--- @include "records"
--- @include "counters"
--- @include "clock"
--- @include "device-of"
--- @include "timeline"

local function deadLetter(destination, r, reason, message)
  count(sourceOf(r), 'deadLettered', 1)
  local size = #r + #message + 100
  redis.call('XADD', KEY.deadLetters, '*', 'destination', destination, 'reason', reason, 'message', message, 'record', r,
    'n', size)
  redis.call('HINCRBY', KEY.sizes, 'dead', size)
  redis.call('HINCRBY', KEY.destination(destination), 'deadLetters', 1)
end
-- Where the ledger does not tell it. A cut may go through a character.
local function noteDeadLetter(r, reason, message)
  if #message > 200 then message = string.gsub(string.sub(message, 1, 200), '[\192-\255][\128-\191]*$', '') end
  message = string.gsub(message, '%c', ' ')
  note(sourceOf(r), deviceOf(r), EVENT.deadLettered, reason, now, 1, fixTimeOf(r), '', message)
end
