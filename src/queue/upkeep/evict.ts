/** Forgets devices and units nobody has heard of for long, so that what is remembered of each does not grow for ever. */

import type { Redis } from "ioredis";
import { run, script } from "../redis/lua.ts";

/**
 * ARGV: key without prefix, "prints" or "time" (how its values tell when the device was last heard of), cursor, most
 * fields, age after which one goes. Looks at one slice of the hash: the old ones go, and where there are too many, up to
 * the older half of the slice. That costs a device its memory, never a position: a fix of it that is sent again has the
 * same externalId. Returns the next cursor and how many are still too many.
 */
const FORGET = script(`
local key, kind, cursor = p .. ':' .. ARGV[1], ARGV[2], ARGV[3]
local most, oldest = tonumber(ARGV[4]), now - tonumber(ARGV[5])
local function lastHeard(value)
  if kind == 'time' then return tonumber(string.match(value, '^%d+')) or 0 end
  -- Only the low 32 bits of the time, 49 days, are there. A fix may be ahead of us, but not by a day.
  local age = (now - struct.unpack('>I4', value, #value - 4)) % 4294967296
  if age > 4294967296 - 86400000 then return now end
  return now - age
end
local scan = redis.call('HSCAN', key, cursor, 'COUNT', 1000)
local gone, rest = {}, {}
for i = 1, #scan[2], 2 do
  local heard = lastHeard(scan[2][i + 1])
  if heard < oldest then gone[#gone + 1] = scan[2][i] else rest[#rest + 1] = { heard, scan[2][i] } end
end
local surplus = redis.call('HLEN', key) - #gone - most
if surplus > 0 then
  table.sort(rest, function(a, b) return a[1] < b[1] end)
  for i = 1, math.min(surplus, math.ceil(#rest / 2)) do
    gone[#gone + 1] = rest[i][2]
    surplus = surplus - 1
  end
end
pushAll('HDEL', key, gone)
return { scan[1], math.max(0, surplus) }
`);

export interface ForgetOptions {
  redis: Redis;
  sources: Iterable<{ name: string; home: string }>;
  destinations: Iterable<{ name: string; scope: string }>;
  /** Fields of a hash that stay; for tests. */
  most?: number;
  failed(error: unknown): void;
}

interface Memory {
  scope: string;
  key: string;
  kind: "prints" | "time";
  most: number;
}

const EVERY_MS = 1000;
/** A vehicle that comes back from a season in the yard is a new one; the fingerprints' clock goes round after 49 days. */
const MAX_AGE_MS = 30 * 86_400_000;
/** Beyond any fleet behind one source; fingerprints of so many take 60 MB. */
const MOST_DEVICES = 200_000;
/** Nobody reads a longer list of devices to be mapped. */
const MOST_UNMAPPED = 50_000;
/** Hashes looked at in one tick; where there are more than 1,200, as many as a round of one minute takes. */
const LOOKED_AT_ONCE = 20;
/** A proven sender may make devices up: 40 slices lose 20,000 of them, more than a source sends in a second. */
const MAX_SLICES = 40;

export function startForgetting({ redis, sources, destinations, most, failed }: ForgetOptions): {
  stop(): void;
} {
  const everySource = [...sources];
  const everyDestination = [...destinations];
  const scopes = new Set(everyDestination.map(({ scope }) => scope));
  const cursors = new Map<string, string>();
  /** What is left of this round, and how much of it belongs to one tick. */
  const round: Memory[] = [];
  let perTick = 0;
  let stopped = false;
  let timer = setTimeout(() => void tick(), EVERY_MS);

  async function tick(): Promise<void> {
    try {
      if (round.length === 0) {
        for (const scope of scopes) round.push(...(await memoriesOf(scope)));
        perTick = Math.max(LOOKED_AT_ONCE, Math.ceil(round.length / 60));
      }
      for (const memory of round.splice(0, perTick)) await look(memory);
    } catch (error) {
      if (!stopped) failed(error);
    }
    if (!stopped) timer = setTimeout(() => void tick(), EVERY_MS);
  }

  async function memoriesOf(scope: string): Promise<Memory[]> {
    const atHome = everySource.filter(({ home }) => home === scope).map(({ name }) => name);
    const lanes = await redis.smembers(`${scope}:lanes`);
    // A mapping leads sources of other scopes here.
    const guests = lanes.length > 0 ? await redis.sunion(lanes.map((lane) => `${scope}:lines:${lane}`)) : [];
    const memory = (key: string, kind: Memory["kind"], bound: number) => ({
      scope,
      key,
      kind,
      most: most ?? bound,
    });
    return [
      ...everyDestination
        .filter((destination) => destination.scope === scope)
        .map(({ name }) => memory(`accepted:${name}`, "time", MOST_DEVICES)),
      ...atHome.map((name) => memory(`unmapped:${name}`, "time", MOST_UNMAPPED)),
      ...[...new Set([...atHome, ...guests])].flatMap((name) => [
        memory(`fp:${name}`, "prints", MOST_DEVICES),
        memory(`last:${name}`, "time", MOST_DEVICES),
      ]),
    ];
  }

  async function look({ scope, key, kind, most: bound }: Memory): Promise<void> {
    const where = `${scope}:${key}`;
    for (let slice = 0; slice < MAX_SLICES && !stopped; slice++) {
      const args = [key, kind, cursors.get(where) ?? "0", bound, MAX_AGE_MS];
      const [cursor, surplus] = await run(redis, FORGET, scope, args);
      cursors.set(where, String(cursor));
      if (Number(surplus) === 0) return;
    }
  }

  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
