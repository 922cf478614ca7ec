-- Carries out a settlement in one step, unless another process has taken the batch over meanwhile.
--
-- KEYS[1]: key prefix of the scope.
-- ARGV[1], as JSON:
--   destination, lane (number), batchId, token   the batch; another token in Redis means another owner
--   dispositions                                  one character per record, in the batch's order (disposition.ts)
--   deadLetters                                   {at, reason, message} of each dead-lettered record; at from 1
--   accepted                                      the request was accepted
--   said?                                         what a 2xx answer said: "something", or "nothing" of any ping
--   scopeGate, gate                               {kind, reason?, waitMs?}: what changes about either gate
--   random, ratePerSecond                         for gates: jitter in [0,1), and the full rate of their ramp
--   byteCap?, maxBatchBytes                       what a 413 taught, and the configured bound
--   label?                                        the outcome in one word, where something was sent
--   isTold                                        the entry tells of all pings, also of those that came to no end
--   pieces                                        {ids, asked, serverErrors, root?} of the two batches this one becomes
--   refusal, refusedAs                            why an isolated ping was refused, and its reason as a dead letter
--   unconfirmedMessage                            what the dead letter says of a ping that was never confirmed
--   indexLifetimeMs                               how long an hour's ledger index lives
-- ARGV[2]: the ledger entry, compressed; empty when nothing was sent and no ping came to an end.
--
-- Returns {"fenced"}, or {"settled", pings dead-lettered on grounds that only Redis knows, why the destination's gate was
-- shut here or "", reason and message of those dead letters}.

--- @include "clock"
--- @include "keys"
--- @include "dispositions"
--- @include "records"
--- @include "bulk"
--- @include "counters"
--- @include "changed"
--- @include "gate-changes"
--- @include "dead-letters"
--- @include "return"
--- @include "unconfirmed"
--- @include "poison"
--- @include "ledger-entry"
--- @include "timeline"

local args = cjson.decode(ARGV[1])
local ledgerEntry = ARGV[2]
local destination, lane, id = args.destination, args.destination .. '|' .. args.lane, args.batchId
local destKey, scopeGateKey, gateKey = KEY.destination(destination), KEY.scopeGate, KEY.gate(destination)

local function factsOf(batch)
  local names = { 'token', 'new', 'root', 'sentAt', 'serverErrors', 'asked', 'askedAt', 'confirmedSentAt' }
  local facts = {}
  for i, value in ipairs(redis.call('HMGET', KEY.batchFacts(batch), unpack(names))) do facts[names[i]] = value end
  return facts
end
local facts = factsOf(id)
if facts.token ~= args.token then return { 'fenced' } end

local result = { deadLettered = 0, shutAs = '', reason = 'refused', message = '' }
judgeUnconfirmed(args, facts, lane, result)

