-- Announces which sources a process knows. Processes with the same sources share one entry.
--
-- KEYS[1]: when each fingerprint was last announced.
-- KEYS[2]: the names of this fingerprint.
-- ARGV: fingerprint, its names as JSON or "" where Redis has them, how long both count in ms.
--
-- Returns 1 where Redis needs the names.

--- @include "clock"

redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
-- Redis's clock was set back: an entry of the future would stay for as long as that.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2]) end
return 1 - redis.call('PEXPIRE', KEYS[2], 2 * ARGV[3])
