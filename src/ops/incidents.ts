/** Remembers what goes wrong at our own ports, so that the ops page can show it while it lasts. */

import { LRUCache } from "lru-cache";
import type { Incident, IncidentState } from "../status.ts";
import { iso } from "../time.ts";

export interface Incidents {
  /** Cheap and bounded: a flood calls this for every connection or message. */
  note(incident: Incident): void;
  /** The incidents of the last hour, in the order they began. */
  recent(): IncidentState[];
}

/** An incident that was quiet for this long has ended; the next one of its kind begins anew. */
const ENDS_AFTER_MS = 3_600_000;
/** Kinds times sources and ports; beyond it the one that was quiet for longest is dropped. */
const MAX_INCIDENTS = 2000;
/** A person reads no more names than this in one problem; the last ones seen are kept. */
const MAX_SUBJECTS = 8;
/** A sender chooses its name freely, so only its beginning is stored. */
const MAX_SUBJECT_CHARS = 120;

interface Entry {
  incident: Incident;
  since: number;
  last: number;
  count: number;
  subjects: LRUCache<string, true>;
}

export function createIncidents(now: () => number = Date.now): Incidents {
  const known = new LRUCache<string, Entry>({ max: MAX_INCIDENTS });

  function note(incident: Incident): void {
    const key = `${incident.kind}\0${incident.where}`;
    const at = now();
    const before = known.get(key);
    const entry =
      before && at - before.last < ENDS_AFTER_MS
        ? before
        : { incident, since: at, last: at, count: 0, subjects: newSubjects() };
    entry.last = at;
    entry.count += 1;
    const subject = incident.subject.slice(0, MAX_SUBJECT_CHARS);
    entry.subjects.set(subject, true);
    if (entry !== before) known.set(key, entry);
  }

  return {
    note,
    recent() {
      const from = now() - ENDS_AFTER_MS;
      return [...known.rvalues()]
        .filter((entry) => entry !== undefined)
        .filter(({ last }) => last > from)
        .sort((a, b) => a.since - b.since)
        .map(({ incident: { kind, where }, since, last, count, subjects }) => ({
          kind,
          where,
          since: iso(since),
          lastAt: iso(last),
          count,
          subjects: [...subjects.keys()],
        }));
    },
  };
}

function newSubjects(): Entry["subjects"] {
  return new LRUCache({ max: MAX_SUBJECTS });
}
