/** Readings of devices nobody has mapped yet, under the policy `hold`: only the newest of each, until a row appears. */

import type { Redis } from "ioredis";
import { redisNow } from "../redis/clock.ts";
import { keys } from "../redis/keys.ts";
import { run, script } from "../redis/lua.ts";
import { decodeRecord } from "../redis/record.ts";
import type { Routes } from "./routes.ts";

const ENQUEUE = `
local function enqueue(source, first)
  for i = first, #ARGV, 2 do
    local line, record = ARGV[i], ARGV[i + 1]
    local lane, destination = string.match(line, '^((.-)|.-)|')
    redis.call('RPUSH', p .. ':q:' .. line, record)
    redis.call('SADD', p .. ':lanes', lane)
    redis.call('SADD', p .. ':lines:' .. lane, source)
    redis.call('HINCRBY', p .. ':dest:' .. destination, 'bytes', #record)
  end
end
local function recount(source, n)
  if n ~= 0 then
    count(source, 'readings', n)
    count(source, 'stored', n)
  end
end
`;

/** ARGV: source, device, the held record, then line and record per route in the reading's home scope. Held → waiting. */
const RELEASE = script(`${ENQUEUE}
local source, device = ARGV[1], ARGV[2]
local heldKey = p .. ':held:' .. source
if redis.call('HGET', heldKey, device) ~= ARGV[3] then return { 0 } end
redis.call('HDEL', heldKey, device)
redis.call('HDEL', p .. ':unmapped:' .. source, device)
-- It was counted once; it may turn out to feed several destinations here, or none because all are elsewhere.
recount(source, (#ARGV - 3) / 2 - 1)
enqueue(source, 4)
writeCounts()
return { 1 }
`);

/**
 * ARGV: source, device, fixTime, the mark's lifetime in ms, then line and record per route in this scope. What comes
 * from another scope is counted here before it is uncounted there, so that no crash in between can lose it; the mark
 * keeps a second attempt, or another process, from bringing it twice.
 */
const BRING = script(`${ENQUEUE}
local mark = p .. ':moved:' .. ARGV[1] .. ':' .. ARGV[3] .. ':' .. ARGV[2]
if not redis.call('SET', mark, 1, 'NX', 'PX', ARGV[4]) then return { 0 } end
recount(ARGV[1], (#ARGV - 4) / 2)
enqueue(ARGV[1], 5)
writeCounts()
return { 1 }
`);

/** ARGV: source, device, the held record. */
const EXPIRE = script(`
local heldKey = p .. ':held:' .. ARGV[1]
if redis.call('HGET', heldKey, ARGV[2]) ~= ARGV[3] then return { 0 } end
redis.call('HDEL', heldKey, ARGV[2])
count(ARGV[1], 'expired', 1)
writeCounts()
return { 1 }
`);

export interface HeldOptions {
  redis: Redis;
  /** Every source: one whose policy is no longer `hold` may have left something behind. */
  sources: readonly { name: string; home: string; maxAgeMs: number }[];
  routes: Routes;
  arrived(line: string, length: number): void;
}

/** Far longer than a process takes to come back after a crash between bringing and releasing. */
const MARK_MS = 600_000;

/** Releases what has a mapping row by now, into whatever scope the row leads, and lets go what is too old. */
export async function reviewHeld({ redis, sources, routes, arrived }: HeldOptions): Promise<void> {
  for (const { name, home, maxAgeMs } of sources) {
    const held = await redis.hgetall(keys.held(home, name));
    // Its clock, as everywhere: ours may be wrong, and what is let go cannot be had back.
    const now = await redisNow(redis);
    for (const [device, text] of Object.entries(held)) {
      const { reading } = decodeRecord(text);
      const found = routes.of(name, device).filter((route) => route.unmapped !== "hold");
      if (reading.fixTime < now - maxAgeMs) {
        await run(redis, EXPIRE, home, [name, device, text]);
      } else if (found.length > 0) {
        const argsIn = (scope: string) =>
          found
            .filter((route) => route.scope === scope)
            .flatMap(({ line, record }) => [line, record(reading)]);
        for (const scope of new Set(found.map((route) => route.scope))) {
          if (scope === home) continue;
          await run(redis, BRING, scope, [name, device, reading.fixTime, MARK_MS, ...argsIn(scope)]);
        }
        await run(redis, RELEASE, home, [name, device, text, ...argsIn(home)]);
        for (const { line } of found) arrived(line, 1);
      }
    }
  }
}
