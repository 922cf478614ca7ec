/** Looks for a unit among what has not come to an end yet: waiting, in flight, or held until a mapping row names it. */

import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { run, script } from "../redis/lua.ts";
import { laneOf } from "../store/routes.ts";

/**
 * ARGV: destination, lane number, unit, how many records may be looked at per list, then the sources whose own
 * destination it is. Returns waiting, in flight, 1 if everything was looked at, the newest fix that was accepted or "",
 * then per held reading its source and fix time.
 */
const LOOK = script(`
local destination, lane, unit, most = ARGV[1], ARGV[1] .. '|' .. ARGV[2], ARGV[3], tonumber(ARGV[4])
local waiting, inFlight, everything = 0, 0, 1
local function among(records)
  local n = 0
  for _, r in ipairs(records) do
    if unitOf(r) == unit then n = n + 1 end
  end
  return n
end
local batches = redis.call('LRANGE', p .. ':pieces:' .. lane, 0, most)
batches[#batches + 1] = redis.call('HGET', p .. ':lane:' .. lane, 'batch') or nil
for _, id in ipairs(batches) do inFlight = inFlight + among(redis.call('LRANGE', p .. ':b:' .. id, 0, -1)) end
inFlight = inFlight + among(redis.call('LRANGE', p .. ':suspects:' .. lane, 0, -1))
for _, source in ipairs(redis.call('SMEMBERS', p .. ':lines:' .. lane)) do
  local line = lane .. '|' .. source
  -- The newest end of the list, and all of a unit's newest: what a dispatcher waits for is there.
  waiting = waiting + among(redis.call('LRANGE', p .. ':q:' .. line, -most, -1))
    + redis.call('HEXISTS', p .. ':live:' .. line, unit)
    + among(redis.call('ZREVRANGE', p .. ':old:' .. line, 0, most - 1))
  if math.max(redis.call('LLEN', p .. ':q:' .. line), redis.call('ZCARD', p .. ':old:' .. line)) > most then
    everything = 0
  end
end
local out = { waiting, inFlight, everything, redis.call('HGET', p .. ':accepted:' .. destination, unit) or '' }
for i = 5, #ARGV do
  local r = redis.call('HGET', p .. ':held:' .. ARGV[i], unit)
  if r then
    out[#out + 1] = ARGV[i]
    out[#out + 1] = string.format('%.0f', fixTimeOf(r))
  end
end
return out
`);

/** Per list; a few of them cost Redis a millisecond or two, and a person asks. */
const MAX_RECORDS = 2000;

/** What is known of a unit at this moment, beside what the ledger says of its past. */
export interface Whereabouts {
  waiting: number;
  inFlight: number;
  /** False: so much waits in its lane that only the newest was looked through. */
  complete: boolean;
  /** Fix time of the newest ping that ServiceTitan accepted, UTC milliseconds since 1970. */
  acceptedFixTime: number | null;
  /** By device, as an unmapped device has no unit yet. */
  held: { source: string; fixTime: number }[];
}

export async function lookFor(
  redis: Redis,
  { name, scope, lanes }: QueueDestination,
  unit: string,
  sources: readonly string[],
): Promise<Whereabouts> {
  const args = [name, laneOf(unit, lanes), unit, MAX_RECORDS, ...sources];
  const [waiting, inFlight, everything, accepted, ...held] = await run(redis, LOOK, scope, args);
  return {
    waiting: Number(waiting),
    inFlight: Number(inFlight),
    complete: everything === 1,
    acceptedFixTime: accepted === "" ? null : Number(accepted),
    held: held.flatMap((source, i) =>
      i % 2 === 0 ? [{ source: String(source), fixTime: Number(held[i + 1]) }] : [],
    ),
  };
}
