/** Lets go what the configuration no longer has: sources once their messages are stored, destinations once nothing waits for them. */

import type { Events } from "../events/events.ts";
import type { LeavingDestination } from "../status/configuration.ts";
import { iso } from "../time.ts";
import type { Leaving } from "./in-force.ts";

export interface LeavingOptions {
  gone(names: { sources?: Iterable<string>; destinations?: Iterable<string> }): void;
  isConfigured(destination: string): boolean;
  /** How many pings wait for each of these destinations or are in flight to it; rejects while Redis does not answer. */
  backlogsOf(destinations: ReadonlySet<string>): Promise<ReadonlyMap<string, number>>;
  events: Pick<Events, "failed">;
}

/** What was being taken in when its source went is stored by then. */
const LINGER_MS = 5000;
const LOOK_EVERY_MS = 1000;

export function createLeaving({ gone, isConfigured, backlogsOf, events }: LeavingOptions) {
  const destinations = new Map<string, { sinceMs: number; waiting: number | null }>();
  const timers = new Set<NodeJS.Timeout>();
  let isLooking = false;

  function after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      run();
    }, ms).unref();
    timers.add(timer);
  }

  async function look(): Promise<void> {
    for (const name of destinations.keys()) if (isConfigured(name)) destinations.delete(name);
    const backlogs = await backlogsOf(new Set(destinations.keys()));
    const now = Date.now();
    for (const [name, each] of destinations) {
      each.waiting = backlogs.get(name) ?? 0;
      if (each.waiting > 0 || now - each.sinceMs < LINGER_MS) continue;
      destinations.delete(name);
      gone({ destinations: [name] });
    }
  }

  function lookAgain(): void {
    if (isLooking || destinations.size === 0) return;
    isLooking = true;
    after(LOOK_EVERY_MS, () => {
      look()
        .catch((error: unknown) => events.failed({ where: "leaving", error }))
        .finally(() => {
          isLooking = false;
          lookAgain();
        });
    });
  }

  return {
    add({ sources, destinations: names }: Leaving): void {
      if (sources.length > 0) after(LINGER_MS, () => gone({ sources }));
      for (const destination of names) {
        if (!destinations.has(destination))
          destinations.set(destination, { sinceMs: Date.now(), waiting: null });
      }
      lookAgain();
    },
    now: (): LeavingDestination[] =>
      [...destinations].map(([destination, { sinceMs, waiting }]) => ({
        ...{ destination, since: iso(sinceMs), waiting },
      })),
    stop(): void {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
