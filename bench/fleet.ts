/** A child process: a fleet that reports evenly, never waits for answers, and remembers which messages got a 200. */

import { setTimeout as pause } from "node:timers/promises";
import { createPoster } from "../sandbox/post.ts";
import { serveParent } from "./child.ts";

interface FleetSettings {
  url: string;
  token: string;
  units: number;
  /** Between two positions of a unit; units report one after the other, evenly. */
  everyMs: number;
}

/** How often the units that are due report. */
const TICK_MS = 20;
/** More than are under way at this rate while the gateway answers in time. */
const CONNECTIONS = 16;

function startFleet({ url, token, units, everyMs }: FleetSettings) {
  const poster = createPoster(CONNECTIONS);
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const newest = new Map<string, number>();
  const owed: string[] = [];
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();
  let stopping = false;

  async function report(unit: string): Promise<void> {
    const fixTime = Date.now();
    const body = JSON.stringify({
      deviceId: unit,
      latitude: 32.78,
      longitude: -96.8,
      time: new Date(fixTime).toISOString(),
      speed: 10,
    });
    const result = await poster.post({ url, headers, body });
    if (result.kind !== "answered" || result.status !== 200) return;
    newest.set(unit, Math.max(fixTime, newest.get(unit) ?? 0));
    owed.push(`vans:${unit}:${fixTime}`);
  }

  async function run(): Promise<void> {
    let reported = 0;
    while (!stopping) {
      const due = Math.floor(((performance.now() - startedAt) / everyMs) * units);
      for (; reported < due; reported++) {
        // A position that is not accepted is forgotten: the next one is newer.
        const reporting = report(`van-${reported % units}`).finally(() => underWay.delete(reporting));
        underWay.add(reporting);
      }
      await pause(TICK_MS);
    }
  }

  const running = run();
  return {
    /** Per unit, the fix time of the newest position that was answered with success. */
    newest: () => [...newest],
    /** Ends reporting. Resolves with the externalIds of all positions that were answered with success. */
    async end() {
      stopping = true;
      await running;
      await Promise.all(underWay);
      await poster.close();
      return owed;
    },
  };
}

let fleet: ReturnType<typeof startFleet> | null = null;

const handlers = {
  start(settings: FleetSettings): void {
    fleet = startFleet(settings);
  },
  newest: () => fleet?.newest() ?? [],
  end: async () => (await fleet?.end()) ?? [],
};
export type Fleet = typeof handlers;

serveParent(handlers);
