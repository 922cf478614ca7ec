/** The part of the settlement's script that judges 2xx answers which say nothing of any ping: whose fault is it? */

import { UNCONFIRMED } from "./settlement.ts";

/**
 * An answer that says nothing of any ping is the pings' fault only where the destination was well in between: where a
 * request that left after the first such answer had been confirmed before the second one left. Otherwise two in a row,
 * whosever, are a condition of the destination: its gate is shut, and the batch waits. In the buffer, so that newer
 * positions take its place or travel with it; but alone in its lane it stays together and is remembered as asked.
 *
 * Reads what settle.ts has taken from its arguments and from the batch; changes `fates` and `changes`, and says in
 * `convicted`, `shutAs`, `reason` and `why` what it decided.
 */
export const JUDGE_UNSAID = `
local convicted, shutAs, why, reason = 0, '', '', 'refused'
local unsaid = 0
if said == 'nothing' then
  unsaid = redis.call('HINCRBY', destKey, 'unsaid', 1)
  if ownAsked == '1' and tonumber(seen or 0) > tonumber(askedAt or 0) then
    local n
    fates, n = string.gsub(fates, '1', 'x')
    redis.call('HDEL', destKey, 'unsaid')
    convicted, reason, why = n, 'unconfirmed', '${UNCONFIRMED}'
  elseif unsaid >= 2 then
    local others = redis.call('LLEN', p .. ':pieces:' .. lane)
    for _, source in ipairs(redis.call('SMEMBERS', p .. ':lines:' .. lane)) do
      local line = lane .. '|' .. source
      others = others + redis.call('LLEN', p .. ':q:' .. line) + redis.call('HLEN', p .. ':live:' .. line)
        + redis.call('ZCARD', p .. ':old:' .. line)
    end
    if others > 0 then fates = string.gsub(fates, '1', 'b') end
    shutAs = 'unreadable_answers'
    -- With the gate's own backoff, of 4 s at most: two may both be about one odd ping, and nobody has to act.
    changes[2] = { 'shut', shutAs }
  end
  askedAt = now
elseif said == 'something' then
  redis.call('HDEL', destKey, 'unsaid')
  askedAt = 0
end
if accepted == '1' then
  local before = tonumber(redis.call('HGET', destKey, 'confirmedLeft')) or 0
  redis.call('HSET', destKey, 'confirmedLeft', math.max(before, tonumber(left) or now))
end
`;
