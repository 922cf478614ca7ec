-- The bounded streams of a scope, by the name that `sizes` and the settings know them by, and the fields of an entry.

--- @include "keys"

local STREAMS = { ledger = KEY.ledger, dead = KEY.deadLetters, quarantine = KEY.quarantine }
local function oldestOf(stream) return redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1] end
-- UTC milliseconds since 1970, by which an entry's id begins.
local function timeOf(entry) return tonumber(string.match(entry[1], '^%d+')) end
