/** Finds dead letters and quarantined messages by what an operator knows of them, and sends them on their way again. */

import type { Redis } from "ioredis";
import { externalIdOf } from "../../servicetitan/ping.ts";
import { redisNow } from "../redis/clock.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { keys } from "../redis/keys.ts";
import { run, script } from "../redis/lua.ts";
import { decodeRecord } from "../redis/record.ts";
import { type QuarantinedMessage, toQuarantined } from "./quarantine.ts";
import { SHARES } from "./quarantine-shares.ts";

/** Everything given has to fit; nothing given fits everything. */
export interface RedriveFilter {
  source?: string | undefined;
  destination?: string | undefined;
  unit?: string | undefined;
  reason?: string | undefined;
  /** When it was set aside, UTC milliseconds since 1970, both ends included. */
  from?: number | undefined;
  to?: number | undefined;
  /** Nothing else is to be seen: dead letters of these destinations, messages of these sources. */
  within?: { destinations: ReadonlySet<string>; sources: ReadonlySet<string> } | undefined;
}

export interface DeadLetter {
  id: string;
  /** UTC milliseconds since 1970: when it was given up. */
  at: number;
  destination: string;
  source: string;
  unit: string;
  externalId: string;
  fixTime: number;
  reason: string;
  message: string;
}

/**
 * ARGV: entry id, lane, line, maxAgeMs or "", backfill, "dry_run" or "do". The letter leaves the stream and waits again,
 * or goes for the reason for which it would go on its way, in one step; a dry run only says which.
 */
const REVIVE = script(`
local id, lane, line, backfill = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
local entry = redis.call('XRANGE', p .. ':dead', id, id)[1]
if not entry then return { 'gone' } end
local field = {}
for i = 1, #entry[2], 2 do field[entry[2][i]] = entry[2][i + 1] end
local r = field.record
local maxAge, answer = tonumber(ARGV[4]), 'waiting'
if maxAge and fixTimeOf(r) < now - maxAge then answer = 'expired'
elseif backfill == 'drop' then
  local newest = tonumber(redis.call('HGET', p .. ':accepted:' .. field.destination, unitOf(r)))
  if isOvertaken(r, newest) then answer = 'superseded' end
end
if ARGV[6] == 'dry_run' then return { answer } end
redis.call('XDEL', p .. ':dead', id)
redis.call('HINCRBY', p .. ':sizes', 'dead', -(tonumber(field.n) or 0))
local source = sourceOf(r)
count(source, 'deadLettered', -1)
count(source, 'redrivenPings', 1)
redis.call('HINCRBY', p .. ':dest:' .. field.destination, 'deadLetters', -1)
if answer ~= 'waiting' then count(source, answer, 1)
else
  redis.call('RPUSH', p .. ':q:' .. line, r)
  redis.call('SADD', p .. ':lanes', lane)
  redis.call('SADD', p .. ':lines:' .. lane, source)
  redis.call('HINCRBY', p .. ':dest:' .. field.destination, 'bytes', #r)
end
writeCounts()
return { answer }
`);

/** What becomes of a dead letter that is redriven; `gone`: it is no longer there, or its destination is not configured. */
export type Revival = "waiting" | "expired" | "superseded" | "gone";

/** ARGV: entry id. The message is counted anew when it is taken in again, so its old count goes with it. */
const RELEASE = script(`${SHARES}
local entry = redis.call('XRANGE', p .. ':quarantine', ARGV[1], ARGV[1])[1]
if not entry then return { 0 } end
local field = {}
for i = 1, #entry[2], 2 do field[entry[2][i]] = entry[2][i + 1] end
takeOut(entry)
count(field.source, 'messages', -1)
count(field.source, 'malformed', -1)
count(field.source, 'malformed:' .. field.reason, -1)
count(field.source, 'redrivenMessages', 1)
writeCounts()
return { 1 }
`);

