/** Finds dead letters and quarantined messages by what an operator knows of them, and redrives them. */

import type { Redis } from "ioredis";
import { redisNow } from "../redis/clock.ts";
import { type QueueDestination, scopesOf } from "../redis/destination.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";
import { type DeadLetter, decodeDeadLetter } from "./dead-letters.ts";
import { decodeQuarantined, type QuarantinedMessage } from "./quarantine.ts";

const REVIVE = loadScript("dead-letter-revive");
const RELEASE = loadScript("quarantine-release");

/** Everything given has to fit; nothing given fits everything. */
export interface RedriveFilter {
  source?: string | undefined;
  destination?: string | undefined;
  unit?: string | undefined;
  reason?: string | undefined;
  /** When it was set aside, UTC milliseconds since 1970, both ends included. */
  from?: number | undefined;
  to?: number | undefined;
  /** Nothing else is shown: dead letters of these destinations, messages of these sources. */
  within?: { destinations: ReadonlySet<string>; sources: ReadonlySet<string> } | undefined;
}

/** What becomes of a dead letter that is redriven; `gone`: it is no longer there, or its destination is not configured. */
export type Revival = "waiting" | "expired" | "superseded" | "gone";

export interface RedriveOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  /** Which backlog (`destination|lane|source`) a unit's pings wait in. */
  backlogOf(destination: string, unit: string, source: string): string;
  /** Where a device's readings lead today. */
  routesOf(source: string, device: string): readonly { destination: string; unit: string }[];
  arrived(backlog: string, length: number): void;
}

export type Redrive = ReturnType<typeof createRedrive>;

/** Entries read at a time: a stream may hold hundreds of thousands. */
const PAGE = 500;

export function createRedrive({ redis, destinations, backlogOf, routesOf, arrived }: RedriveOptions) {
  async function* deadLetters(filter: RedriveFilter): AsyncGenerator<{ scope: string; letter: DeadLetter }> {
    for (const scope of scopesOf(destinations)) {
      for await (const [id, fields] of entries(keyOf(scope, SCOPE_KEYS.deadLetters), filter)) {
        const letter = decodeDeadLetter(id, fields);
        if (filter.within?.destinations.has(letter.destination) === false) continue;
        if (fits(letter, filter)) yield { scope, letter };
      }
    }
  }

  /** Not by unit and destination: these messages could not be decoded, and only decoding them now may show either. */
  async function* quarantined(
    filter: Omit<RedriveFilter, "unit" | "destination">,
  ): AsyncGenerator<{ scope: string; entry: QuarantinedMessage }> {
    for (const scope of scopesOf(destinations)) {
      for await (const [id, fields] of entries(keyOf(scope, SCOPE_KEYS.quarantine), filter)) {
        const entry = decodeQuarantined(id, fields);
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
    const backlog = backlogOf(destination, unit, source);
    const { maxAgeMs, backfill } = settings;
    const args = { id, backlog, maxAgeMs, backfill, dryRun: mode === "dry_run" };
    const [answer] = await runScript(redis, REVIVE, [scope], [namedArgs(args)]);
    if (answer !== "waiting") return answer === "expired" || answer === "superseded" ? answer : "gone";
    if (mode === "do") arrived(backlog, 1);
    return answer;
  }

  async function release(scope: string, id: string): Promise<void> {
    await runScript(redis, RELEASE, [scope], [id]);
  }

  return { deadLetters, quarantined, routesOf, revive, release };
}

/** Whether everything that the filter names is so. */
export function fits(
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
