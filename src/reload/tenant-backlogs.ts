/** Looks each second at the backlogs of tenants that have a limit for them. */

import type { Config } from "../config/config.ts";
import type { Events } from "../events/events.ts";
import type { TenantGates } from "./tenant-gates.ts";

const EVERY_MS = 1000;

export function watchBacklogs({
  config,
  gates,
  backlogsOf,
  events,
}: {
  config(): Pick<Config, "tenants">;
  gates: Pick<TenantGates, "backlogsFull">;
  backlogsOf(destinations: ReadonlySet<string>): Promise<ReadonlyMap<string, number>>;
  events: Pick<Events, "failed">;
}): { stop(): void } {
  let isStopped = false;
  let timer = setTimeout(() => void look(), EVERY_MS).unref();
  let lost = "";

  async function look(): Promise<void> {
    const limited = Object.entries(config().tenants).filter(([, { limits }]) => limits.backlog !== undefined);
    try {
      if (limited.length > 0) {
        const waiting = await backlogsOf(new Set(limited.flatMap(([, { destinations }]) => destinations)));
        const sumOf = (names: readonly string[]) =>
          names.reduce((sum, name) => sum + (waiting.get(name) ?? 0), 0);
        const full = limited.filter(
          ([, { limits, destinations }]) =>
            sumOf(destinations) >= (limits.backlog ?? Number.POSITIVE_INFINITY),
        );
        gates.backlogsFull(new Set(full.map(([name]) => name)));
      } else gates.backlogsFull(new Set());
      lost = "";
    } catch (error) {
      // What was known stays; that Redis is away is told where it is noticed.
      if (String(error) !== lost) events.failed({ where: "tenant backlogs", error });
      lost = String(error);
    }
    if (!isStopped) timer = setTimeout(() => void look(), EVERY_MS).unref();
  }

  return {
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
