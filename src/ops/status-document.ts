/** Puts the status document together: the queue's answer, this process, its brokers, and the problems found in them. */

import { type Accounting, type Identity, identityOf, sumAccounting } from "../status/accounting.ts";
import type { ProcessRow } from "../status/configuration.ts";
import type {
  BrokerState,
  BrokerStatus,
  IncidentState,
  PollerState,
  PollerStatus,
  SpoolStatus,
} from "../status/process.ts";
import type { QueueStatus } from "../status/queue.ts";
import { iso } from "../time.ts";
import type { Facts } from "./access/sight.ts";
import type { ClockOffender } from "./diagnose/clocks.ts";
import { diagnoseConfiguration } from "./diagnose/configuration.ts";
import { diagnoseIncidents } from "./diagnose/incidents.ts";
import { diagnose } from "./diagnose/index.ts";
import type { Lasting } from "./diagnose/lasting.ts";
import { diagnoseMapping } from "./diagnose/mapping.ts";
import { diagnoseSpool, redisSlow, redisUnreachable } from "./diagnose/outside.ts";
import type { Problem } from "./diagnose/problem.ts";
import type { Policy } from "./policies.ts";

/** Facts about this process from the composition root. */
export interface OpsInfo {
  version: string;
  /** UTC milliseconds since 1970. */
  startedAtMs: number;
  policies: readonly Policy[];
  /** From when on accepted positions count as stale, milliseconds. */
  staleAfterMs?: number | undefined;
}

export interface ProcessStatus {
  version: string;
  node: string;
  pid: number;
  startedAt: string;
  uptimeS: number;
}

/** Everything that the API and the page show. */
export type StatusDocument = QueueStatus & {
  process: ProcessStatus;
  brokers: readonly BrokerStatus[];
  pollers: readonly PollerStatus[];
  /** Null: no spool is configured. */
  spool: SpoolStatus | null;
  clocks: readonly ClockOffender[];
  /** What went wrong at the ports of this process within the last hour. */
  incidents: readonly IncidentState[];
  totals: { accounting: Accounting; identity: Identity };
  policies: readonly Policy[];
  problems: Problem[];
  /** Those that run, this one among them. */
  processes: readonly ProcessRow[];
};

/** What is known when the queue gave no answer. */
export interface NoStatus {
  at: string;
  process: ProcessStatus;
  brokers: readonly BrokerStatus[];
  pollers: readonly PollerStatus[];
  spool: SpoolStatus | null;
  incidents: readonly IncidentState[];
  problems: Problem[];
  processes: readonly ProcessRow[];
}

/** A fleet whose clocks are all wrong is one finding; a person reads no more names than this. */
const MAX_CLOCKS = 100;

export function statusDocument(
  facts: Facts<QueueStatus> & { process: ProcessStatus },
  lasting: Lasting,
  { staleAfterMs }: Pick<OpsInfo, "staleAfterMs"> = {},
): StatusDocument {
  const nowMs = Date.parse(facts.queue.at);
  const { queue, process, brokers, pollers, spool, clocks, incidents, mapping, policies, processes } = facts;
  const accounting = sumAccounting(queue.sources);
  return {
    ...queue,
    process,
    brokers,
    pollers,
    spool,
    clocks: clocks.slice(0, MAX_CLOCKS),
    incidents,
    totals: { accounting, identity: identityOf(accounting) },
    policies,
    processes,
    problems: lasting.problemsOf(
      [
        ...diagnoseConfiguration(processes, nowMs),
        ...diagnose({ queue, brokers, pollers, clocks, mapping, staleAfterMs }),
        ...diagnoseSpool(spool),
        ...diagnoseIncidents(incidents, nowMs),
      ],
      nowMs,
    ),
  };
}

/** After this long a question of the status is given up (snapshot.ts). */
export const SLOW_MS = 4000;

/** Without the queue: `detail` is why it gave no answer, and `isDown` whether storing fails, too. */
export function noStatus(
  { brokers, pollers, spool, incidents, mapping, processes }: Facts,
  process: ProcessStatus,
  lasting: Lasting,
  { detail, isDown }: { detail: string; isDown: boolean },
): NoStatus {
  const nowMs = Date.now();
  return {
    at: iso(nowMs),
    process,
    brokers,
    pollers,
    spool,
    incidents,
    processes,
    problems: lasting.problemsOf(
      [
        ...diagnoseConfiguration(processes, nowMs),
        isDown ? redisUnreachable(detail) : redisSlow(SLOW_MS),
        ...diagnoseSpool(spool),
        ...(mapping ? diagnoseMapping({ ...mapping, unmapped: [], nowMs }) : []),
        ...diagnoseIncidents(incidents, nowMs),
      ],
      nowMs,
    ),
  };
}

export function processStatus(info: OpsInfo, nowMs: number): ProcessStatus {
  return {
    version: info.version,
    node: process.version,
    pid: process.pid,
    startedAt: iso(info.startedAtMs),
    uptimeS: Math.floor((nowMs - info.startedAtMs) / 1000),
  };
}

export function brokerStatus({
  name,
  kind,
  state,
  sinceMs,
  reason,
  unacked,
  clients,
}: BrokerState): BrokerStatus {
  return { name, kind, state, since: iso(sinceMs), reason, unacked, clients };
}

export function pollerStatus(poller: PollerState): PollerStatus {
  const { name, state, sinceMs, reason, detail, lastSuccessAtMs, cursorAtMs, gap, reads } = poller;
  return {
    name,
    state,
    since: iso(sinceMs),
    reason,
    detail,
    lastSuccessAt: lastSuccessAtMs === null ? null : iso(lastSuccessAtMs),
    cursorAt: cursorAtMs === null ? null : iso(cursorAtMs),
    gap: gap === null ? null : { from: iso(gap.fromMs), to: iso(gap.toMs) },
    reads,
  };
}
