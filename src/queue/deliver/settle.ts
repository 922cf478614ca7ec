/** Carries out a settlement in one atomic step, unless another process has taken the batch over meanwhile. */

import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { run, script } from "../redis/lua.ts";
import type { DeadLetterReason, GateChange, Settlement } from "./settlement.ts";
import { JUDGE_UNSAID } from "./unsaid-script.ts";

/**
 * ARGV: destination, lane number, batch id, token, fates, accepted (1/0), what a 2xx answer said ("something", "nothing"
 * or ""), per gate (scope, destination) the change,
 * reason and waitMs or "", then random in [0,1), ratePerSecond, byteCap or "", maxBatchBytes, outcome label, ids of the two pieces,
 * what they carry (asked, serverErrors, root), refusal and what it makes of a suspect, ledger entry or "", ledger index lifetime in ms, number of
 * dead letters and, for each, its position in the batch (from 1), reason and message.
 *
 * A lone refused ping is a suspect. Once the destination has accepted another request it is heard a second time, alone;
 * refused again, it is given up. One refusal is not enough: it may be from before the destination was well again. A 500
 * is the server's word on itself before it is one on a ping: there it takes a third hearing after another acceptance,
 * and none counts while the destination flaps, that is, has lately accepted unchanged what it had answered 500. When the
 * last piece is through, or three suspects have met no acceptance, it is the destination that refuses everything: all of
 * it goes back to the buffer and the destination's gate is shut.
 *
 * What an answer that says nothing of any ping means is judged by unsaid-script.ts.
 *
 * Returns {"fenced"} or {"settled", pings dead-lettered, why the gate of the destination was shut or "", reason and
 * message of those dead letters}.
 */
