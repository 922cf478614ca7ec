/** Puts together what each process knows of its own doors, so that every process shows the same. */

import type {
  BrokerStatus,
  IncidentCause,
  IncidentState,
  PollerStatus,
  ProcessReport,
} from "../status/process.ts";

/** What only one process knows, without its name. */
export type OwnFacts = Omit<ProcessReport, "process" | "at">;

/** `others`: the reports of the other processes; the spool is of this machine alone. */
export function ofAllProcesses(own: OwnFacts, others: readonly OwnFacts[]): OwnFacts {
  const all = [own, ...others];
  return {
    brokers: mergeNamed(
      all.map(({ brokers }) => brokers),
      mergeBrokers,
    ),
    pollers: mergeNamed(
      all.map(({ pollers }) => pollers),
      (one, two) => (one.state === "standby" ? two : one),
    ),
    incidents: mergeIncidents(all.flatMap(({ incidents }) => incidents)),
    clocks: [
      ...new Map(
        all
          .flatMap(({ clocks }) => clocks)
          .reverse()
          .map((clock) => [`${clock.source}\0${clock.deviceId}`, clock]),
      ).values(),
    ],
    mapping: all.find(({ mapping }) => mapping !== null)?.mapping ?? null,
    spool: own.spool,
  };
}

function mergeNamed<T extends BrokerStatus | PollerStatus>(
  lists: readonly (readonly T[])[],
  merge: (one: T, two: T) => T,
): T[] {
  const byName = new Map<string, T>();
  for (const each of lists.flat()) {
    const before = byName.get(each.name);
    byName.set(each.name, before ? merge(before, each) : each);
  }
  return [...byName.values()];
}

/** The worst first: what one process cannot do may be why nothing comes in. */
const STATES: readonly BrokerStatus["state"][] = [
  "refused",
  "disconnected",
  "connecting",
  "connected",
  "standby",
];

/** A client's session has one user, the others stand by; of the embedded broker every process has its own. */
function mergeBrokers(one: BrokerStatus, two: BrokerStatus): BrokerStatus {
  const [worst, other] =
    STATES.indexOf(one.state) <= STATES.indexOf(two.state) ? [one, two] : ([two, one] as const);
  const clients = one.clients === null ? two.clients : one.clients + (two.clients ?? 0);
  return { ...worst, unacked: worst.unacked + other.unacked, clients };
}

function mergeIncidents(incidents: readonly IncidentState[]): IncidentState[] {
  const byPlace = new Map<string, IncidentState>();
  for (const incident of incidents) {
    const key = `${incident.kind}\0${incident.where}`;
    const before = byPlace.get(key);
    byPlace.set(key, before ? mergeIncident(before, incident) : incident);
  }
  return [...byPlace.values()].sort((a, b) => a.since.localeCompare(b.since));
}

function mergeIncident(one: IncidentState, two: IncidentState): IncidentState {
  const causes = new Map(one.subjects.map((cause) => [cause.name, cause]));
  for (const cause of two.subjects) {
    const before = causes.get(cause.name);
    causes.set(cause.name, before ? mergeCause(before, cause) : cause);
  }
  return {
    ...one,
    since: earlier(one.since, two.since),
    lastAt: later(one.lastAt, two.lastAt),
    count: one.count + two.count,
    subjects: [...causes.values()].sort((a, b) => b.lastAt.localeCompare(a.lastAt)),
  };
}

/** As it was seen last, since it was seen first. */
function mergeCause(one: IncidentCause, two: IncidentCause): IncidentCause {
  const latest = one.lastAt > two.lastAt ? one : two;
  return { ...latest, since: earlier(one.since, two.since), count: one.count + two.count };
}

/** ISO times sort as texts. */
function earlier(one: string, two: string): string {
  return one < two ? one : two;
}

function later(one: string, two: string): string {
  return earlier(one, two) === one ? two : one;
}
