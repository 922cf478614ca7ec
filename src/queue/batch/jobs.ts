/** The one BullMQ queue: a job is a wake-up for a batch and carries nothing but its name. */

import { setTimeout as pause } from "node:timers/promises";
import { DelayedError, type Job, Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";

/** Which batch to deliver. The pings are in the batch's own key (see keys.ts); that key is the truth. */
export interface BatchName {
  destination: string;
  lane: number;
  batchId: string;
}

/** `unknown_destination`: the job is another process's, whose configuration names the destination. */
export type DeliveryEnd = "done" | "unknown_destination";

export interface JobsOptions {
  /** For commands; the worker makes a blocking connection of its own from it. */
  redis: Redis;
  prefix: string;
  concurrency: number;
  lockMs: number;
  stalledCheckMs: number;
  deliver(batch: BatchName): Promise<DeliveryEnd>;
  failed(error: unknown): void;
}

export type Jobs = ReturnType<typeof createJobs>;

const QUEUE_NAME = "deliver";
/** Nothing reads BullMQ's event stream; without a bound it fills Redis (gigabytes, by its issue tracker). */
const MAX_EVENTS = 100;
/** How long an idle worker waits in one read; a connection silent for twice as long is closed (redis.ts). */
const BLOCKING_READ_S = 2;
/**
 * After the last delivery has ended, BullMQ needs a few commands to finish its job. It also waits for the end of its
 * blocking connection, and for ever where that is just being opened again, as after a time without writes (6.7, seen once
 * in some hundred ends); what BullMQ leaves undone the check for stalled jobs does.
 */
const FINISH_WITHIN_MS = 2000;

/**
 * A job whose destination is unknown here goes back for another process: soon, because the batch's pings grow old, and
 * because chance gives it to the same process again: with one in three that knows it, one batch in a hundred is passed on
 * a dozen times.
 */
const PASS_ON_MS = 20;
/** Later and later from here on: a second has passed, so perhaps no process knows it. */
const SOON_PASSES = 50;
const MAX_PASS_ON_MS = 2000;
/** After about two minutes no running process knows it. The batch stays, and the sweep of one that does wakes it. */
const MAX_PASSES = 110;

function passOnMs(times: number): number {
  return Math.min(MAX_PASS_ON_MS, PASS_ON_MS * 2 ** Math.max(0, times - SOON_PASSES));
}

export function createJobs(options: JobsOptions) {
  const { redis, prefix } = options;
  const queue = new Queue(QUEUE_NAME, {
    connection: redis,
    prefix,
    streams: { events: { maxLen: MAX_EVENTS } },
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
  });
  const deliveries = new Set<Promise<DeliveryEnd>>();
  async function deliver(batch: BatchName): Promise<DeliveryEnd> {
    const delivery = options.deliver(batch);
    deliveries.add(delivery);
    try {
      return await delivery;
    } finally {
      deliveries.delete(delivery);
    }
  }
  async function handle(job: Job, token: string | undefined): Promise<void> {
    const end = await deliver({ destination: job.data.d, lane: job.data.l, batchId: String(job.id) });
    if (end === "done" || job.attemptsStarted >= MAX_PASSES) return;
    await job.moveToDelayed(Date.now() + passOnMs(job.attemptsStarted), token);
    throw new DelayedError();
  }
  const worker = new Worker(QUEUE_NAME, handle, {
    connection: redis,
    prefix,
    concurrency: options.concurrency,
    lockDuration: options.lockMs,
    stalledInterval: options.stalledCheckMs,
    // Never: a batch that met two crashes must not be lost. Only its age ends it.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    removeOnComplete: { count: 0 },
    removeOnFail: { count: 0 },
    drainDelay: BLOCKING_READ_S,
    // A failed wake-up needs no delay of ours: the sweep wakes the batch again.
    runRetryDelay: 1000,
  });
  queue.on("error", options.failed);
  worker.on("error", options.failed);
  worker.on("failed", (_job, error) => options.failed(error));

  return {
    /** Adding a job that still exists changes nothing, so waking twice is harmless. */
    async wake({ destination, lane, batchId }: BatchName): Promise<void> {
      await queue.add("batch", { d: destination, l: lane }, { jobId: batchId });
    },
    /** How many deliveries may be under way at once from now on. */
    allow(concurrency: number): void {
      worker.concurrency = concurrency;
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
    /** Starts no more deliveries and lets those in flight end. */
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
