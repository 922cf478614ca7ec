/** The one BullMQ queue: a job is a wake-up for a batch and carries nothing but its name. */

import { setTimeout as pause } from "node:timers/promises";
import { Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";

/** Which batch to deliver. The pings are in the batch's own key (see keys.ts); that key is the truth. */
export interface BatchName {
  destination: string;
  lane: number;
  batchId: string;
}

export interface JobsOptions {
  /** For commands; the worker makes a blocking connection of its own from it. */
  redis: Redis;
  prefix: string;
  concurrency: number;
  lockMs: number;
  stalledCheckMs: number;
  deliver(batch: BatchName): Promise<void>;
  failed(error: unknown): void;
}

export type Jobs = ReturnType<typeof createJobs>;

const QUEUE_NAME = "deliver";
/** Nothing reads BullMQ's event stream; without a bound it eats Redis (facts of its issue tracker: gigabytes). */
const MAX_EVENTS = 100;
/** How long an idle worker waits in one read; a connection silent for twice as long is given up (redis-health.ts). */
const BLOCKING_READ_S = 2;
/**
 * After the last delivery has ended, BullMQ needs a few commands to finish its job. It waits for the end of its blocking
 * connection too, and for ever where that is just being made anew, as after a time without writes (6.7, seen once in
 * some hundred ends); what it leaves undone a stalled job's check does.
 */
const FINISH_WITHIN_MS = 2000;

export function createJobs(options: JobsOptions) {
  const { redis, prefix } = options;
  const queue = new Queue(QUEUE_NAME, {
    connection: redis,
    prefix,
    streams: { events: { maxLen: MAX_EVENTS } },
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
  });
  const deliveries = new Set<Promise<void>>();
  async function deliver(batch: BatchName): Promise<void> {
    const delivery = options.deliver(batch);
    deliveries.add(delivery);
    try {
      await delivery;
    } finally {
      deliveries.delete(delivery);
    }
  }
  const worker = new Worker(
    QUEUE_NAME,
    (job) => deliver({ destination: job.data.d, lane: job.data.l, batchId: String(job.id) }),
    {
      connection: redis,
      prefix,
      concurrency: options.concurrency,
      lockDuration: options.lockMs,
      stalledInterval: options.stalledCheckMs,
      // Never: a batch that met two crashes must not be lost. Its age ends it, nothing else.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
      drainDelay: BLOCKING_READ_S,
      // A failed wake-up needs no delay of ours: the sweep wakes the batch again.
      runRetryDelay: 1000,
    },
  );
  queue.on("error", options.failed);
  worker.on("error", options.failed);
  worker.on("failed", (_job, error) => options.failed(error));

  return {
    /** Adding a job that still exists changes nothing, so waking twice is harmless. */
    async wake({ destination, lane, batchId }: BatchName): Promise<void> {
      await queue.add("batch", { d: destination, l: lane }, { jobId: batchId });
    },
    async counts(): Promise<{ waiting: number; active: number; delayed: number; failed: number }> {
      const {
        wait = 0,
        active = 0,
        delayed = 0,
        failed = 0,
      } = await queue.getJobCounts("wait", "active", "delayed", "failed");
      return { waiting: wait, active, delayed, failed };
    },
    /** Takes no more batches and lets those under way end. */
    async close(): Promise<void> {
      const closed = worker.close().then(() => queue.close());
      closed.catch(options.failed);
      for (;;) {
        await Promise.allSettled(deliveries);
        const late = pause(FINISH_WITHIN_MS, false, { ref: false });
        const isClosed = await Promise.race([closed.then(() => true), late]);
        // A job that was being fetched may have begun meanwhile.
        if (isClosed || deliveries.size === 0) return;
      }
    },
  };
}
