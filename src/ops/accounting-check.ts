/** Checks every 30 s that each source's counters add up; emits `accountingMismatch` where they do not. */

import type { Events } from "../events/events.ts";
import type { QueueStatus } from "../status/queue.ts";

/** Often enough to be near the cause in the log, rare enough to cost nothing. */
const EVERY_MS = 30_000;

/**
 * Each scope is counted in one step, but a message that feeds two scopes is written in two: only a mismatch that is
 * still there at the next check is emitted.
 */
export function startAccountingCheck({
  queryStatus,
  events,
}: {
  queryStatus(): Promise<QueueStatus>;
  events: Pick<Events, "accountingMismatch">;
}): { stop(): void } {
  let mismatched = new Set<string>();

  async function check(): Promise<void> {
    const { sources } = await queryStatus();
    const mismatches = sources.filter(({ identity }) =>
      Object.values(identity).some((difference) => difference !== 0),
    );
    for (const { name, identity } of mismatches) {
      if (mismatched.has(name)) events.accountingMismatch({ source: name, ...identity });
    }
    mismatched = new Set(mismatches.map(({ name }) => name));
  }

  // Without Redis there is nothing to check; the status reports an unreachable Redis by itself.
  const timer = setInterval(() => void check().catch(() => {}), EVERY_MS).unref();
  return { stop: () => clearInterval(timer) };
}
