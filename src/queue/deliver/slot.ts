/** Asks leave for one POST: fences out whoever held the batch before, asks the gates, and takes a throttle slot. */

import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { run, script } from "../redis/lua.ts";

/** ARGV: destination, lane number, batch id, token, ratePerSecond, windowMs, horizonMs, probeMs. */
const ATTEMPT = script(`
local destination, lane, id, token = ARGV[1], ARGV[1] .. '|' .. ARGV[2], ARGV[3], ARGV[4]
local rate, windowMs, horizonMs, probeMs = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
if redis.call('HGET', p .. ':lane:' .. lane, 'batch') ~= id or redis.call('EXISTS', p .. ':b:' .. id) == 0 then
  return { 'gone' }
end
redis.call('HSET', p .. ':bm:' .. id, 'token', token)
redis.call('HSET', p .. ':lane:' .. lane, 'beat', now)
local past = redis.call('HMGET', p .. ':bm:' .. id, 'asked', 'serverErrors', 'root')
local function answer(kind, wait) return { kind, wait, past[1] or '0', past[2] or '0', past[3] or '' } end
-- No token, no request: the batch is claimed so that it can be settled.
if horizonMs == 0 then return answer('closed', 0) end
local scopeGate, gate = p .. ':gate', p .. ':gate:' .. destination
-- Look at both before taking either: a probe of the one must not be taken while the other is shut.
if maySend(scopeGate, lane, nil) > 0 or maySend(gate, lane, nil) > 0 then return answer('closed', 0) end
local wait, slot = takeSlot(math.min(rateOf(scopeGate, rate), rateOf(gate, rate)), rate, windowMs, horizonMs)
if slot then
  maySend(scopeGate, lane, probeMs)
  maySend(gate, lane, probeMs)
  -- Which answer was the last to confirm a ping by then: whether the destination was well is told by it (settle.ts).
  redis.call('HSET', p .. ':bm:' .. id, 'left', slot,
    'seen', redis.call('HGET', p .. ':dest:' .. destination, 'confirmedLeft') or 0)
  local state, reason, fails = unpack(redis.call('HMGET', scopeGate, 'state', 'reason', 'fails'))
  local out = answer('send', wait)
  out[#out + 1] = slot
  out[#out + 1] = state == 'probing' and reason == 'timeout' and (tonumber(fails) or 0) % 16 > 0 and 1 or 0
  return out
end
return { 'wait', wait }
`);

/** ARGV: the slot, how late it was used in whole ms. */
const USED_LATE = script(`
moveSlot(tonumber(ARGV[1]), tonumber(ARGV[1]) + tonumber(ARGV[2]))
return {}
`);

/** Slots are given at most this far ahead: longer, and a pause or a newer ping could come between. */
const HORIZON_MS = 250;

/**
 * After this long without an answer to a probe another lane may probe: so an outage in which requests hang is not found
 * over only when one of them times out. After a timeout a probe itself gets no longer either, or every lane would hang in
 * one; but each sixteenth gets the full time, for a ServiceTitan that has become slow.
 */
const PROBE_MS = 4000;

/** What happened to a batch before; all zero for one that was just cut. */
export interface BatchPast {
  /** It has been sent before and ServiceTitan did not say what became of these pings. */
  asked: boolean;
  /** How often in a row it was answered 500. */
  serverErrors: number;
  /** It is a piece of a refused batch: how many requests the destination had accepted when that was refused. */
  root: string | null;
}

export type Leave =
  /** Send in `waitMs` and not before; later than the destination's `slotSlackMs` only if `slotUsedLate` is told. */
  | { kind: "send"; waitMs: number; past: BatchPast; slot: number; timeoutMs: number }
  /** No slot soon: ask again after `waitMs`. */
  | { kind: "wait"; waitMs: number }
  /** A gate is shut: the batch goes back to the buffer. */
  | { kind: "closed"; past: BatchPast }
  /** Somebody else has settled the batch. */
  | { kind: "gone" };

/** What is asked: leave to send, or only to hold the batch in order to settle it without having sent it. */
export type LeaveFor = "sending" | "settling";

/** Throws when Redis does not answer. */
export async function askLeave(
  redis: Redis,
  destination: QueueDestination,
  batch: { id: string; lane: number },
  token: string,
  purpose: LeaveFor,
): Promise<Leave> {
  const [kind, waitMs, asked, serverErrors, root, slot, isShort] = await run(
    redis,
    ATTEMPT,
    destination.scope,
    [
      destination.name,
      batch.lane,
      batch.id,
      token,
      destination.ratePerSecond,
      destination.windowMs,
      purpose === "sending" ? HORIZON_MS : 0,
      PROBE_MS,
    ],
  );
  const past = {
    asked: asked === "1",
    serverErrors: Number(serverErrors),
    root: root === "" ? null : String(root),
  };
  switch (kind) {
    case "send":
      return {
        kind,
        waitMs: Number(waitMs),
        past,
        slot: Number(slot),
        timeoutMs: Math.min(
          destination.target.requestTimeoutMs,
          Number(isShort) === 1 ? PROBE_MS : Number.POSITIVE_INFINITY,
        ),
      };
    case "wait":
      return { kind, waitMs: Number(waitMs) };
    case "closed":
      return { kind, past };
    case "gone":
      return { kind };
    default:
      throw new Error(`Unexpected answer of the attempt script: ${String(kind)}`);
  }
}

/**
 * A request that was late gets company it did not reckon with: the slots after it lie closer than the window. Told
 * when it left, the throttle keeps the next ones away. Slots are given at most HORIZON_MS ahead, so there is time to.
 */
export async function slotUsedLate(
  redis: Redis,
  { scope }: QueueDestination,
  slot: number,
  lateMs: number,
): Promise<void> {
  await run(redis, USED_LATE, scope, [slot, Math.ceil(lateMs)]);
}
