/** Counts everything of one scope in one atomic step: counters, what waits, is held, is in flight, and the gates. */

import type { Redis } from "ioredis";
import { run, script } from "../redis/lua.ts";

/** ARGV: number of sources, their names, then the destinations' names. Answers as JSON. */
const AUDIT = script(`
local out = { sources = {}, destinations = {}, orphans = {}, sizes = {}, lengths = {} }
local waiting, inFlight, names = {}, {}, {}
for i = 2, 1 + tonumber(ARGV[1]) do names[#names + 1] = ARGV[i] end
local function pairsOf(key)
  local flat, map = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end
local function add(map, source, n) map[source] = (map[source] or 0) + n end
local function countAll(records)
  for _, r in ipairs(records) do add(inFlight, sourceOf(r), 1) end
  return #records
end
-- What has left the lines of a lane: its batch, its pieces, and the suspects.
local function inFlightOf(lane)
  local batches, n = redis.call('LRANGE', p .. ':pieces:' .. lane, 0, -1), 0
  batches[#batches + 1] = redis.call('HGET', p .. ':lane:' .. lane, 'batch') or nil
  for _, batch in ipairs(batches) do n = n + countAll(redis.call('LRANGE', p .. ':b:' .. batch, 0, -1)) end
  return n + countAll(redis.call('LRANGE', p .. ':suspects:' .. lane, 0, -1))
end
local well = tonumber(redis.call('GET', p .. ':well')) or 0
local lanes, configured = redis.call('SMEMBERS', p .. ':lanes'), {}
for i = 2 + tonumber(ARGV[1]), #ARGV do configured[ARGV[i]] = true end
for _, lane in ipairs(lanes) do
  local owner = string.match(lane, '^(.-)|')
  if not configured[owner] then
    for _, source in ipairs(redis.call('SMEMBERS', p .. ':lines:' .. lane)) do
      local line = lane .. '|' .. source
      local n = redis.call('LLEN', p .. ':q:' .. line) + redis.call('HLEN', p .. ':live:' .. line)
        + redis.call('ZCARD', p .. ':old:' .. line)
      add(waiting, source, n)
      add(out.orphans, owner, n)
    end
    add(out.orphans, owner, inFlightOf(lane))
  end
end
for i = 2 + tonumber(ARGV[1]), #ARGV do
  local name = ARGV[i]
  local dest = { name = name, lanes = {}, facts = pairsOf(p .. ':dest:' .. name), gate = pairsOf(p .. ':gate:' .. name) }
  dest.units = redis.call('HLEN', p .. ':accepted:' .. name)
  for _, lane in ipairs(lanes) do
    local owner, number = string.match(lane, '^(.-)|(.*)$')
    if owner == name then
      local l = { lane = tonumber(number), waiting = 0, inFlight = 0 }
      for _, source in ipairs(redis.call('SMEMBERS', p .. ':lines:' .. lane)) do
        local line = lane .. '|' .. source
        local n = redis.call('LLEN', p .. ':q:' .. line) + redis.call('HLEN', p .. ':live:' .. line)
          + redis.call('ZCARD', p .. ':old:' .. line)
        add(waiting, source, n)
        l.waiting = l.waiting + n
        local unit = redis.call('LINDEX', p .. ':liveorder:' .. line, 0)
        for _, head in pairs({
          redis.call('LINDEX', p .. ':q:' .. line, 0) or nil,
          redis.call('ZRANGE', p .. ':old:' .. line, 0, 0)[1],
          unit and redis.call('HGET', p .. ':live:' .. line, unit) or nil
        }) do
          if not l.oldest or receivedAtOf(head) < l.oldest then l.oldest = receivedAtOf(head) end
        end
      end
      local batch = redis.call('HGET', p .. ':lane:' .. lane, 'batch')
      if batch then
        l.batchId = batch
        local cutAt, left = unpack(redis.call('HMGET', p .. ':bm:' .. batch, 'cutAt', 'left'))
        l.cutAt, left = tonumber(cutAt), tonumber(left)
        -- One that left later was answered: this one was forgotten, and will be sent again.
        if left and left > well then l.leftAt = left end
      end
      l.inFlight = inFlightOf(lane)
      dest.lanes[#dest.lanes + 1] = l
    end
  end
  out.destinations[#out.destinations + 1] = dest
end
for _, name in ipairs(names) do
  out.sources[#out.sources + 1] = {
    name = name, counters = pairsOf(p .. ':n:' .. name), held = redis.call('HLEN', p .. ':held:' .. name),
    waiting = waiting[name] or 0, inFlight = inFlight[name] or 0
  }
end
out.gate = pairsOf(p .. ':gate')
out.sizes = pairsOf(p .. ':sizes')
for _, stream in ipairs({ 'ledger', 'dead', 'quarantine' }) do
  local first = redis.call('XRANGE', p .. ':' .. stream, '-', '+', 'COUNT', 1)[1]
  out.lengths[stream] = { n = redis.call('XLEN', p .. ':' .. stream), first = first and first[1] or '' }
end
out.now = now
return cjson.encode(out)
`);

export interface AuditLane {
  lane: number;
  waiting: number;
  inFlight: number;
  oldest?: number;
  batchId?: string;
  cutAt?: number;
  leftAt?: number;
}

export interface SourceAudit {
  name: string;
  counters: object;
  held: number;
  waiting: number;
  inFlight: number;
}

export interface DestinationAudit {
  name: string;
  lanes: AuditLane[] | object;
  facts: object;
  gate: object;
  units: number;
}

/** Lua's empty table is JSON's empty object even where a list is meant; `listOf` and `mapOf` put that right. */
export interface Audit {
  now: number;
  sources: SourceAudit[] | object;
  destinations: DestinationAudit[] | object;
  gate: object;
  orphans: object;
  sizes: object;
  lengths: Record<"ledger" | "dead" | "quarantine", { n: number; first: string }>;
}

/** Asks Redis. Throws when it does not answer. */
export async function auditScope(
  redis: Redis,
  scope: string,
  sources: Iterable<string>,
  destinations: readonly string[],
): Promise<Audit> {
  const names = [...sources];
  const [text] = await run(redis, AUDIT, scope, [names.length, ...names, ...destinations]);
  const parsed: Audit = JSON.parse(String(text));
  return parsed;
}

export function listOf<T>(value: T[] | object): T[] {
  return Array.isArray(value) ? value : [];
}

export function mapOf(value: object): Record<string, string> {
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, String(each)]));
}

export function numberOf(text: string | undefined): number {
  return Number(text ?? 0);
}
