/** Opens the ops endpoint: the shared status over all processes, the app on it, its port, and the watch over problems. */

import type { Registry } from "prom-client";
import type { OpsToken } from "../config/ops-tokens.ts";
import type { Events } from "../events/events.ts";
import type { ConnectionShares } from "../limits/ports.ts";
import type { Queue } from "../queue/queue.ts";
import type { BrokerState, PollerState } from "../status/process.ts";
import type { OwnHosts } from "./access/origin.ts";
import { sightOf, type Topology } from "./access/sight.ts";
import type { Trail } from "./access/trail.ts";
import type { ApiDeps, LogLevels, ReloadRequest } from "./api/routes.ts";
import { createOpsApp } from "./app.ts";
import type { Captures } from "./captures.ts";
import type { ClockWatch } from "./diagnose/clocks.ts";
import type { MappingFacts } from "./diagnose/mapping.ts";
import type { Lookup } from "./lookup.ts";
import { type OwnFacts, ofAllProcesses } from "./of-all-processes.ts";
import { openOpsPort } from "./port.ts";
import { startProblemWatch } from "./problem-watch.ts";
import { processesOf } from "./processes.ts";
import type { Redriver } from "./redrive.ts";
import { createSnapshots } from "./snapshot.ts";
import { brokerStatus, type OpsInfo, pollerStatus } from "./status-document.ts";
import type { Tenants } from "./tenants.ts";

export interface OwnStates extends Omit<OwnFacts, "mapping" | "brokers" | "pollers"> {
  brokers: readonly BrokerState[];
  pollers: readonly PollerState[];
}

export interface OpsOptions {
  listen: OwnHosts & { port: number };
  /** Asked for each request: they change with the configuration. */
  tokens: () => readonly OpsToken[];
  reload: ReloadRequest;
  topology: Topology;
  info: OpsInfo;
  queue: Queue;
  /** What only this process knows: it is shown by all. */
  own: () => OwnStates;
  /** Null: no mapping is configured. */
  mapping: () => MappingFacts | null;
  clocks: ClockWatch;
  lookup: Lookup;
  redrive: Redriver;
  captures: Captures;
  instructionsOf: ApiDeps["instructionsOf"];
  tenants: Tenants;
  logLevels: LogLevels;
  registry: Registry;
  /** Whether /metrics of this process has what Redis holds: one process of several. */
  exportsRedis: () => boolean;
  trail: Trail;
  connections: ConnectionShares["ops"];
  events: Pick<Events, "failed" | "opsRefused" | "authFailed" | "incident" | "problemBegan" | "problemEnded">;
}

export interface Ops {
  port: number;
  close(): Promise<void>;
}

export async function openOps(options: OpsOptions): Promise<Ops> {
  const { queue, info, topology, clocks, events, listen } = options;
  const own = (): OwnFacts => {
    const { brokers, pollers, ...states } = options.own();
    const mapping = options.mapping()?.problem ?? null;
    return { ...states, brokers: brokers.map(brokerStatus), pollers: pollers.map(pollerStatus), mapping };
  };
  const reports = queue.reports(own);
  const snapshots = createSnapshots({
    queryStatus: queue.queryStatus,
    isStoring: queue.isStoring,
    async facts() {
      const [mine, others] = [own(), await reports.others()];
      const { mapping: problem, ...facts } = ofAllProcesses(mine, others);
      const processes = processesOf(mine.self, reports.name, others);
      const mapping = options.mapping();
      return { ...facts, processes, mapping: mapping && { ...mapping, problem } };
    },
    info,
    failed: (error) => events.failed({ where: "status", error }),
  });
  const app = createOpsApp({
    tokens: options.tokens,
    reload: options.reload,
    hosts: listen,
    topology,
    snapshots,
    ...options.lookup,
    ...options.logLevels,
    redrive: options.redrive,
    captures: options.captures,
    instructionsOf: options.instructionsOf,
    erase: queue.erase,
    tenants: options.tenants,
    devices: { ...queue, clockOffsetOf: clocks.offsetOf },
    own,
    registry: options.registry,
    exportsRedis: options.exportsRedis,
    async ready() {
      const problems = await queue.readiness();
      return { ready: problems.length === 0, problems };
    },
    info,
    trail: options.trail,
    endedSessions: queue.endedSessions,
    events,
  });
  const port = await openOpsPort({
    fetch: app.fetch,
    host: listen.host,
    port: listen.port,
    connections: options.connections,
    onError: (error) => events.failed({ where: "ops port", error }),
  }).catch((error: unknown) => {
    // A process that cannot open its ports has to end.
    reports.stop();
    throw error;
  });
  const everything = sightOf({ name: "", token: "", role: "read", destinations: null }, topology);
  const watch = startProblemWatch({ status: () => snapshots.of(everything), events });
  return {
    port: port.port,
    async close() {
      watch.stop();
      reports.stop();
      await port.close();
    },
  };
}
