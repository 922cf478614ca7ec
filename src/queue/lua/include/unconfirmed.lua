-- Judges a 2xx answer that confirms no ping at all: is it the fault of these pings, or of the destination?
--
-- It is the fault of the pings only where the destination was well in between: where a request that was sent after the
-- first such answer had been confirmed before the second one was sent. Otherwise two such answers in a row, to whichever
-- batches, are a condition of the destination: its gate is shut, and the batch goes back to the backlog, so that newer
-- positions replace its pings or travel with them. A batch that is alone in its lane stays together and is remembered as
-- asked.

--- @include "clock"
--- @include "keys"
--- @include "dispositions"
--- @include "backlogs"

local function waitsElsewhere(lane)
  local n = redis.call('LLEN', KEY.pieces(lane))
  for _, source in ipairs(redis.call('SMEMBERS', KEY.backlogs(lane))) do n = n + backlogSize(backlogOf(lane, source)) end
  return n > 0
end
-- `args`, `facts` and `result` as in settle.lua; changes the dispositions, the change of the gate, the time of the last
-- such answer, and what the script returns.
local function judgeUnconfirmed(args, facts, lane, result)
  local destKey = KEY.destination(args.destination)
  if args.said == 'nothing' then
    local inARow = redis.call('HINCRBY', destKey, 'unconfirmedAnswers', 1)
    if facts.asked == '1' and tonumber(facts.confirmedSentAt or 0) > tonumber(facts.askedAt or 0) then
      redis.call('HDEL', destKey, 'unconfirmedAnswers')
      args.dispositions, result.deadLettered =
        string.gsub(args.dispositions, DISPOSITION.firstPiece, DISPOSITION.deadLettered)
      result.reason, result.message = 'unconfirmed', args.unconfirmedMessage
    elseif inARow >= 2 then
      if waitsElsewhere(lane) then
        args.dispositions = string.gsub(args.dispositions, DISPOSITION.firstPiece, DISPOSITION.returned)
      end
      result.shutAs = 'unreadable_answers'
      -- With the gate's own backoff, of 4 s at most: two may both be about one odd ping, and nothing needs a person.
      args.gate = { kind = 'shut', reason = result.shutAs }
    end
    facts.askedAt = now
  elseif args.said == 'something' then
    redis.call('HDEL', destKey, 'unconfirmedAnswers')
    facts.askedAt = 0
  end
  if args.accepted then
    local before = tonumber(redis.call('HGET', destKey, 'confirmedSentAt')) or 0
    redis.call('HSET', destKey, 'confirmedSentAt', math.max(before, tonumber(facts.sentAt) or now))
  end
end