-- Every record goes where its disposition says.
local letters = {}
for _, letter in ipairs(args.deadLetters) do letters[letter.at] = letter end
local pieceOf = { [DISPOSITION.firstPiece] = 1, [DISPOSITION.secondPiece] = 2 }
local freed, returned, pieces, newFlags = 0, {}, { {}, {} }, { {}, {} }
local newest, latestArrival, toldUnits, refusedNow = {}, '', {}, {}
local records = redis.call('LRANGE', KEY.batch(id), 0, -1)
for i, r in ipairs(records) do
  local disposition = string.sub(args.dispositions, i, i)
  local hasEnded = true
  if disposition == DISPOSITION.delivered then
    count(sourceOf(r), 'delivered', 1)
    -- Never beyond now, by Redis's clock: a mark ahead of it would silence the unit until then.
    local unit, order = unitOf(r), math.min(orderOf(r), now)
    if not newest[unit] or newest[unit] < order then newest[unit] = order end
    -- Digits of one width compare as they would as numbers, which cost more to make.
    local arrival = string.sub(r, 15, 27)
    if arrival > latestArrival then latestArrival = arrival end
  elseif disposition == DISPOSITION.deadLettered then
    local letter = letters[i] or result
    deadLetter(destination, r, letter.reason, letter.message)
    -- The ledger entry was made before Redis decided this.
    if not letters[i] then noteDeadLetter(r, letter.reason, letter.message) end
  elseif disposition == DISPOSITION.expired then
    count(sourceOf(r), 'expired', 1)
  else
    hasEnded = false
    if disposition == DISPOSITION.isolated then
      refusedNow[r] = true
      redis.call('RPUSH', KEY.isolated(lane), r)
      redis.call('HSET', KEY.isolation(lane), 'refusal', args.refusal, 'reason', args.refusedAs)
    elseif disposition == DISPOSITION.returned then
      returned[#returned + 1] = r
    else
      local n = pieceOf[disposition]
      table.insert(pieces[n], r)
      table.insert(newFlags[n], string.sub(facts.new, i, i))
    end
  end
  if hasEnded then freed = freed + #r end
  if hasEnded or args.isTold then toldUnits[unitOf(r)] = true end
end
returnToBacklogs(lane, returned)

-- What an accepted request proves: the destination is well, and each unit's newest position is there.
local acceptedSeq = tonumber(redis.call('HGET', destKey, 'acceptedSeq')) or 0
if args.accepted then
  local wasRefused = tonumber(facts.serverErrors or 0) > 0
    or #records == 1 and redis.call('HDEL', KEY.retests(destination), records[1]) == 1
  if wasRefused then redis.call('HSET', destKey, 'unstableAt', now) end
  acceptedSeq = redis.call('HINCRBY', destKey, 'acceptedSeq', 1)
  local ever = tonumber(redis.call('HGET', destKey, 'newestAccepted')) or 0
  local key, names, newer = KEY.accepted(destination), {}, {}
  for unit in pairs(newest) do names[#names + 1] = unit end
  for i, before in ipairs(hashValues(key, names)) do
    local order = newest[names[i]]
    if not before or tonumber(before) < order then
      newer[#newer + 1] = names[i]
      newer[#newer + 1] = order
    end
    if order > ever then ever = order end
  end
  pushAll('HSET', key, newer)
  local latest = math.min(tonumber(latestArrival) or 0, now)
  latest = math.max(latest, tonumber(redis.call('HGET', destKey, 'newestAcceptedArrival')) or 0)
  redis.call('HSET', destKey, 'newestAccepted', ever, 'newestAcceptedArrival', latest)
end

-- The batch ends; its pieces go before everything else in the lane.
local root = args.pieces.root
if root == 'now' then root = tostring(acceptedSeq) end
for n = 2, 1, -1 do
  if #pieces[n] > 0 then
    local piece = args.pieces.ids[n]
    pushAll('RPUSH', KEY.batch(piece), pieces[n])
    redis.call('HSET', KEY.batchFacts(piece), 'lane', lane, 'new', table.concat(newFlags[n]), 'formedAt', now,
      'asked', args.pieces.asked and 1 or 0, 'askedAt', facts.askedAt or 0, 'serverErrors', args.pieces.serverErrors)
    if root then redis.call('HSET', KEY.batchFacts(piece), 'root', root) end
    redis.call('LPUSH', KEY.pieces(lane), piece)
  end
end
redis.call('DEL', KEY.batch(id), KEY.batchFacts(id))
redis.call('HDEL', KEY.lane(lane), 'batch', 'beat')

-- The gates.
local answeredWell = tonumber(redis.call('GET', KEY.answeredWell)) or 0
local sentAt = tonumber(facts.sentAt) or now
if args.scopeGate.kind == 'opened' then
  if sentAt > answeredWell then redis.call('SET', KEY.answeredWell, sentAt) end
  openGate(scopeGateKey, args.ratePerSecond)
elseif args.scopeGate.kind == 'shut' then
  -- A request that hung proves nothing any more when one that was sent after it was answered well.
  local isStale = args.scopeGate.reason == 'timeout' and sentAt < answeredWell
  if not isStale then shutGate(scopeGateKey, args.scopeGate.reason, args.scopeGate.waitMs, args.random) end
end
if args.gate.kind == 'opened' then openGate(gateKey, args.ratePerSecond)
elseif args.gate.kind == 'shut' then shutGate(gateKey, args.gate.reason, args.gate.waitMs, args.random) end

local knownCap = tonumber(redis.call('HGET', destKey, 'byteCap'))
if args.byteCap then
  -- A larger batch may have been in flight when a lower cap was learned.
  redis.call('HSET', destKey, 'byteCap', math.min(knownCap or args.byteCap, args.byteCap), 'byteCapAt', now)
elseif knownCap and args.accepted and now - (tonumber(redis.call('HGET', destKey, 'byteCapAt')) or 0) >= 60000 then
  -- Twice as much a minute after the last 413 or the last doubling: one request a minute is lost where the cap is real,
  -- and where it was not it is gone in six.
  if 2 * knownCap < args.maxBatchBytes then redis.call('HSET', destKey, 'byteCap', 2 * knownCap, 'byteCapAt', now)
  else redis.call('HDEL', destKey, 'byteCap', 'byteCapAt') end
end
if args.label then redis.call('HSET', destKey, 'lastOutcome', args.label, 'lastOutcomeAt', now) end

freed = freed + searchPoison(args, facts, lane, refusedNow, acceptedSeq, result)

-- With pieces left this lane goes on with its probe, unless a gate was shut before it.
local isShut = args.scopeGate.kind == 'shut' or args.gate.kind == 'shut'
if isShut or redis.call('LLEN', KEY.pieces(lane)) == 0 then
  if args.scopeGate.kind == 'none' then releaseProbe(scopeGateKey, lane) end
  if args.gate.kind == 'none' then releaseProbe(gateKey, lane) end
end
if freed > 0 then redis.call('HINCRBY', destKey, 'bytes', -freed) end
writeCounts()
writeTimelines()
markChanged()
if ledgerEntry ~= '' then writeLedgerEntry(destination, toldUnits, ledgerEntry, args.indexLifetimeMs) end
return { 'settled', result.deadLettered, result.shutAs, result.reason, result.message }
