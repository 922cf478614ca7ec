-- Gives a lease back, if it is this owner's still.
--
-- KEYS[1]: the lease.
-- ARGV: this owner.

if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
