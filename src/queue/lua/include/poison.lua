-- Finds the ping because of which ServiceTitan refuses a whole batch, without blaming a ping for an ill destination.
--
-- A refused batch is halved until a ping is refused alone. Such a ping is isolated, and one refusal proves nothing:
-- 1. Once the destination has accepted another request since, the ping is sent again alone. This is its retest.
-- 2. If the retest is refused too, the ping is dead-lettered.
-- 3. A 500 is about the server before it is about a ping. It takes a second retest, after yet another acceptance; and no
--    refusal counts while the destination is unstable, that is, for 15 s after it accepted unchanged what it had answered
--    with 500.
-- 4. When the lane's last piece is settled, or three pings are isolated, and nothing was accepted meanwhile, the
--    destination refuses everything: its gate is shut, and all of these pings go back to the backlog.

--- @include "clock"
--- @include "keys"
--- @include "bulk"
--- @include "records"
--- @include "backlogs"
--- @include "dead-letters"
--- @include "return"
--- @include "gate-changes"

local UNSTABLE_MS = 15000
-- What was refused alone: `acceptedBefore` requests had been accepted by the destination when this ping was refused for
-- the `times`th time.
local function rememberRefusal(retestsKey, r, acceptedBefore, times)
  -- A thousand are far more than are retested within ten minutes, unless nothing has been accepted for hours.
  if redis.call('HLEN', retestsKey) >= 1000 then redis.call('DEL', retestsKey) end
  redis.call('HSET', retestsKey, r, acceptedBefore .. ':' .. times)
  redis.call('PEXPIRE', retestsKey, 600000)
end
-- The ping becomes a batch of its own, to be sent after the next piece, if there is one: the acceptance of that piece
-- proves more than the same request twice in a row.
local function retest(args, lane, r, pieceId, acceptedSeq)
  local isKnown = redis.call('HEXISTS', KEY.accepted(args.destination), unitOf(r))
  redis.call('RPUSH', KEY.batch(pieceId), r)
  redis.call('HSET', KEY.batchFacts(pieceId), 'lane', lane, 'new', 1 - isKnown, 'formedAt', now, 'root', acceptedSeq)
  local nextPiece = redis.call('LINDEX', KEY.pieces(lane), 0)
  if nextPiece then redis.call('LINSERT', KEY.pieces(lane), 'AFTER', nextPiece, pieceId)
  else redis.call('RPUSH', KEY.pieces(lane), pieceId) end
end
-- Step 4. `undecided` and `pending` as below.
local function giveUpLane(args, lane, undecided, pending, acceptedBefore, is500)
  local retestsKey = KEY.retests(args.destination)
  -- One or two pings are thin evidence, and a 500 passes by itself: then the gate's own backoff, 4 s at most.
  local waitMs = #undecided >= 3 and not is500 and 15000 or nil
  shutGate(KEY.gate(args.destination), 'refused_everything', waitMs, args.random)
  for _, piece in ipairs(redis.call('LRANGE', KEY.pieces(lane), 0, -1)) do
    returnToBacklogs(lane, redis.call('LRANGE', KEY.batch(piece), 0, -1))
    redis.call('DEL', KEY.batch(piece), KEY.batchFacts(piece))
  end
  for _, r in ipairs(undecided) do
    if redis.call('HEXISTS', retestsKey, r) == 0 then rememberRefusal(retestsKey, r, acceptedBefore, 1) end
    pending[#pending + 1] = r
  end
  -- Behind the others: the next probe must not begin with the same ping.
  for _, r in ipairs(pending) do redis.call('RPUSH', KEY.backlog(backlogOf(lane, sourceOf(r))), r) end
  redis.call('DEL', KEY.pieces(lane), KEY.isolated(lane), KEY.isolation(lane))
end
-- Decides about every isolated ping of the lane. `refusedNow`: records refused alone by this answer; `acceptedSeq`: how
-- many requests the destination has accepted. Returns the bytes of what was dead-lettered.
local function searchPoison(args, facts, lane, refusedNow, acceptedSeq, result)
  local isolated = redis.call('LRANGE', KEY.isolated(lane), 0, -1)
  if #isolated == 0 then return 0 end
  local retestsKey = KEY.retests(args.destination)
  local root, refusal, reason = unpack(redis.call('HMGET', KEY.isolation(lane), 'root', 'refusal', 'reason'))
  local acceptedBefore = tonumber(root) or tonumber(facts.root) or acceptedSeq
  local is500 = refusal == 'http_500'
  local refusalsNeeded = is500 and 2 or 1
  local unstableAt = tonumber(redis.call('HGET', KEY.destination(args.destination), 'unstableAt') or 0)
  local isUnstable = is500 and math.abs(now - unstableAt) < UNSTABLE_MS
  local freed = 0
  -- Undecided: nothing has been accepted since the ping was isolated. Pending: the next acceptance brings a retest.
  local undecided, pending = {}, {}
  for i, remembered in ipairs(hashValues(retestsKey, isolated)) do
    local r = isolated[i]
    local before, times = string.match(remembered or '', '^(%d+):(%d+)$')
    local isDestinationWell = before and acceptedSeq > tonumber(before)
    if isDestinationWell and not isUnstable and tonumber(times) >= refusalsNeeded and (refusedNow[r] or not is500) then
      result.reason, result.message = reason or 'refused', refusal or ''
      deadLetter(args.destination, r, result.reason, result.message)
      noteDeadLetter(r, result.reason, result.message)
      redis.call('HDEL', retestsKey, r)
      freed = freed + #r
      result.deadLettered = result.deadLettered + 1
    elseif isDestinationWell and refusedNow[r] then
      rememberRefusal(retestsKey, r, acceptedSeq, isUnstable and times or times + 1)
      pending[#pending + 1] = r
    elseif isDestinationWell or acceptedSeq > acceptedBefore then
      retest(args, lane, r, args.batchId .. '.' .. i, acceptedSeq)
      if not before then rememberRefusal(retestsKey, r, acceptedBefore, 1) end
    elseif is500 and before and not refusedNow[r] then pending[#pending + 1] = r
    else undecided[#undecided + 1] = r end
  end
  redis.call('DEL', KEY.isolated(lane))
  pushAll('RPUSH', KEY.isolated(lane), undecided)
  pushAll('RPUSH', KEY.isolated(lane), pending)
  if #undecided + #pending == 0 then redis.call('DEL', KEY.isolation(lane))
  else redis.call('HSET', KEY.isolation(lane), 'root', #pending > 0 and acceptedSeq or acceptedBefore) end
  if #undecided >= 3 or #undecided > 0 and redis.call('LLEN', KEY.pieces(lane)) == 0 then
    result.shutAs = 'refused_everything'
    giveUpLane(args, lane, undecided, pending, acceptedBefore, is500)
  end
  return freed
end
