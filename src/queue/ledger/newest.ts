/** Lists quarantined messages and dead letters, the newest first and page by page. */

import type { Redis } from "ioredis";
import { type QueueDestination, scopesOf } from "../redis/destination.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { type DeadLetter, decodeDeadLetter } from "./dead-letters.ts";
import { decodeQuarantined, type QuarantinedMessage } from "./quarantine.ts";
import { fits, type RedriveFilter } from "./redrive.ts";

/** Where one page ended. */
export interface StreamPlace {
  /** Of the entry, as Redis named it. */
  id: string;
  scope: string;
}

export interface NewestQuery {
  filter: RedriveFilter;
  /** Only what comes after it in the list. */
  after?: StreamPlace | undefined;
  limit: number;
}

export type Placed<T> = T & { scope: string };

export type Newest = ReturnType<typeof createNewest>;

export function createNewest({
  redis,
  destinations,
}: {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
}) {
  /** Of the scopes of these destinations, if any are given: others hold nothing of them. */
  function scopesWithin(names: ReadonlySet<string> | undefined): string[] {
    const shown = [...destinations].filter(([name]) => names?.has(name) !== false);
    return scopesOf(new Map(shown));
  }

  async function deadLetters(query: NewestQuery): Promise<Placed<DeadLetter>[]> {
    const { within } = query.filter;
    return listed(query, "deadLetters", decodeDeadLetter, (letter) =>
      within?.destinations.has(letter.destination),
    );
  }

  async function quarantined(query: NewestQuery): Promise<Placed<QuarantinedMessage>[]> {
    const { within } = query.filter;
    return listed(query, "quarantine", decodeQuarantined, (message) => within?.sources.has(message.source));
  }

  async function listed<T extends Parameters<typeof fits>[0] & { id: string }>(
    query: NewestQuery,
    stream: "deadLetters" | "quarantine",
    decode: (id: Buffer, fields: Buffer[]) => T,
    isWithin: (entry: T) => boolean | undefined,
  ): Promise<Placed<T>[]> {
    const { filter, limit } = query;
    const lists = await Promise.all(
      scopesWithin(filter.within?.destinations).map(async (scope) => {
        const found: Placed<T>[] = [];
        for await (const [id, fields] of newestFirst(keyOf(scope, SCOPE_KEYS[stream]), scope, query)) {
          const entry = decode(id, fields);
          if (isWithin(entry) !== false && fits(entry, filter)) found.push({ ...entry, scope });
          if (found.length >= limit) break;
        }
        return found;
      }),
    );
    return lists
      .flat()
      .sort((a, b) => compareIds(b.id, a.id) || (a.scope < b.scope ? -1 : 1))
      .slice(0, limit);
  }

  async function* newestFirst(
    key: string,
    scope: string,
    { filter: { from, to }, after, limit }: NewestQuery,
  ): AsyncGenerator<[Buffer, Buffer[]]> {
    const start = from === undefined ? "-" : String(from);
    let end = to === undefined ? "+" : String(to);
    // Of two scopes with the same id the one that sorts first was listed first.
    if (after !== undefined) end = scope > after.scope ? after.id : `(${after.id}`;
    for (;;) {
      const page = await redis.xrevrangeBuffer(key, end, start, "COUNT", limit);
      yield* page;
      const last = page.at(-1);
      if (page.length < limit || !last) return;
      end = `(${last[0].toString()}`;
    }
  }

  return { deadLetters, quarantined };
}

/** Ids are two numbers: milliseconds and a sequence. */
function compareIds(a: string, b: string): number {
  const [aMs = 0, aSequence = 0] = a.split("-").map(Number);
  const [bMs = 0, bSequence = 0] = b.split("-").map(Number);
  return aMs - bMs || aSequence - bSequence;
}
