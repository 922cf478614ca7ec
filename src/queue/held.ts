/** Readings of devices nobody has mapped yet, under the policy `hold`: only the newest of each, until a row appears. */

import type { Redis } from "ioredis";
import { keys } from "./keys.ts";
import { run, script } from "./lua.ts";
import { decodeRecord } from "./record.ts";
import type { Routes } from "./routes.ts";

/** ARGV: source, device, the held record, then line and record per route. Moves held → waiting. */
const RELEASE = script(`
local source, device = ARGV[1], ARGV[2]
local heldKey = p .. ':held:' .. source
if redis.call('HGET', heldKey, device) ~= ARGV[3] then return { 0 } end
redis.call('HDEL', heldKey, device)
redis.call('HDEL', p .. ':unmapped:' .. source, device)
local routes = (#ARGV - 3) / 2
-- One held reading may turn out to feed several destinations.
if routes > 1 then
  count(source, 'candidates', routes - 1)
  count(source, 'kept', routes - 1)
end
for i = 4, #ARGV, 2 do
  local line, record = ARGV[i], ARGV[i + 1]
  local lane, destination = string.match(line, '^((.-)|.-)|')
  redis.call('RPUSH', p .. ':q:' .. line, record)
  redis.call('SADD', p .. ':lanes', lane)
  redis.call('SADD', p .. ':lines:' .. lane, source)
  redis.call('HINCRBY', p .. ':dest:' .. destination, 'bytes', #record)
end
writeCounts()
return { routes }
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
  /** Sources with the policy `hold`. */
  sources: readonly { name: string; home: string; maxAgeMs: number }[];
  routes: Routes;
  arrived(line: string, length: number): void;
}

/**
 * Releases what has a mapping row by now and lets go what is too old. A row may lead to another scope, which lies in
 * another Redis slot: such a reading is released within its home scope only and is dropped from holding by its age.
 */
export async function reviewHeld({ redis, sources, routes, arrived }: HeldOptions): Promise<void> {
  for (const { name, home, maxAgeMs } of sources) {
    const held = await redis.hgetall(keys.held(home, name));
    for (const [device, text] of Object.entries(held)) {
      const { reading } = decodeRecord(text);
      const found = routes
        .of(name, device)
        .filter((route) => route.unmapped !== "hold" && route.scope === home);
      if (reading.fixTime < Date.now() - maxAgeMs) {
        await run(redis, EXPIRE, home, [name, device, text]);
      } else if (found.length > 0) {
        await run(redis, RELEASE, home, [
          name,
          device,
          text,
          ...found.flatMap(({ line, record: encode }) => [line, encode(reading)]),
        ]);
        for (const { line } of found) arrived(line, 1);
      }
    }
  }
}
