/** Decides when a lane is asked for its next batch, and wakes a worker for every batch that is cut. */

import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { type CutBatch, cut } from "./batch.ts";
import type { BatchName } from "./jobs.ts";

export interface LanesOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  /** The batch in Redis is the truth; its records are handed on so that this process need not read them again. */
  cutDone(batch: CutBatch): Promise<void>;
  failed(error: unknown): void;
}

/** Asking again is cheap, and a gate may open early: another process's probe succeeded. */
const MAX_WAIT_MS = 1000;
/** A batch takes a request's time; asking for the next one more often would only hear that the lane is busy. */
const BUSY_WAIT_MS = 100;
/** Lower bound of an encoded ping with empty texts; a line this many long may be full by bytes. */
const TYPICAL_PING_BYTES = 330;

export function createLanes({ redis, destinations, cutDone, failed }: LanesOptions) {
  const timers = new Map<string, { at: number; timer: NodeJS.Timeout }>();
  /** Lanes being asked, and those that shall be asked again right after. */
  const asking = new Map<string, "once" | "again">();
  /** Lanes whose batch this process is delivering: they are asked when it is settled. */
  const delivering = new Set<string>();
  let stopped = false;

  /** Something was kept: `line` is `destination|lane|source`, `length` what waits there now. */
  function arrived(line: string, length: number): void {
    const [name = "", lane = ""] = line.split("|");
    const destination = destinations.get(name);
    if (!destination) return;
    const { maxBatchPings, maxBatchBytes, maxBatchAgeMs } = destination;
    if (delivering.has(`${name}|${lane}`)) {
      // Usually too early; but the batch may have been delivered by another process, which does not tell us.
      askIn(destination, Number(lane), Math.max(maxBatchAgeMs, BUSY_WAIT_MS));
      return;
    }
    const full = Math.min(maxBatchPings, maxBatchBytes / TYPICAL_PING_BYTES);
    if (length >= full) ask(destination, Number(lane));
    else askIn(destination, Number(lane), maxBatchAgeMs);
  }

  /** Asks for a batch now; asked while an answer is awaited, asks once more after it. */
  function ask(destination: QueueDestination, lane: number): void {
    const key = `${destination.name}|${lane}`;
    if (stopped) return;
    if (asking.has(key)) {
      asking.set(key, "again");
      return;
    }
    asking.set(key, "once");
    void askUntilAnswered(destination, lane, key);
  }

  async function askUntilAnswered(destination: QueueDestination, lane: number, key: string): Promise<void> {
    try {
      for (;;) {
        asking.set(key, "once");
        const answer = await cut(redis, destination, lane, randomUUID());
        if (answer.kind === "batch") {
          delivering.add(key);
          await cutDone(answer.batch);
          return;
        }
        if (answer.kind === "closed" || answer.kind === "wait") askIn(destination, lane, answer.waitMs);
        if (answer.kind !== "again" && asking.get(key) !== "again") return;
      }
    } catch (error) {
      // Nothing is lost: a batch that was cut is found by the sweep, what waits is asked for again.
      delivering.delete(key);
      failed(error);
    } finally {
      asking.delete(key);
    }
  }

  function askIn(destination: QueueDestination, lane: number, waitMs: number): void {
    if (stopped) return;
    const key = `${destination.name}|${lane}`;
    const wait = Math.min(waitMs, MAX_WAIT_MS);
    const at = performance.now() + wait;
    const before = timers.get(key);
    if (before && before.at <= at) return;
    if (before) clearTimeout(before.timer);
    const timer = setTimeout(() => {
      timers.delete(key);
      ask(destination, lane);
    }, wait);
    timers.set(key, { at, timer });
  }

  /** The lane's batch is settled, or is somebody else's now. */
  function freed({ destination: name, lane }: BatchName): void {
    delivering.delete(`${name}|${lane}`);
    const destination = destinations.get(name);
    if (destination) ask(destination, lane);
  }

  /** The sweep found something waiting in a lane without a batch: whoever delivered the one we cut, it is over. */
  function found(name: string, lane: number): void {
    const destination = destinations.get(name);
    if (!destination) return;
    delivering.delete(`${name}|${lane}`);
    ask(destination, lane);
  }

  /** Cuts nothing more. */
  function stop(): void {
    stopped = true;
    for (const { timer } of timers.values()) clearTimeout(timer);
    timers.clear();
  }

  return { arrived, freed, found, stop };
}
