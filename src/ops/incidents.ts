/** Remembers what goes wrong at our own ports and who causes it, so that the ops page can show it until it ends. */

import { LRUCache } from "lru-cache";
import type { Incident, IncidentKind, IncidentState, IncidentSubject } from "../status/process.ts";
import { iso } from "../time.ts";
import { visible } from "../untrusted.ts";

export interface Incidents {
  /** Cheap and bounded: a flood calls this for every connection or message. */
  note(incident: Incident): void;
  /** The one who caused it does what it should. Hot: mostly nothing is remembered. True where something ends by it. */
  ended(subject: IncidentSubject): boolean;
  /** The incidents that last, in the order they began. */
  recent(): IncidentState[];
}

/**
 * For how long an incident that happened once counts as lasting. One that repeats itself is over sooner, when it was
 * quiet for twice as long as ever before.
 */
const LASTS_MS: Record<IncidentKind, number> = {
  foreign_device: 900_000,
  guessing: 900_000,
  connections_refused: 300_000,
  // Devices come again after a while, and a login that works ends it at once.
  device_login_refused: 900_000,
  topic_refused: 900_000,
  topic_unread: 900_000,
  subscription_refused: 900_000,
  device_cut_off: 900_000,
  share_used_up: 60_000,
};
/** Nothing is over earlier by being quiet: an operator is still looking. */
const LASTS_AT_LEAST_MS = 60_000;
/** An end counts once it was quiet for this long: some devices publish under several topics in turn. */
const SETTLES_MS: Partial<Record<IncidentKind, number>> = { topic_refused: 60_000 };
/** A pause that is longer says nothing about how often it happens. */
const LONGEST_GAP_MS = 3_600_000;
/** Kinds times sources and ports; beyond it the one that was quiet for longest is dropped. */
const MAX_INCIDENTS = 2000;
/** A page names a few and says how many there are; all of a small fleet have to be told apart, to end one by one. */
const MAX_CAUSES = 32;
/** A sender chooses its name and its topic freely, so only their beginnings are stored. */
const MAX_NAME_CHARS = 120;
const MAX_FACT_CHARS = 300;

interface Cause {
  since: number;
  last: number;
  until: number;
  count: number;
  /** Between two of them, ever. */
  longestGapMs: number;
  facts: Readonly<Record<string, string>>;
}

interface Entry {
  kind: IncidentKind;
  where: string;
  since: number;
  last: number;
  /** The latest end of its causes. */
  until: number;
  count: number;
  causes: LRUCache<string, Cause>;
}

export function createIncidents(now: () => number = Date.now): Incidents {
  const known = new LRUCache<string, Entry>({ max: MAX_INCIDENTS });

  function note({ kind, where, subject, facts = {} }: Incident): void {
    const key = keyOf({ kind, where });
    const at = now();
    const before = known.get(key);
    const causes = before?.causes ?? new LRUCache<string, Cause>({ max: MAX_CAUSES });
    const entry =
      before && before.until > at
        ? before
        : { kind, where, since: at, last: at, until: at, count: 0, causes };
    const name = nameOf(subject);
    const former = causes.get(name);
    const cause = again(former, kind, at, facts);
    causes.set(name, cause);
    entry.last = at;
    entry.count += 1;
    if (former && former.until <= at && former.since >= entry.since) entry.count -= former.count;
    entry.until = Math.max(entry.until, cause.until);
    if (entry !== before) known.set(key, entry);
  }

  function ended({ kind, where, subject }: IncidentSubject): boolean {
    if (known.size === 0) return false;
    const entry = known.peek(keyOf({ kind, where }));
    const name = nameOf(subject);
    const cause = entry?.causes.peek(name);
    if (!entry || !cause) return false;
    const at = now();
    const until = Math.max(at, cause.last + (SETTLES_MS[kind] ?? 0));
    if (cause.until <= until) return false;
    cause.until = until;
    if (until === at) {
      entry.causes.delete(name);
      entry.count -= cause.count;
    }
    entry.until = Math.max(at, ...[...entry.causes.values()].map((each) => each.until));
    return true;
  }

  return {
    note,
    ended,
    recent() {
      const at = now();
      return [...known.rvalues()]
        .filter((entry) => entry !== undefined)
        .filter(({ until }) => until > at)
        .sort((a, b) => a.since - b.since)
        .map((entry) => stateOf(entry, at));
    },
  };
}

/** The cause after it happened once more. */
function again(
  before: Cause | undefined,
  kind: IncidentKind,
  at: number,
  facts: Readonly<Record<string, string>>,
): Cause {
  const gap = before && at - before.last < LONGEST_GAP_MS ? at - before.last : 0;
  const longestGapMs = Math.max(gap, before?.longestGapMs ?? 0);
  const isOn = before !== undefined && before.until > at;
  const count = (isOn ? before.count : 0) + 1;
  const longest = LASTS_MS[kind];
  const lasts =
    count === 1 && longestGapMs === 0
      ? longest
      : Math.min(longest, Math.max(LASTS_AT_LEAST_MS, 2 * longestGapMs));
  const shown = Object.entries(facts).map(([name, text]) => [name, visible(text.slice(0, MAX_FACT_CHARS))]);
  return {
    since: isOn ? before.since : at,
    last: at,
    until: at + lasts,
    count,
    longestGapMs,
    facts: Object.fromEntries(shown),
  };
}

function stateOf({ kind, where, since, last, count, causes }: Entry, at: number): IncidentState {
  const over = [...causes.values()].filter((cause) => cause.until <= at && cause.since >= since);
  return {
    kind,
    where,
    since: iso(since),
    lastAt: iso(last),
    count: over.reduce((left, cause) => left - cause.count, count),
    subjects: [...causes.entries()]
      .filter(([, { until }]) => until > at)
      .map(([name, cause]) => ({
        name,
        since: iso(cause.since),
        lastAt: iso(cause.last),
        until: iso(cause.until),
        count: cause.count,
        facts: cause.facts,
      })),
  };
}

function keyOf({ kind, where }: Pick<Incident, "kind" | "where">): string {
  return `${kind}\0${where}`;
}

function nameOf(subject: string): string {
  return visible(subject.slice(0, MAX_NAME_CHARS));
}
