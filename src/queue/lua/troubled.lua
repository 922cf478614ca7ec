-- Tells which devices of a source are in trouble.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV: source.
--
-- Returns eleven values per device, as device-trouble.lua tells them.

--- @include "device-trouble"

return troubledIn(ARGV[1])
