/** Decides which of several processes exports the metrics of what Redis holds: the one that holds a lease for it. */

import type { Lease, LeaseEvents } from "../../queue/redis/lease.ts";

/** No broker or source can be called so. */
const LEASE = "ops:exporter";

export interface Exporter {
  /** Whether it is this process now. */
  exports(): boolean;
  /** Leaves it to another process. */
  close(): Promise<void>;
}

export function createExporter(
  holdLease: (name: string, events: LeaseEvents) => Lease,
  failed: (error: unknown) => void,
): Exporter {
  let holds = false;
  const yields = () => {
    holds = false;
  };
  const lease = holdLease(LEASE, {
    acquired() {
      holds = true;
    },
    // Another process may export them from now on, and twice would be worse than not at all.
    expired: yields,
    lost: yields,
    failed,
  });
  return {
    exports: () => holds,
    async close() {
      holds = false;
      await lease.close();
    },
  };
}
