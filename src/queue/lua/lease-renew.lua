-- Acquires a lease, or renews it.
--
-- KEYS[1]: the lease.
-- ARGV: this owner, how long the lease lasts in ms.
--
-- Returns 0 when it is this owner's, else for how much longer it is another's, in ms.

if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]); return 0 end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
return math.max(1, redis.call('PTTL', KEYS[1]))
