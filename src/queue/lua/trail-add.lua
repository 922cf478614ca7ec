-- Adds an entry to the trail and trims it. Redis's clock names the entries, and so it decides about their age.
--
-- KEYS[1]: the trail.
-- ARGV: how many entries stay, for how long in ms, the entry.

redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', 'e', ARGV[3])
local clock = redis.call('TIME')
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', clock[1] * 1000 - ARGV[2]))
return 1