const SETTLE = script(`
local at = 0
local function take() at = at + 1; return ARGV[at] end
local destination, laneNumber, id, token, fates, accepted = take(), take(), take(), take(), take(), take()
local said = take()
local changes = {}
for i = 1, 2 do changes[i] = { take(), take(), tonumber(take()) } end
local random, rate, byteCap, maxBytes, label = tonumber(take()), tonumber(take()), take(), tonumber(take()), take()
local pieceIds = { take(), take() }
local asked, serverErrors, root, refusal, suspicion = take(), take(), take(), take(), take()
local ledger, indexLifetime = take(), take()
local letters = {}
for i = 1, tonumber(take()) do
  local position = tonumber(take())
  letters[position] = { take(), take() }
end

local lane = destination .. '|' .. laneNumber
local batchKey, metaKey, laneKey = p .. ':b:' .. id, p .. ':bm:' .. id, p .. ':lane:' .. lane
local destKey, suspectsKey = p .. ':dest:' .. destination, p .. ':suspects:' .. lane
local suspicionKey = p .. ':suspicion:' .. lane
local triedKey = p .. ':tried:' .. destination
local heldToken, newFlags, ownRoot, left, ownErrors, ownAsked, askedAt, seen = unpack(
  redis.call('HMGET', metaKey, 'token', 'new', 'root', 'left', 'serverErrors', 'asked', 'askedAt', 'seen'))
if heldToken ~= token then return { 'fenced' } end
${JUDGE_UNSAID}
-- A probe that taught nothing about this gate is handed on, or everybody else would wait until it is given up.
local function handOn(gate)
  local state, probe = unpack(redis.call('HMGET', gate, 'state', 'probe'))
  if state == 'probing' and probe == lane then
    redis.call('HSET', gate, 'until', now)
    redis.call('HDEL', gate, 'probe')
  end
end
local function giveUp(r, reason, message)
  count(sourceOf(r), 'deadLettered', 1)
  local size = #r + #message + 100
  redis.call('XADD', p .. ':dead', '*', 'destination', destination, 'reason', reason, 'message', message, 'record', r,
    'n', size)
  redis.call('HINCRBY', p .. ':sizes', 'dead', size)
  redis.call('HINCRBY', destKey, 'deadLetters', 1)
end
local freed = 0
local back, pieces, flags = {}, { {}, {} }, { {}, {} }
local newest, units, refusedNow = {}, {}, {}
local records = redis.call('LRANGE', batchKey, 0, -1)
for i, r in ipairs(records) do
  local fate = string.sub(fates, i, i)
  if fate == 'd' then
    count(sourceOf(r), 'delivered', 1)
    -- Never beyond now, by Redis's clock: a mark ahead of it would silence the unit until then.
    local unit, order = unitOf(r), math.min(orderOf(r), now)
    if not newest[unit] or newest[unit] < order then newest[unit] = order end
  elseif fate == 'x' then
    if letters[i] then giveUp(r, letters[i][1], letters[i][2]) else giveUp(r, reason, why) end
  elseif fate == 'e' then
    count(sourceOf(r), 'expired', 1)
  elseif fate == 'q' then
    refusedNow[r] = true
    redis.call('RPUSH', suspectsKey, r)
    redis.call('HSET', suspicionKey, 'refusal', refusal, 'reason', suspicion)
  elseif fate == 'b' then
    back[#back + 1] = r
  else
    local n = tonumber(fate)
    table.insert(pieces[n], r)
    table.insert(flags[n], string.sub(newFlags, i, i))
  end
  if fate == 'd' or fate == 'x' or fate == 'e' then
    freed = freed + #r
    units[unitOf(r)] = true
  end
end
-- To where they were taken from: the front; while behind the end, which is looked at first then.
local function toBuffer(records)
  local fronts, ends = {}, {}
  for _, r in ipairs(records) do
    local line = lane .. '|' .. sourceOf(r)
    if ends[line] == nil then ends[line] = redis.call('EXISTS', p .. ':live:' .. line, p .. ':old:' .. line) > 0 end
    if ends[line] then redis.call('RPUSH', p .. ':q:' .. line, r) else fronts[#fronts + 1] = r end
  end
  for i = #fronts, 1, -1 do redis.call('LPUSH', p .. ':q:' .. lane .. '|' .. sourceOf(fronts[i]), fronts[i]) end
end
toBuffer(back)
local acceptedSeq = tonumber(redis.call('HGET', destKey, 'acceptedSeq')) or 0
if accepted == '1' then
  local changedItsMind = tonumber(ownErrors or 0) > 0 or #records == 1 and redis.call('HDEL', triedKey, records[1]) == 1
  if changedItsMind then redis.call('HSET', destKey, 'flappedAt', now) end
  acceptedSeq = redis.call('HINCRBY', destKey, 'acceptedSeq', 1)
  local ever = tonumber(redis.call('HGET', destKey, 'newestAccepted')) or 0
  local key, names, newer = p .. ':accepted:' .. destination, {}, {}
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
  redis.call('HSET', destKey, 'newestAccepted', ever)
end
if root == 'now' then root = tostring(acceptedSeq) end
for n = 2, 1, -1 do
  if #pieces[n] > 0 then
    pushAll('RPUSH', p .. ':b:' .. pieceIds[n], pieces[n])
    redis.call('HSET', p .. ':bm:' .. pieceIds[n], 'lane', lane, 'new', table.concat(flags[n]), 'cutAt', now,
      'asked', asked, 'askedAt', askedAt or 0, 'serverErrors', serverErrors)
    if root ~= '' then redis.call('HSET', p .. ':bm:' .. pieceIds[n], 'root', root) end
    redis.call('LPUSH', p .. ':pieces:' .. lane, pieceIds[n])
  end
end
redis.call('DEL', batchKey, metaKey)
redis.call('HDEL', laneKey, 'batch', 'beat')

local gateKeys = { p .. ':gate', p .. ':gate:' .. destination }
local wellKey = p .. ':well'
local well = tonumber(redis.call('GET', wellKey)) or 0
left = tonumber(left) or now
-- A request that hung says nothing any more when one that left after it was answered well.
local stale = changes[1][2] == 'timeout' and left < well
if changes[1][1] == 'opened' and left > well then redis.call('SET', wellKey, left) end
for i, change in ipairs(changes) do
  if change[1] == 'opened' then opened(gateKeys[i], rate)
  elseif change[1] == 'shut' and not (i == 1 and stale) then shut(gateKeys[i], change[2], change[3], random) end
end
local known = tonumber(redis.call('HGET', destKey, 'byteCap'))
if byteCap ~= '' then
  -- A larger batch may have been under way when a lower cap was learned.
  redis.call('HSET', destKey, 'byteCap', math.min(known or byteCap, byteCap), 'byteCapAt', now)
elseif known and accepted == '1' and now - (tonumber(redis.call('HGET', destKey, 'byteCapAt')) or 0) >= 60000 then
  -- Twice as much a minute after the last 413 or the last doubling: one request a minute is lost where the cap is real,
  -- and where it was not it is gone in six.
  if 2 * known < maxBytes then redis.call('HSET', destKey, 'byteCap', 2 * known, 'byteCapAt', now)
  else redis.call('HDEL', destKey, 'byteCap', 'byteCapAt') end
end
if label ~= '' then redis.call('HSET', destKey, 'lastOutcome', label, 'lastOutcomeAt', now) end

local piecesKey = p .. ':pieces:' .. lane
local suspects = redis.call('LRANGE', suspectsKey, 0, -1)
if #suspects > 0 then
  local knownRoot, refusedWhy, refusedAs
  knownRoot, refusedWhy, refusedAs = unpack(redis.call('HMGET', suspicionKey, 'root', 'refusal', 'reason'))
  local started = tonumber(knownRoot) or tonumber(ownRoot) or acceptedSeq
  -- How much the destination had accepted when it was refused alone, and how often it was by then.
  local function remember(r, seq, times)
    -- A thousand are far more than are tried within ten minutes, unless nothing has been accepted for hours.
    if redis.call('HLEN', triedKey) >= 1000 then redis.call('DEL', triedKey) end
    redis.call('HSET', triedKey, r, seq .. ':' .. times)
    redis.call('PEXPIRE', triedKey, 600000)
  end
  local is500 = refusedWhy == 'http_500'
  local enough = is500 and 2 or 1
  local flapping = is500 and math.abs(now - tonumber(redis.call('HGET', destKey, 'flappedAt') or 0)) < 15000
  local unsure, patient = {}, {}
  for i, tried in ipairs(hashValues(triedKey, suspects)) do
    local r = suspects[i]
    local seq, times = string.match(tried or '', '^(%d+):(%d+)$')
    local others = seq and acceptedSeq > tonumber(seq)
    if others and not flapping and tonumber(times) >= enough and (refusedNow[r] or not is500) then
      reason, why = refusedAs or 'refused', refusedWhy or ''
      giveUp(r, reason, why)
      redis.call('HDEL', triedKey, r)
      freed = freed + #r
      convicted = convicted + 1
    elseif others and refusedNow[r] then
      remember(r, acceptedSeq, flapping and times or times + 1)
      patient[#patient + 1] = r
    elseif others or acceptedSeq > started then
      local piece = id .. '.' .. i
      local known = redis.call('HEXISTS', p .. ':accepted:' .. destination, unitOf(r))
      redis.call('RPUSH', p .. ':b:' .. piece, r)
      redis.call('HSET', p .. ':bm:' .. piece, 'lane', lane, 'new', 1 - known, 'cutAt', now, 'root', acceptedSeq)
      -- After the next piece, if there is one: its acceptance tells more than the same question asked twice in a row.
      local nextPiece = redis.call('LINDEX', piecesKey, 0)
      if nextPiece then redis.call('LINSERT', piecesKey, 'AFTER', nextPiece, piece)
      else redis.call('RPUSH', piecesKey, piece) end
      if not seq then remember(r, started, 1) end
    elseif is500 and seq and not refusedNow[r] then patient[#patient + 1] = r
    else unsure[#unsure + 1] = r end
  end
  redis.call('DEL', suspectsKey)
  pushAll('RPUSH', suspectsKey, unsure)
  pushAll('RPUSH', suspectsKey, patient)
  if #unsure + #patient == 0 then redis.call('DEL', suspicionKey)
  else redis.call('HSET', suspicionKey, 'root', #patient > 0 and acceptedSeq or started) end
  if #unsure >= 3 or #unsure > 0 and redis.call('LLEN', piecesKey) == 0 then
    shutAs = 'refused_everything'
    -- One or two pings are thin evidence, and a 500 passes by itself: then the gate's own backoff, 4 s at most.
    shut(gateKeys[2], 'refused_everything', #unsure >= 3 and refusedWhy ~= 'http_500' and 15000 or nil, random)
    for _, piece in ipairs(redis.call('LRANGE', piecesKey, 0, -1)) do
      toBuffer(redis.call('LRANGE', p .. ':b:' .. piece, 0, -1))
      redis.call('DEL', p .. ':b:' .. piece, p .. ':bm:' .. piece)
    end
    for _, r in ipairs(unsure) do
      if redis.call('HEXISTS', triedKey, r) == 0 then remember(r, started, 1) end
      patient[#patient + 1] = r
    end
    -- Behind the others: the next probe shall not begin with the same ping.
    for _, r in ipairs(patient) do redis.call('RPUSH', p .. ':q:' .. lane .. '|' .. sourceOf(r), r) end
    redis.call('DEL', piecesKey, suspectsKey, suspicionKey)
  end
end
-- With pieces left this lane goes on with its probe, unless a gate was shut before it.
if changes[1][1] == 'shut' or changes[2][1] == 'shut' or redis.call('LLEN', piecesKey) == 0 then
  for i, change in ipairs(changes) do
    if change[1] == 'none' then handOn(gateKeys[i]) end
  end
end
if freed > 0 then redis.call('HINCRBY', destKey, 'bytes', -freed) end
writeCounts()
if ledger ~= '' then
  local names, hour = {}, math.floor(now / 3600000)
  for unit in pairs(units) do names[#names + 1] = unit end
  local function indexOf(anHour) return p .. ':li:' .. destination .. ':' .. anHour end
  local pointers, size = hashValues(indexOf(hour), names), #ledger + 60
  -- What a field takes beside its text and its pointers is about 80 bytes.
  for i, unit in ipairs(names) do size = size + 6 + (pointers[i] and 0 or #unit + 80) end
  local entry = redis.call('XADD', p .. ':ledger', '*', 'e', ledger, 'n', size)
  local ms, n = string.match(entry, '(%d+)-(%d+)')
  -- Ids never go back, though the clock may.
  if math.floor(ms / 3600000) ~= hour then
    hour = math.floor(ms / 3600000)
    pointers = hashValues(indexOf(hour), names)
  end
  local pointer, fields = struct.pack('>I4I2', ms - hour * 3600000, n % 65536), {}
  for i, unit in ipairs(names) do
    fields[#fields + 1] = unit
    fields[#fields + 1] = (pointers[i] or '') .. pointer
  end
  pushAll('HSET', indexOf(hour), fields)
  if redis.call('SADD', p .. ':lihours', destination .. ':' .. hour) == 1 then
    redis.call('PEXPIRE', indexOf(hour), indexLifetime)
  end
  redis.call('HINCRBY', p .. ':sizes', 'ledger', size)
end
return { 'settled', convicted, shutAs, reason, why }
`);

