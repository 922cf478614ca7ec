-- Acquires what one POST needs: fences out the batch's earlier owner, asks the gates, and reserves a throttle slot.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1]: {destination, lane, batchId, token, ratePerSecond, windowMs, horizonMs?, probeMs, claimMs} as JSON; lane is the
--   lane's number. Without horizonMs the batch is only claimed, so that it can be settled without having been sent.
--
-- Returns one of
--   {"gone"}                                              another process has settled the batch
--   {"closed", 0, asked, serverErrors, root, formedAt}    a gate is shut, or no slot was wanted
--   {"wait", waitMs}                                      no slot within the horizon, or another owner has claimed the
--                                                         batch less than claimMs ago
--   {"send", waitMs, asked, serverErrors, root, formedAt, slot, 1 where the request gets only the time of a probe}

--- @include "clock"
--- @include "keys"
--- @include "changed"
--- @include "gates"
--- @include "throttle"

local args = cjson.decode(ARGV[1])
local destination, lane, id = args.destination, args.destination .. '|' .. args.lane, args.batchId
local factsKey, rate = KEY.batchFacts(id), args.ratePerSecond
local batch, beat = unpack(redis.call('HMGET', KEY.lane(lane), 'batch', 'beat'))
if batch ~= id or redis.call('EXISTS', KEY.batch(id)) == 0 then return { 'gone' } end
local owner, asked, serverErrors, root, formedAt =
  unpack(redis.call('HMGET', factsKey, 'token', 'asked', 'serverErrors', 'root', 'formedAt'))
local claimedFor = now - (tonumber(beat) or 0)
if owner and owner ~= args.token and claimedFor >= 0 and claimedFor < args.claimMs then
  return { 'wait', args.claimMs - claimedFor }
end
redis.call('HSET', factsKey, 'token', args.token)
redis.call('HSET', KEY.lane(lane), 'beat', now)
local function answer(kind, wait)
  return { kind, wait, asked or '0', serverErrors or '0', root or '', formedAt or '' }
end
-- Without a token there is no request.
if not args.horizonMs then return answer('closed', 0) end
local scopeGate, gate = KEY.scopeGate, KEY.gate(destination)
-- Both are asked before either is changed: a probe of the one must not begin while the other is shut.
if maySend(scopeGate, lane, nil) > 0 or maySend(gate, lane, nil) > 0 then return answer('closed', 0) end
local wait, slot = reserveSlot(math.min(rateOf(scopeGate, rate), rateOf(gate, rate)), rate, args.windowMs, args.horizonMs)
if not slot then return { 'wait', wait } end
maySend(scopeGate, lane, args.probeMs)
maySend(gate, lane, args.probeMs)
markChanged()
-- When the last confirmed request was sent, as known by now: it shows whether the destination was well (unconfirmed.lua).
redis.call('HSET', factsKey, 'sentAt', slot,
  'confirmedSentAt', redis.call('HGET', KEY.destination(destination), 'confirmedSentAt') or 0)
local state, reason, fails = unpack(redis.call('HMGET', scopeGate, 'state', 'reason', 'fails'))
local out = answer('send', wait)
out[#out + 1] = slot
out[#out + 1] = state == 'probing' and reason == 'timeout' and (tonumber(fails) or 0) % 16 > 0 and 1 or 0
return out
