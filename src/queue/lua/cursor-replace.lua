-- Replaces a pull source's cursor. A process that was stopped and comes back must not set another's cursor back.
--
-- KEYS[1]: the cursor.
-- ARGV: what has to be there, "" for nothing; what is to be there.
--
-- Returns 1, or 0 where something else is there.

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