export interface SettleRequest {
  batchId: string;
  lane: number;
  token: string;
  settlement: Settlement;
  /** For the ops page: the outcome in one word; empty when nothing was sent. */
  label: string;
  /** Compressed ledger entry; null when no ping came to an end. */
  ledger: Buffer | null;
  ledgerMaxAgeMs: number;
}

export type SettleResult =
  /** Another process holds the batch now: nothing was changed. */
  | { kind: "fenced" }
  | {
      kind: "settled";
      convicted: { pings: number; reason: DeadLetterReason; message: string };
      /** Why Redis has shut the destination's gate; null where it has not. */
      shutAs: "refused_everything" | "unreadable_answers" | null;
    };

/** Throws when Redis does not answer; the batch then stays as it is and is sent again by whoever finds it. */
export async function settle(
  redis: Redis,
  destination: QueueDestination,
  { batchId, lane, token, settlement, label, ledger, ledgerMaxAgeMs }: SettleRequest,
): Promise<SettleResult> {
  const { pieces } = settlement;
  const args = [
    destination.name,
    lane,
    batchId,
    token,
    settlement.fates.join(""),
    settlement.accepted ? 1 : 0,
    settlement.said ?? "",
    ...gateArgs(settlement.scope),
    ...gateArgs(settlement.destination),
    Math.random(),
    destination.ratePerSecond,
    settlement.byteCap ?? "",
    destination.maxBatchBytes,
    label,
    randomUUID(),
    randomUUID(),
    pieces.asked ? 1 : 0,
    pieces.serverErrors,
    pieces.root ?? "",
    settlement.refusal,
    settlement.suspicion,
    ledger ?? "",
    // An hour's index lives until its last entry may go.
    ledgerMaxAgeMs + 3_600_000,
    settlement.deadLetters.length,
    ...settlement.deadLetters.flatMap(({ at, reason, message }) => [at + 1, reason, message]),
  ];
  const [kind, pings, shutAs, reason, message] = await run(redis, SETTLE, destination.scope, args);
  if (kind === "fenced") return { kind: "fenced" };
  return {
    kind: "settled",
    convicted: {
      pings: Number(pings),
      reason: reason === "oversize" || reason === "unconfirmed" ? reason : "refused",
      message: String(message),
    },
    shutAs: shutAs === "refused_everything" || shutAs === "unreadable_answers" ? shutAs : null,
  };
}

function gateArgs(change: GateChange): (string | number)[] {
  return change.kind === "shut" ? [change.kind, change.reason, change.waitMs ?? ""] : [change.kind, "", ""];
}
