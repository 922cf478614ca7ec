-- Stores what one process reports to the others, for a while.
--
-- KEYS[1]: when each process last reported.
-- KEYS[2]: the report of this process.
-- ARGV: the process, its report as JSON or "" where it stops, how long it counts in ms.

--- @include "clock"

if ARGV[2] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return redis.call('DEL', KEYS[2])
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
-- Redis's clock was set back: an entry of the future would stay for as long as that.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
