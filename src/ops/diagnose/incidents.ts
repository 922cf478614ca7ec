/** Turns what went wrong at our own ports into problems: one entry for each kind of incident. */

import type { IncidentKind, IncidentState } from "../../status.ts";
import { type Finding, listed, warning } from "./problem.ts";

interface Words {
  /** A problem until the last incident is older than this; rare ones stay longer, so that they are seen. */
  lastsMs: number;
  what(incident: IncidentState): string;
  doNext: string;
}

const MINUTE_MS = 60_000;

const WORDS: Record<IncidentKind, Words> = {
  foreign_device: {
    lastsMs: 15 * MINUTE_MS,
    what: ({ count, subjects }) =>
      `${count} position${count === 1 ? " was" : "s were"} rejected (foreign_device) because the login may not speak for the device: ${listed(subjects)}.`,
    doNext:
      "If the login belongs to the device, list its id under the login's speaksFor in the configuration (\"*\" in it stands for any characters) and restart. If not, somebody reports as another device: change that login's password.",
  },
  guessing: {
    lastsMs: 15 * MINUTE_MS,
    what: ({ where, count, subjects }) =>
      where.startsWith("source ")
        ? `${count} messages with wrong credentials were more than one sender may have, and some were not looked at. From ${listed(subjects)}.`
        : `${count} wrong logins were more than one address may have, and some were not looked at. From ${listed(subjects)}.`,
    doNext:
      "If that is your own vendor, device or script, it has an old secret: put it right there, and it is let in within a minute. If not, somebody is guessing: block the address, and change the secret if it is short.",
  },
  connections_refused: {
    lastsMs: 5 * MINUTE_MS,
    what: ({ count, subjects }) =>
      `${count} connections were refused, or closed to make room, since too many were open; the last came from ${listed(subjects)}.`,
    doNext:
      "If these addresses are not your senders', block them in front of the gateway. If they are, raise maxConnections or maxConnectionsPerAddress, and the process's limit of open files; name a proxy in front in http.trustedProxies.",
  },
  device_cut_off: {
    lastsMs: 15 * MINUTE_MS,
    what: ({ count, subjects }) =>
      `${count} connections of devices were ended because they do not end what they begin: ${listed(subjects)}.`,
    doNext:
      "unreleased: the device sends with QoS 2 and no PUBREL; use QoS 1, or update its firmware. reads_nothing: it does not read our answers. If it is no device of yours, change its password.",
  },
  share_used_up: {
    lastsMs: 5 * MINUTE_MS,
    what: ({ count }) =>
      `it sends more than its share of the machine can decode: ${count} of its messages had to wait, or to be sent again. Other sources are served before it.`,
    doNext:
      "If its vendor sends that much, give the source a process of its own, or ask for fewer and smaller messages. If not, somebody floods it: change its secret.",
  },
};

/** `where` of an incident is what the problem is about: `source vans`, `webhook port`. */
export function diagnoseIncidents(incidents: readonly IncidentState[], nowMs: number): Finding[] {
  return incidents.flatMap((incident) => {
    const { kind, where, since, lastAt, subjects } = incident;
    const { lastsMs, what, doNext } = WORDS[kind];
    if (nowMs - Date.parse(lastAt) > lastsMs) return [];
    return warning(kind, where, { what: what(incident), doNext, sinceMs: Date.parse(since), subjects });
  });
}
