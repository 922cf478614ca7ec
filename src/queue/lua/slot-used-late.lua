-- Moves a slot to when its request was really sent, so that the next requests keep their distance from it.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV: the slot, how late it was used in whole ms.

--- @include "throttle"

moveSlot(tonumber(ARGV[1]), tonumber(ARGV[1]) + tonumber(ARGV[2]))
return {}