export interface RedriveOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  /** Which line (`destination|lane|source`) a unit's pings wait in. */
  lineOf(destination: string, unit: string, source: string): string;
  /** Where a device's readings lead today. */
  routesOf(source: string, device: string): readonly { destination: string; unit: string }[];
  arrived(line: string, length: number): void;
}

export type Redrive = ReturnType<typeof createRedrive>;

/** Entries read at a time: a stream may hold hundreds of thousands. */
const PAGE = 500;

export function createRedrive({ redis, destinations, lineOf, routesOf, arrived }: RedriveOptions) {
  const scopes = [...new Set([...destinations.values()].map(({ scope }) => scope))];

  async function* deadLetters(filter: RedriveFilter): AsyncGenerator<{ scope: string; letter: DeadLetter }> {
    for (const scope of scopes) {
      for await (const [id, fields] of entries(keys.deadLetters(scope), filter)) {
        const letter = toLetter(id, fields.map(String));
        if (filter.within?.destinations.has(letter.destination) === false) continue;
        if (fits(letter, filter)) yield { scope, letter };
      }
    }
  }

  /** Not by unit and destination: what is in there could not be read, and only today's decoding may tell. */
  async function* quarantined(
    filter: Omit<RedriveFilter, "unit" | "destination">,
  ): AsyncGenerator<{ scope: string; entry: QuarantinedMessage }> {
    for (const scope of scopes) {
      for await (const [id, fields] of entries(keys.quarantine(scope), filter)) {
        const entry = toQuarantined(id, fields);
        if (filter.within?.sources.has(entry.source) === false) continue;
        if (fits(entry, filter)) yield { scope, entry };
      }
    }
  }

  /** The oldest first; what is added meanwhile is not among them. */
  async function* entries(key: string, { from, to }: RedriveFilter): AsyncGenerator<[Buffer, Buffer[]]> {
    // Redis's clock names the entries.
    const end = to ?? (await redisNow(redis));
    let start = from === undefined ? "-" : String(from);
    for (;;) {
      const page = await redis.xrangeBuffer(key, start, String(end), "COUNT", PAGE);
      yield* page;
      const last = page.at(-1);
      if (page.length < PAGE || !last) return;
      start = `(${last[0].toString()}`;
    }
  }

  async function revive(
    scope: string,
    { id, destination, unit, source }: DeadLetter,
    mode: "dry_run" | "do",
  ): Promise<Revival> {
    const settings = destinations.get(destination);
    if (!settings) return "gone";
    const line = lineOf(destination, unit, source);
    const lane = line.split("|").slice(0, 2).join("|");
    const maxAge = Number.isFinite(settings.maxAgeMs) ? settings.maxAgeMs : "";
    const args = [id, lane, line, maxAge, settings.backfill, mode];
    const [answer] = await run(redis, REVIVE, scope, args);
    if (answer !== "waiting") return answer === "expired" || answer === "superseded" ? answer : "gone";
    if (mode === "do") arrived(line, 1);
    return answer;
  }

  async function release(scope: string, id: string): Promise<void> {
    await run(redis, RELEASE, scope, [id]);
  }

  return { deadLetters, quarantined, routesOf, revive, release };
}

function toLetter(entryId: Buffer, fields: readonly string[]): DeadLetter {
  const field = (name: string) =>
    fields[fields.findIndex((each, i) => i % 2 === 0 && each === name) + 1] ?? "";
  const id = entryId.toString();
  const { source, unit, reading } = decodeRecord(field("record"));
  return {
    id,
    at: Number(id.split("-")[0]),
    destination: field("destination"),
    source,
    unit: unit.unitId,
    externalId: externalIdOf(source, reading.deviceId, reading.fixTime),
    fixTime: reading.fixTime,
    reason: field("reason"),
    message: field("message"),
  };
}

function fits(
  found: { source: string; reason: string; destination?: string; unit?: string },
  { source, destination, unit, reason }: RedriveFilter,
): boolean {
  return (
    (source === undefined || found.source === source) &&
    (reason === undefined || found.reason === reason) &&
    (destination === undefined || found.destination === destination) &&
    (unit === undefined || found.unit === unit)
  );
}
