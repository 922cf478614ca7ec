/** Adds up every source's accounting again and again, and raises its voice when the sums part. */

import type { Events } from "../events.ts";
import type { QueueStatus } from "../status.ts";

/** Often enough to be near the cause, seldom enough to cost nothing. */
const EVERY_MS = 30_000;

/**
 * Each scope is counted in one step, but a message that feeds two scopes is written in two: only what is still apart
 * at the next look is told.
 */
export function startAccountingCheck({
  queryStatus,
  events,
}: {
  queryStatus(): Promise<QueueStatus>;
  events: Pick<Events, "accountingMismatch">;
}): { stop(): void } {
  let suspects = new Set<string>();

  async function look(): Promise<void> {
    const { sources } = await queryStatus();
    const apart = sources.filter(({ identity }) =>
      Object.values(identity).some((difference) => difference !== 0),
    );
    for (const { name, identity } of apart) {
      if (suspects.has(name)) events.accountingMismatch({ source: name, ...identity });
    }
    suspects = new Set(apart.map(({ name }) => name));
  }

  // Without Redis there is nothing to add up; whoever needs to know is told elsewhere.
  const timer = setInterval(() => void look().catch(() => {}), EVERY_MS).unref();
  return { stop: () => clearInterval(timer) };
}
