/** Writes messages into one scope's Redis together: what arrives while a call is in flight goes with the next one. */

import { type Redis, ReplyError } from "ioredis";
import { StoreError, type StoreVerdict } from "../../ingest/store.ts";
import type { RejectionReason } from "../../reading.ts";
import { loadScript, runScript } from "../redis/script.ts";
import type { RetryAfter } from "./retry-after.ts";
import type { Routes } from "./routes.ts";

const STORE = loadScript("store");

/** Messages per script call: Redis serves no other client meanwhile, and 64 single readings take it well under 1 ms. */
const MAX_MESSAGES_PER_CALL = 64;
/** A bound in readings too: 1,000 cost Redis about 8 ms, in which it serves no other client. */
export const MAX_READINGS_PER_CALL = 1000;
/** Calls in flight per scope: the second is built and sent while Redis works on the first. */
const MAX_CALLS_IN_FLIGHT = 2;

export type Args = (string | number)[];

/** What one message asks of one scope, ready for the script. */
export interface Write {
  source: string;
  receivedAt: number;
  bodyPrint: string;
  /** `field,amount,field,amount`. */
  counters: string;
  readings: Args;
  readingCount: number;
  /** How many devices its tenant may have, as store.lua reads it; empty where there is no limit. */
  limit: string;
  /** What its timelines tell beside the readings: JSON, as store.lua reads it; empty where that is nothing. */
  told: string;
}

interface PendingWrite {
  write: Write;
  resolve(verdict: StoreVerdict): void;
  reject(error: StoreError): void;
}

export interface GroupCommitOptions {
  redis: Redis;
  keyPrefix: string;
  routes: Routes;
  /** How long a message may wait for others to go with it; 0: until the event loop has read what arrived with it. */
  groupCommitMs: number;
  retryAfter: RetryAfter;
  /** Called after every commit with what now waits where, so that a full batch is formed at once. */
  arrived(backlog: string, length: number): void;
  committed(event: { messages: number; readings: number; tookMs: number }): void;
}

export type GroupCommit = ReturnType<typeof createGroupCommit>;

export const NO_REJECTIONS: ReadonlyMap<RejectionReason, number> = new Map();

export function createGroupCommit({
  redis,
  keyPrefix,
  routes,
  groupCommitMs,
  retryAfter,
  arrived,
  committed,
}: GroupCommitOptions) {
  let pending: PendingWrite[] = [];
  let inFlight = 0;
  let idleWaiters: (() => void)[] = [];

  function add(write: Write): Promise<StoreVerdict> {
    return new Promise((resolve, reject) => {
      pending.push({ write, resolve, reject });
      if (inFlight >= MAX_CALLS_IN_FLIGHT || pending.length > 1) return;
      if (groupCommitMs > 0) setTimeout(flush, groupCommitMs);
      else setImmediate(flush);
    });
  }

  function flush(): void {
    while (pending.length > 0 && inFlight < MAX_CALLS_IN_FLIGHT) void commit(nextGroup());
  }

  function nextGroup(): PendingWrite[] {
    let readings = 0;
    let n = 0;
    for (const { write } of pending) {
      if (n === MAX_MESSAGES_PER_CALL || (n > 0 && readings + write.readingCount > MAX_READINGS_PER_CALL))
        break;
      readings += write.readingCount;
      n++;
    }
    const group = pending.slice(0, n);
    pending = pending.slice(n);
    return group;
  }

  async function commit(group: PendingWrite[]): Promise<void> {
    inFlight++;
    const startedAt = performance.now();
    try {
      const args: Args = [...routes.limits(keyPrefix), group.length];
      for (const { write } of group) appendArgs(args, write);
      const reply = await runScript(redis, STORE, [keyPrefix], args);
      committed({
        messages: group.length,
        readings: group.reduce((sum, { write }) => sum + write.readingCount, 0),
        tookMs: performance.now() - startedAt,
      });
      retryAfter.storageBack();
      group.forEach((each, i) => {
        answer(each, reply[i]);
      });
      for (let i = group.length; i < reply.length; i += 2) arrived(String(reply[i]), Number(reply[i + 1]));
    } catch (error) {
      const failure = new StoreError("storage_unavailable", retryAfter.storageAway(), error);
      for (const { reject } of group) reject(failure);
      if (error instanceof ReplyError) return;
      // Redis is silent. The messages behind would each wait in turn for a call to time out, long after their sender did.
      for (const { reject } of pending.splice(0)) reject(failure);
    } finally {
      inFlight--;
      flush();
      if (inFlight === 0 && pending.length === 0) {
        for (const done of idleWaiters) done();
        idleWaiters = [];
      }
    }
  }

  function answer({ resolve, reject }: PendingWrite, verdict: unknown): void {
    if (!Array.isArray(verdict)) {
      resolve({ stored: Number(verdict), duplicates: 0, rejections: NO_REJECTIONS });
      return;
    }
    const [isStored, ...rest] = verdict.map(Number);
    if (isStored === 0) {
      const [bytes = 0, place = 0, shutMs = 0] = rest;
      const [destination, limitBytes] = routes.limits(keyPrefix).slice(1 + 2 * place);
      const seen = { destination: String(destination), bytes, limitBytes: Number(limitBytes), shutMs };
      reject(new StoreError("buffer_full", retryAfter.bufferFull(seen)));
      return;
    }
    const [stored = 0, duplicates = 0, jumps = 0, thinned = 0, tooMany = 0] = rest;
    if (jumps + thinned + tooMany === 0) {
      resolve({ stored, duplicates, rejections: NO_REJECTIONS });
      return;
    }
    const rejections = new Map<RejectionReason, number>();
    if (jumps > 0) rejections.set("implausible_jump", jumps);
    if (thinned > 0) rejections.set("thinned", thinned);
    if (tooMany > 0) rejections.set("too_many_devices", tooMany);
    resolve({ stored, duplicates, rejections });
  }

  function idle(): Promise<void> {
    if (inFlight === 0 && pending.length === 0) return Promise.resolve();
    return new Promise((resolve) => idleWaiters.push(resolve));
  }

  return { add, idle };
}

function appendArgs(args: Args, write: Write): void {
  const { source, receivedAt, counters, readingCount, bodyPrint, told, limit } = write;
  args.push(source, receivedAt, counters);
  if (told !== "") args.push(`${readingCount}:${bodyPrint}+${limit}`, told);
  else if (bodyPrint !== "" || limit !== "") args.push(`${readingCount}:${bodyPrint}${limit}`);
  else args.push(readingCount);
  for (const arg of write.readings) args.push(arg);
}
