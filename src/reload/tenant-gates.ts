/** Gives the sources of a tenant the gate they share: paused or not, and what its limits leave. */

import type { Config } from "../config/config.ts";
import { createTenantGate, type TenantGate } from "../ingest/tenant-gate.ts";

export interface TenantGates {
  /** By source; undefined where its tenant has no document of its own, and so neither limits nor pauses. */
  of(source: string): TenantGate | undefined;
  replace(config: Pick<Config, "tenants">): void;
  /** Tenants of which more waits than may. */
  backlogsFull(tenants: ReadonlySet<string>): void;
}

interface Held {
  gate: TenantGate;
  readingsPerSecond: number;
}

export function createTenantGates(): TenantGates {
  let tenants: Config["tenants"] = {};
  let held = new Map<string, Held>();
  let ofSource = new Map<string, TenantGate>();
  let full: ReadonlySet<string> = new Set();

  return {
    of: (source) => ofSource.get(source),
    replace(config) {
      tenants = config.tenants;
      const next = new Map<string, Held>();
      const bySource = new Map<string, TenantGate>();
      for (const [name, { limits, sources }] of Object.entries(tenants)) {
        const { readingsPerSecond = Number.POSITIVE_INFINITY } = limits;
        const before = held.get(name);
        // A change of something else must not fill the bucket.
        const one =
          before?.readingsPerSecond === readingsPerSecond
            ? before
            : {
                readingsPerSecond,
                gate: createTenantGate({
                  isPaused: () => tenants[name]?.isPaused === true,
                  isBacklogFull: () => full.has(name),
                  readingsPerSecond,
                }),
              };
        next.set(name, one);
        for (const source of sources) bySource.set(source, one.gate);
      }
      held = next;
      ofSource = bySource;
    },
    backlogsFull(names) {
      full = names;
    },
  };
}
