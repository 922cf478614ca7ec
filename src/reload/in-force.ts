/** Holds the configuration in force, and what each stage is given of it in maps whose content is replaced as a whole. */

import { adapters } from "../adapters/index.ts";
import type { Config } from "../config/config.ts";
import type { Source } from "../ingest/source.ts";
import type { TenantGate } from "../ingest/tenant-gate.ts";
import type { Topology } from "../ops/access/sight.ts";
import type { QueueSource } from "../queue/queue.ts";
import type { QueueDestination } from "../queue/redis/destination.ts";
import { destinationsOf, ingestSourcesOf, queueSourcesOf, topologyOf } from "../wiring.ts";
import type { TenantGates } from "./tenant-gates.ts";

export interface InForce {
  config(): Config;
  /** Who may send now. */
  readonly sources: ReadonlyMap<string, Source>;
  /** Of these, those that send to our port. */
  readonly webhookSources: ReadonlyMap<string, Source>;
  /** Beside those of the configuration the ones that are leaving. */
  readonly queueSources: ReadonlyMap<string, QueueSource>;
  readonly destinations: ReadonlyMap<string, QueueDestination>;
  /** Always of the configuration in force. */
  readonly topology: Topology;
  /**
   * Why the next configuration cannot follow: pings wait in Redis by app key and tenant, so a destination that changes one
   * of them would leave what waits for it behind.
   */
  problemsOf(next: Config): DestinationProblem[];
  /** In one turn of the event loop. Returns what is leaving by it. */
  replace(config: Config): Leaving;
  /** Lets go what has left; what has come back meanwhile stays. */
  gone(names: { sources?: Iterable<string>; destinations?: Iterable<string> }): void;
}

export interface DestinationProblem {
  destination: string;
  message: string;
}

/** Names that the configuration no longer has. */
export interface Leaving {
  sources: readonly string[];
  destinations: readonly string[];
}

export function createInForce(first: Config, gates: TenantGates): InForce {
  const sources = new Map<string, Source>();
  const webhookSources = new Map<string, Source>();
  const queueSources = new Map<string, QueueSource>();
  const destinations = new Map<string, QueueDestination>();
  let config = first;
  let topology = topologyOf(first);

  function replace(next: Config): Leaving {
    const now = destinationsOf(next);
    const ofQueue = queueSourcesOf(next, now, adapters);
    gates.replace(next);
    const ofIngest = ingestSourcesOf(next, adapters, (source): TenantGate | undefined => gates.of(source));
    const leaving = {
      sources: [...queueSources.keys()].filter((name) => !ofQueue.has(name)),
      destinations: [...destinations.keys()].filter((name) => !now.has(name)),
    };
    config = next;
    topology = topologyOf(next);
    fill(sources, ofIngest);
    fill(webhookSources, new Map([...ofIngest].filter(([, { authMethod }]) => authMethod !== null)));
    // What is leaving stays until `gone`: its messages and pings are on their way.
    for (const [name, source] of ofQueue) queueSources.set(name, source);
    for (const [name, destination] of now) destinations.set(name, destination);
    return leaving;
  }
  replace(first);

  return {
    config: () => config,
    sources,
    webhookSources,
    queueSources,
    destinations,
    topology: {
      get destinations() {
        return topology.destinations;
      },
      get sources() {
        return topology.sources;
      },
      get tenants() {
        return topology.tenants ?? new Map();
      },
    },
    problemsOf(next) {
      return [...destinationsOf(next)].flatMap(([name, { keyPrefix }]) => {
        const before = destinations.get(name);
        if (before === undefined || before.keyPrefix === keyPrefix) return [];
        return [{ destination: name, message: OTHER_SCOPE }];
      });
    },
    replace,
    gone({ sources: left = [], destinations: drained = [] }) {
      for (const name of left) if (!config.sources[name]) queueSources.delete(name);
      for (const name of drained) if (!config.destinations[name]) destinations.delete(name);
    },
  };
}

const OTHER_SCOPE =
  "has another tenant or app key than before: give the destination another name, and name that in its sources. What waits under the old name is then sent as before";

/** The map stays the same one, because every stage holds it. */
function fill<Value>(map: Map<string, Value>, content: ReadonlyMap<string, Value>): void {
  for (const name of map.keys()) if (!content.has(name)) map.delete(name);
  for (const [name, value] of content) map.set(name, value);
}
