/** Makes the small status document of the whole one. */

import type { Topology } from "../access/sight.ts";
import type { NoStatus, StatusDocument } from "../status-document.ts";
import { placedProblems, severitiesOf, tenantsByDestination } from "./places.ts";
import type { SmallStatus } from "./schema/status.ts";

/** More than a person reads; GET problems lists all. */
const MAX_PROBLEMS = 50;
/** As many as fit a page: with a broker for each tenant there may be a thousand. */
const MAX_LISTED = 50;

const TROUBLED_FIRST = ["refused", "failing", "disconnected", "throttled", "connecting", "starting"];

/** One status is shared by all who ask within a second, and by every page that follows. */
const smallOf = new WeakMap<StatusDocument | NoStatus, SmallStatus>();

export function smallStatus(status: StatusDocument | NoStatus, topology: Topology): SmallStatus {
  const known = smallOf.get(status);
  if (known) return known;
  const small = makeSmall(status, topology);
  smallOf.set(status, small);
  return small;
}

function makeSmall(status: StatusDocument | NoStatus, topology: Topology): SmallStatus {
  const problems = placedProblems(status, topology);
  const always = {
    at: status.at,
    process: status.process,
    processes: status.processes.slice(0, MAX_LISTED).map(writable),
    problemCounts: severitiesOf(problems),
    problems: problems.slice(0, MAX_PROBLEMS),
    brokers: worst(status.brokers),
    pollers: worst(status.pollers),
    spool: status.spool,
    incidents: status.incidents.slice(0, MAX_LISTED),
  };
  if (!("sources" in status)) return { available: false, ...always };
  const { redis, jobs, totals, sources, destinations, quarantine, deadLetters, ledger } = status;
  return {
    available: true,
    ...always,
    redis,
    jobs,
    totals,
    counts: {
      tenants: new Set(tenantsByDestination(status, topology).values()).size,
      sources: sources.length,
      destinations: destinations.length,
      unitsKnown: destinations.reduce((sum, { unitsKnown }) => sum + unitsKnown, 0),
    },
    oldestWaitingAgeMs: highest(destinations.map(({ oldestWaitingAgeMs }) => oldestWaitingAgeMs)),
    newestAcceptedAgeMs: lowest(destinations.map(({ newestAcceptedAgeMs }) => newestAcceptedAgeMs)),
    quarantine: { count: quarantine.count, bytes: quarantine.bytes, oldestAt: quarantine.oldestAt },
    deadLetters: { count: deadLetters.count, bytes: deadLetters.bytes },
    ledger: { batches: ledger.batches, bytes: ledger.bytes, reachesBackTo: ledger.reachesBackTo },
    orphans: status.orphans.slice(0, MAX_LISTED),
    policies: status.policies.filter(({ where }) => where === "gateway"),
  };
}

/** As the schema's type has it: lists that may be written to. */
function writable({ configuration, leaving, ...row }: StatusDocument["processes"][number]) {
  const { refused, restart, leftOut, ...own } = configuration;
  return {
    ...row,
    leaving: [...leaving],
    configuration: {
      ...own,
      refused: refused && { since: refused.since, problems: refused.problems.slice(0, MAX_LISTED) },
      restart: [...restart],
      leftOut: leftOut.slice(0, MAX_LISTED),
    },
  };
}

export function highest(values: readonly (number | null)[]): number | null {
  return values.reduce((most, value) => (value !== null && value > (most ?? -1) ? value : most), null);
}

export function lowest(values: readonly (number | null)[]): number | null {
  return values.reduce(
    (least, value) => (value !== null && (least === null || value < least) ? value : least),
    null,
  );
}

/** Those that need a look before those that do not. */
function worst<T extends { state: string }>(parts: readonly T[]): T[] {
  const rank = ({ state }: T) => {
    const at = TROUBLED_FIRST.indexOf(state);
    return at < 0 ? TROUBLED_FIRST.length : at;
  };
  return [...parts].sort((a, b) => rank(a) - rank(b)).slice(0, MAX_LISTED);
}
