/** Counts every scope, but only those that have changed since they were last counted: an idle tenant costs next to nothing. */

import type { Redis } from "ioredis";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { countScope, listOf, type ScopeCount, type SourceCount } from "./count.ts";
import { nextPulse, type Pulse } from "./pulse.ts";

/** A scope as last counted. The object is another one only where the scope was counted again. */
export interface CountedScope {
  scope: string;
  count: ScopeCount;
  /** By source. */
  pulses: ReadonlyMap<string, Pulse>;
}

export interface ScopeMembers {
  /** Those at home there: the script adds those that the mapping leads there. */
  sources: readonly string[];
  destinations: readonly string[];
}

export interface ScopeCounts {
  /** Throws when Redis does not answer. Questions asked at the same time share one answer. */
  read(): Promise<readonly CountedScope[]>;
}

/** A scope is counted again after this time in any case, so that a forgotten mark can mislead nobody for long, */
const COUNT_AGAIN_MS = 30_000;
/** but at one question no more of them than this: counting a scope takes Redis about 0.15 ms. */
const COUNTED_AGAIN_AT_ONCE = 50;
/** Redis serves no other client while it answers one command. */
const KEYS_PER_COMMAND = 250;

const NO_MEMBERS: ScopeMembers = { sources: [], destinations: [] };

function sameMembers(one: ScopeMembers, other: ScopeMembers): boolean {
  const areSame = (names: readonly string[], others: readonly string[]) =>
    names.length === others.length && names.every((name, i) => name === others[i]);
  return areSame(one.sources, other.sources) && areSame(one.destinations, other.destinations);
}

interface Known extends CountedScope {
  members: ScopeMembers;
  mark: string | null;
  countedAt: number;
}

/** `membersNow`: of each scope that is configured now. */
export function createScopeCounts(
  redis: Redis,
  membersNow: () => ReadonlyMap<string, ScopeMembers>,
): ScopeCounts {
  const known = new Map<string, Known>();
  let underWay: Promise<readonly CountedScope[]> | null = null;

  async function read(): Promise<readonly CountedScope[]> {
    const scopes = membersNow();
    const names = [...scopes.keys()];
    for (const name of known.keys()) if (!scopes.has(name)) known.delete(name);
    // Read before the scopes are counted: what changes meanwhile is counted again the next time.
    const marks = await marksOf(names);
    const at = performance.now();
    const old = new Set(oldest(at));
    await Promise.all(
      names.map(async (scope, i) => {
        const before = known.get(scope);
        const mark = marks[i] ?? null;
        const members = scopes.get(scope) ?? NO_MEMBERS;
        const isSame = before?.mark === mark && sameMembers(before.members, members);
        if (isSame && !old.has(scope)) return;
        known.set(scope, { ...(await countAgain(scope, members, before)), members, mark, countedAt: at });
      }),
    );
    return names.flatMap((scope) => known.get(scope) ?? []);
  }

  function oldest(at: number): string[] {
    return [...known.values()]
      .filter(({ countedAt }) => at - countedAt > COUNT_AGAIN_MS)
      .sort((a, b) => a.countedAt - b.countedAt)
      .slice(0, COUNTED_AGAIN_AT_ONCE)
      .map(({ scope }) => scope);
  }

  async function marksOf(names: readonly string[]): Promise<(string | null)[]> {
    const slices = Array.from({ length: Math.ceil(names.length / KEYS_PER_COMMAND) }, (_, i) =>
      names.slice(i * KEYS_PER_COMMAND, (i + 1) * KEYS_PER_COMMAND),
    );
    const read = slices.map((slice) => redis.mget(slice.map((scope) => keyOf(scope, SCOPE_KEYS.changed))));
    return (await Promise.all(read)).flat();
  }

  async function countAgain(
    scope: string,
    members: ScopeMembers,
    before: Known | undefined,
  ): Promise<CountedScope> {
    const minutes: Record<string, number> = {};
    for (const [source, { open }] of before?.pulses ?? []) if (open) minutes[source] = open.minute;
    const count = await countScope(redis, scope, members, minutes);
    const counted = listOf<SourceCount>(count.sources);
    const pulses = new Map(
      counted.map((each): [string, Pulse] => [each.name, nextPulse(before?.pulses.get(each.name), each)]),
    );
    return { scope, count, pulses };
  }

  return {
    read() {
      underWay ??= read().finally(() => {
        underWay = null;
      });
      return underWay;
    },
  };
}
