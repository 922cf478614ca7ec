/** Readings of devices nobody has mapped yet, under the policy `hold`: only the newest of each, until a row appears. */

import type { Redis } from "ioredis";
import type { Reading } from "../reading.ts";
import { keys } from "./keys.ts";
import { run, script } from "./lua.ts";
import { decodeRecord } from "./record.ts";
import type { Route, Routes } from "./routes.ts";

/** ARGV: source, device, the held record, the same 4 values per route as in keep.ts. Moves held → waiting. */
const RELEASE = script(`
local source, device = ARGV[1], ARGV[2]
local heldKey = p .. ':held:' .. source
if redis.call('HGET', heldKey, device) ~= ARGV[3] then return { 0 } end
redis.call('HDEL', heldKey, device)
redis.call('HDEL', p .. ':unmapped:' .. source, device)
local routes = (#ARGV - 3) / 4
-- One held reading may turn out to feed several destinations.
if routes > 1 then
  count(source, 'candidates', routes - 1)
  count(source, 'kept', routes - 1)
end
for i = 4, #ARGV, 4 do
  local line, destination, record = ARGV[i], ARGV[i + 2], ARGV[i + 3]
  local lane = string.match(line, '^(.-|.-)|')
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
      const record = decodeRecord(text);
      const found = routes
        .of(name, device)
        .filter((route) => route.unmapped !== "hold" && route.scope === home);
      if (record.fixTime < Date.now() - maxAgeMs) {
        await run(redis, EXPIRE, home, [name, device, text]);
      } else if (found.length > 0) {
        const { device: deviceId, ...facts } = record;
        const reading: Reading = { deviceId, ...facts };
        await run(redis, RELEASE, home, [
          name,
          device,
          text,
          ...found.flatMap((route) => args(name, route, reading)),
        ]);
        for (const route of found) arrived(`${route.lane}|${name}`, 1);
      }
    }
  }
}

function args(source: string, route: Route, reading: Reading): string[] {
  return [`${route.lane}|${source}`, "", route.destination, route.record(reading)];
}
