/** What a token may see: the one place where everything of other tenants is left out. */

import type { OpsToken } from "../../config/ops-tokens.ts";
import type { ProcessRow } from "../../status/configuration.ts";
import type { BrokerStatus, IncidentState, PollerStatus, SpoolStatus } from "../../status/process.ts";
import type { DestinationStatus, QueueStatus } from "../../status/queue.ts";
import type { ClockOffender } from "../diagnose/clocks.ts";
import type { MappingFacts } from "../diagnose/mapping.ts";
import type { Policy } from "../policies.ts";

/** The sources and destinations of the configuration, and what belongs to what. */
export interface Topology {
  destinations: readonly string[];
  /** By name. `broker`: where its messages come from, `listen` for the embedded one. */
  sources: ReadonlyMap<string, { destination: string; broker: string | null }>;
  /** Tenants with documents of their own, by name. */
  tenants?: ReadonlyMap<string, TenantPlace>;
}

/** Where a tenant's document comes from, and what it brings. */
export interface TenantPlace {
  origin: "file" | "api";
  destinations: readonly string[];
  isPaused: boolean;
}

/** What every route behind the door knows of its caller. */
export interface OpsEnv {
  Variables: {
    token: OpsToken;
    sight: Sight;
    /** For answers that last: whether the caller's session, if it has one, has not ended meanwhile. */
    isStillIn: () => Promise<boolean>;
    /** Set by a page that cannot do with the policy of all. */
    contentSecurityPolicy?: string;
  };
}

export interface Sight {
  /** Null: everything. */
  within: { destinations: ReadonlySet<string>; sources: ReadonlySet<string> } | null;
  /** The visible ones, in the order of the configuration. */
  destinations: readonly string[];
  seesDestination(name: string): boolean;
  seesSource(name: string): boolean;
  seesBroker(name: string): "whole" | "shared" | "not";
}

/** The input of the status document; the queue's part is null while Redis does not answer. */
export interface Facts<Queue extends QueueStatus | null = QueueStatus | null> {
  queue: Queue;
  brokers: readonly BrokerStatus[];
  pollers: readonly PollerStatus[];
  spool: SpoolStatus | null;
  clocks: readonly ClockOffender[];
  incidents: readonly IncidentState[];
  /** Null: no mapping is configured. */
  mapping: MappingFacts | null;
  policies: readonly Policy[];
  /** Empty for a token that sees some tenants only: it is told nothing of the machines. */
  processes: readonly ProcessRow[];
}

/** A source belongs to the tenant of its own destination, wherever the mapping routes single devices. */
export function sightOf({ destinations }: OpsToken, topology: Topology): Sight {
  if (destinations === null) {
    return {
      within: null,
      destinations: topology.destinations,
      seesDestination: () => true,
      seesSource: () => true,
      seesBroker: () => "whole",
    };
  }
  const allowed = new Set(destinations);
  const sources = [...topology.sources];
  const own = new Set(sources.filter(([, source]) => allowed.has(source.destination)).map(([name]) => name));
  return {
    within: { destinations: allowed, sources: own },
    destinations: topology.destinations.filter((name) => allowed.has(name)),
    seesDestination: (name) => allowed.has(name),
    seesSource: (name) => own.has(name),
    seesBroker(broker) {
      const feeding = sources.filter(([, source]) => source.broker === broker).map(([name]) => name);
      if (!feeding.some((name) => own.has(name))) return "not";
      return feeding.every((name) => own.has(name)) ? "whole" : "shared";
    },
  };
}

/** What one process does itself. */
export type OwnParts = Pick<Facts, "brokers" | "pollers" | "clocks">;

export function limitedOwn({ brokers, pollers, clocks }: OwnParts, sight: Sight): OwnParts {
  if (sight.within === null) return { brokers, pollers, clocks };
  return {
    brokers: brokers.flatMap((broker) => limitedBroker(broker, sight)),
    pollers: pollers.filter(({ name }) => sight.seesSource(name)),
    clocks: clocks.filter(({ source }) => sight.seesSource(source)),
  };
}

/** The facts of its own tenants alone; sums and problems are computed from these, so they cannot reveal more. */
export function limited<Queue extends QueueStatus | null>(facts: Facts<Queue>, sight: Sight): Facts<Queue> {
  if (sight.within === null) return facts;
  const isOwn = ({ source }: { source: string }) => sight.seesSource(source);
  return {
    queue: facts.queue === null ? facts.queue : limitedQueue(facts.queue, sight),
    brokers: facts.brokers.flatMap((broker) => limitedBroker(broker, sight)),
    pollers: facts.pollers.filter(({ name }) => sight.seesSource(name)),
    // One directory holds the messages of all tenants.
    spool: null,
    clocks: facts.clocks.filter(isOwn),
    incidents: facts.incidents.filter(({ where }) => isOwnPlace(where, sight)),
    // Its mistakes name devices of all tenants.
    mapping: facts.mapping && { ...facts.mapping, problem: null },
    processes: [],
    policies: facts.policies.filter(({ where }) => where === "gateway" || isOwnPlace(where, sight)),
  };
}

function limitedQueue<Queue extends QueueStatus>(queue: Queue, sight: Sight): Queue {
  const isOwn = ({ source }: { source: string }) => sight.seesSource(source);
  const goesToOwn = ({ destination }: { destination: string }) => sight.seesDestination(destination);
  const destinations = queue.destinations.filter(({ name }) => sight.seesDestination(name));
  const { quarantine, deadLetters, ledger } = queue;
  return {
    ...queue,
    sources: queue.sources.filter(({ name }) => sight.seesSource(name)),
    destinations,
    // Jobs belong to no tenant; the lanes show what is being sent.
    jobs: { waiting: 0, active: batchesOf(destinations), delayed: 0, failed: 0 },
    quarantine: { ...quarantine, recent: quarantine.recent.filter(isOwn) },
    deadLetters: { ...deadLetters, recent: deadLetters.recent.filter(goesToOwn) },
    ledger: { ...ledger, recent: ledger.recent.filter(goesToOwn) },
    orphans: queue.orphans.filter(goesToOwn),
    unmapped: queue.unmapped.filter(isOwn),
  };
}

function batchesOf(destinations: readonly DestinationStatus[]): number {
  return destinations.flatMap(({ lanes }) => lanes).filter(({ batchId }) => batchId !== null).length;
}

/** A broker's reason may name topics of other tenants, and its client count includes their devices. */
function limitedBroker(broker: BrokerStatus, sight: Sight): BrokerStatus[] {
  switch (sight.seesBroker(broker.name)) {
    case "whole":
      return [broker];
    case "shared": {
      const reason =
        broker.reason === null ? null : "others use it too, so why is for the gateway's operator";
      return [{ ...broker, reason, unacked: 0, clients: null }];
    }
    case "not":
      return [];
  }
}

/** `source vans`, `destination acme`; anything else belongs to no single tenant. */
function isOwnPlace(where: string, sight: Sight): boolean {
  const [, kind, name = ""] = /^(source|destination) (\S+)$/.exec(where) ?? [];
  if (kind === undefined) return false;
  return kind === "source" ? sight.seesSource(name) : sight.seesDestination(name);
}
