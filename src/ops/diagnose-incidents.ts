/** Puts what went wrong at our own doors into words: one entry for each kind of incident. */

import type { IncidentKind, IncidentState } from "../status.ts";
import { listed, type Problem } from "./problem.ts";

interface Words {
  severity: Problem["severity"];
  /** A problem for as long as the last one is not older than this; what happens seldom has to stay longer to be seen. */
  lastsMs: number;
  what(incident: IncidentState): string;
  doNext: string;
}

const MINUTE_MS = 60_000;

const WORDS: Record<IncidentKind, Words> = {
  foreign_device: {
    severity: "warning",
    lastsMs: 15 * MINUTE_MS,
    what: ({ count, subjects }) =>
      `${count} positions were rejected because their sender may not speak for the device: ${listed(subjects)}.`,
    doNext:
      "If the login belongs to that device, add the id to its speaksFor. If not, somebody reports as another device: change that login's password.",
  },
  share_used_up: {
    severity: "warning",
    lastsMs: 5 * MINUTE_MS,
    what: ({ count }) =>
      `it sends more than its share of the machine can decode: ${count} of its messages had to wait, or to be sent again. Other sources are served before it.`,
    doNext:
      "If its vendor sends that much, give the source a process of its own, or ask for fewer and smaller messages. If not, somebody floods it: change its secret.",
  },
};

/** `where` of an incident is what the problem is about: `source vans`, `webhook port`. */
export function diagnoseIncidents(incidents: readonly IncidentState[], nowMs: number): Problem[] {
  return incidents.flatMap((incident) => {
    const { severity, lastsMs, what, doNext } = WORDS[incident.kind];
    if (nowMs - Date.parse(incident.lastAt) > lastsMs) return [];
    return { severity, where: incident.where, what: `Since ${incident.since}: ${what(incident)}`, doNext };
  });
}
