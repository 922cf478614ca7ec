/** Follows which pings the sandbox accepts, and when requests arrive there. */

import type { SandboxApi } from "../sandbox/api.ts";
import type { Accepted, Arrival } from "./history.ts";

export interface Observed {
  accepted: readonly Accepted[];
  arrivals: readonly Arrival[];
  /** Newest fix time accepted of a unit; 0 when none was. */
  newestOf(unit: string): number;
  has(id: string): boolean;
  /** Reads everything up to now. */
  update(): void;
  stop(): void;
}

const CHECK_EVERY_MS = 100;
/**
 * Turns of the event loop from a request's arrival to its record: accepted by the proxy, connected to the sandbox, accepted
 * there, passed on, read.
 */
const TURNS_BACK = 5;

export function followSandbox(sandbox: SandboxApi): Observed {
  const accepted: Accepted[] = [];
  const arrivals: Arrival[] = [];
  const ids = new Set<string>();
  const newest = new Map<string, number>();
  let nextPing = 0;
  let nextRequest = 0;
  /** The sandbox lives in this process: it notices nothing while the event loop is busy, and then all at once. */
  let turns: number[] = [performance.now()];
  const ticker = setInterval(() => turns.push(performance.now()), 1);
  const timer = setInterval(update, CHECK_EVERY_MS);

  function update(): void {
    for (const { seq, acceptedAt, ping } of sandbox.pings({ from: nextPing })) {
      nextPing = seq + 1;
      const { externalId: id, unitId: unit, latitude, longitude, speed } = ping;
      const eventTime = Date.parse(ping.eventTime);
      accepted.push({ id, unit, at: acceptedAt, eventTime, latitude, longitude, speed });
      ids.add(id);
      newest.set(unit, Math.max(newest.get(unit) ?? 0, eventTime));
    }
    for (const { seq, arrivedAtMs } of sandbox.requests()) {
      if (seq < nextRequest) continue;
      nextRequest = seq + 1;
      let turn = turns.length - 1;
      while (turn > 0 && (turns[turn] ?? 0) > arrivedAtMs) turn--;
      const earliest = turns[Math.max(0, turn - TURNS_BACK)] ?? arrivedAtMs;
      const { timeOrigin } = performance;
      arrivals.push({ earliest: timeOrigin + earliest, latest: timeOrigin + arrivedAtMs });
    }
    turns = turns.slice(-(TURNS_BACK + 1));
  }

  return {
    accepted,
    arrivals,
    newestOf: (unit) => newest.get(unit) ?? 0,
    has: (id) => ids.has(id),
    update,
    stop() {
      clearInterval(ticker);
      clearInterval(timer);
    },
  };
}
