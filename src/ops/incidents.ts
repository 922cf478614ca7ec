/** Remembers what goes wrong at our own doors, so that the ops page can name it while it lasts. */

import type { Incident, IncidentState } from "../status.ts";
import { iso } from "../time.ts";

export interface Incidents {
  /** Cheap and bounded: a flood calls it for every connection or message. */
  note(incident: Incident): void;
  /** What happened within the last hour, in the order it began. */
  recent(): IncidentState[];
}

/** An incident that was quiet for this long has ended; the next one of its kind begins anew. */
const ENDS_AFTER_MS = 3_600_000;
/** Kinds times sources and doors; above it the one that was quiet for longest is forgotten. */
const MAX_INCIDENTS = 2000;
/** Nobody reads more names than this in one problem. */
const MAX_SUBJECTS = 8;
/** What a sender calls itself is not stored at length. */
const MAX_SUBJECT_CHARS = 120;

export function createIncidents(now: () => number = Date.now): Incidents {
  const known = new Map<
    string,
    { incident: Incident; since: number; last: number; count: number; subjects: Set<string> }
  >();

  function note(incident: Incident): void {
    const key = `${incident.kind}\0${incident.where}`;
    const at = now();
    const before = known.get(key);
    const entry =
      before && at - before.last < ENDS_AFTER_MS
        ? before
        : { incident, since: at, last: at, count: 0, subjects: new Set<string>() };
    entry.last = at;
    entry.count += 1;
    const subject = incident.subject.slice(0, MAX_SUBJECT_CHARS);
    // Taken out first, so that the set's order is the order in which they were last seen.
    entry.subjects.delete(subject);
    entry.subjects.add(subject);
    if (entry.subjects.size > MAX_SUBJECTS) dropOldest(entry.subjects);
    known.delete(key);
    known.set(key, entry);
    if (known.size > MAX_INCIDENTS) dropOldest(known);
  }

  return {
    note,
    recent() {
      const from = now() - ENDS_AFTER_MS;
      return [...known.values()]
        .filter(({ last }) => last > from)
        .sort((a, b) => a.since - b.since)
        .map(({ incident: { kind, where }, since, last, count, subjects }) => ({
          kind,
          where,
          since: iso(since),
          lastAt: iso(last),
          count,
          subjects: [...subjects].reverse(),
        }));
    },
  };
}

function dropOldest(collection: Set<string> | Map<string, unknown>): void {
  for (const key of collection.keys()) {
    collection.delete(key);
    return;
  }
}
