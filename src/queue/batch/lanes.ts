/** Decides when a lane is asked for its next batch, and reports every batch that is formed. */

import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import type { BatchName } from "./jobs.ts";
import { type Batch, nextBatch } from "./next-batch.ts";

export interface LanesOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  /** The batch in Redis is the truth; its records come along so that this process need not read them again. */
  batchFormed(batch: Batch): Promise<void>;
  failed(error: unknown): void;
}

/** Asking again is cheap, and a gate may open early: another process's probe succeeded. */
const MAX_WAIT_MS = 1000;
/** A batch takes a request's time; asked more often, a lane would only answer that it is busy. */
const BUSY_WAIT_MS = 100;
/** Lower bound of an encoded ping with empty texts; a backlog with as many pings as this gives may be full by bytes. */
const TYPICAL_PING_BYTES = 330;

export function createLanes({ redis, destinations, batchFormed, failed }: LanesOptions) {
  const timers = new Map<string, { at: number; timer: NodeJS.Timeout }>();
  /** Lanes being asked, and those to be asked again right after. */
  const asking = new Map<string, "once" | "again">();
  /** Lanes whose batch this process is delivering: they are asked when it is settled. */
  const delivering = new Set<string>();
  let stopped = false;

  /** Something was stored: `backlog` is `destination|lane|source`, `length` what waits there now. */
  function arrived(backlog: string, length: number): void {
    const [name = "", lane = ""] = backlog.split("|");
    const destination = destinations.get(name);
    if (!destination) return;
    const { maxBatchPings, maxBatchBytes, maxBatchAgeMs } = destination;
    if (delivering.has(`${name}|${lane}`)) {
      // Usually too early; but the batch may have been delivered by another process, of which this one gets no report.
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
        const answer = await nextBatch(redis, destination, lane, randomUUID());
        if (answer.kind === "batch") {
          delivering.add(key);
          await batchFormed(answer.batch);
          return;
        }
        if (answer.kind === "closed" || answer.kind === "wait") askIn(destination, lane, answer.waitMs);
        if (answer.kind !== "again" && asking.get(key) !== "again") return;
      }
    } catch (error) {
      // Nothing is lost: the sweep finds a batch that was formed, and a lane where something waits is asked again.
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

  /** The lane's batch is settled, or is another process's now. */
  function freed({ destination: name, lane }: BatchName): void {
    delivering.delete(`${name}|${lane}`);
    const destination = destinations.get(name);
    if (destination) ask(destination, lane);
  }

  /** The sweep found a lane that waits without a batch: the one formed here has been delivered, by whichever process. */
  function needsBatch(name: string, lane: number): void {
    const destination = destinations.get(name);
    if (!destination) return;
    delivering.delete(`${name}|${lane}`);
    ask(destination, lane);
  }

  /** Forms no more batches. */
  function stop(): void {
    stopped = true;
    for (const { timer } of timers.values()) clearTimeout(timer);
    timers.clear();
  }

  return { arrived, freed, needsBatch, stop };
}
