/** Writes messages into one scope's Redis together: what arrives while a call is under way goes with the next one. */

import { type Redis, ReplyError } from "ioredis";
import { StoreError, type StoreVerdict } from "../../ingest/store.ts";
import type { RejectionReason } from "../../reading.ts";
import { run } from "../redis/lua.ts";
import type { RetryAfter } from "./retry-after.ts";
import type { Routes } from "./routes.ts";
import { KEEP } from "./store-script.ts";

/** Messages per script call: Redis serves nobody else meanwhile, and 64 single readings take it well under a millisecond. */
const MAX_MESSAGES_PER_CALL = 64;
/** A bound in readings too: 1,000 cost Redis about 8 ms, in which it serves nobody else. */
export const MAX_READINGS_PER_CALL = 1000;
/** Calls under way per scope: the second is built and sent while Redis works on the first. */
const MAX_CALLS_UNDER_WAY = 2;

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
}

interface Part {
  write: Write;
  settle(verdict: StoreVerdict): void;
  fail(error: StoreError): void;
}

export interface GroupCommitOptions {
  redis: Redis;
  /** Key prefix. */
  scope: string;
  routes: Routes;
  /** How long a message may wait for company; 0: until the event loop has taken what arrived together with it. */
  groupCommitMs: number;
  retryAfter: RetryAfter;
  /** Called after every commit with what now waits where, so that a full batch is cut at once. */
  arrived(line: string, length: number): void;
  committed(event: { messages: number; readings: number; tookMs: number }): void;
}

export type GroupCommit = ReturnType<typeof createGroupCommit>;

export const NO_REJECTIONS: ReadonlyMap<RejectionReason, number> = new Map();

export function createGroupCommit({
  redis,
  scope,
  routes,
  groupCommitMs,
  retryAfter,
  arrived,
  committed,
}: GroupCommitOptions) {
  let pending: Part[] = [];
  let underWay = 0;
  let idleWaiters: (() => void)[] = [];

  function add(write: Write): Promise<StoreVerdict> {
    return new Promise((resolve, reject) => {
      pending.push({ write, settle: resolve, fail: reject });
      if (underWay >= MAX_CALLS_UNDER_WAY || pending.length > 1) return;
      if (groupCommitMs > 0) setTimeout(flush, groupCommitMs);
      else setImmediate(flush);
    });
  }

  function flush(): void {
    while (pending.length > 0 && underWay < MAX_CALLS_UNDER_WAY) void commit(nextGroup());
  }

  function nextGroup(): Part[] {
    let readings = 0;
    let n = 0;
    for (const part of pending) {
      if (
        n === MAX_MESSAGES_PER_CALL ||
        (n > 0 && readings + part.write.readingCount > MAX_READINGS_PER_CALL)
      )
        break;
      readings += part.write.readingCount;
      n++;
    }
    const group = pending.slice(0, n);
    pending = pending.slice(n);
    return group;
  }

  async function commit(group: Part[]): Promise<void> {
    underWay++;
    const startedAt = performance.now();
    try {
      const args: Args = [...routes.limits(scope), group.length];
      for (const { write } of group) appendArgs(args, write);
      const reply = await run(redis, KEEP, scope, args);
      committed({
        messages: group.length,
        readings: group.reduce((sum, part) => sum + part.write.readingCount, 0),
        tookMs: performance.now() - startedAt,
      });
      retryAfter.storageBack();
      group.forEach((part, i) => {
        answer(part, reply[i]);
      });
      for (let i = group.length; i < reply.length; i += 2) arrived(String(reply[i]), Number(reply[i + 1]));
    } catch (error) {
      const failure = new StoreError("storage_unavailable", retryAfter.storageAway(), error);
      for (const part of group) part.fail(failure);
      if (error instanceof ReplyError) return;
      // Redis is silent. Those behind would each wait in turn until a call is given up, long after their sender has.
      for (const part of pending.splice(0)) part.fail(failure);
    } finally {
      underWay--;
      flush();
      if (underWay === 0 && pending.length === 0) {
        for (const done of idleWaiters) done();
        idleWaiters = [];
      }
    }
  }

  function answer(part: Part, verdict: unknown): void {
    if (!Array.isArray(verdict)) {
      part.settle({ stored: Number(verdict), duplicates: 0, rejections: NO_REJECTIONS });
      return;
    }
    const [isStored, ...rest] = verdict.map(Number);
    if (isStored === 0) {
      const [bytes = 0, place = 0, shutMs = 0] = rest;
      const [destination, limitBytes] = routes.limits(scope).slice(1 + 2 * place);
      const seen = { destination: String(destination), bytes, limitBytes: Number(limitBytes), shutMs };
      part.fail(new StoreError("buffer_full", retryAfter.bufferFull(seen)));
      return;
    }
    const [stored = 0, duplicates = 0, jumps = 0, thinned = 0] = rest;
    if (jumps + thinned === 0) {
      part.settle({ stored, duplicates, rejections: NO_REJECTIONS });
      return;
    }
    const rejections = new Map<RejectionReason, number>();
    if (jumps > 0) rejections.set("implausible_jump", jumps);
    if (thinned > 0) rejections.set("thinned", thinned);
    part.settle({ stored, duplicates, rejections });
  }

  function idle(): Promise<void> {
    if (underWay === 0 && pending.length === 0) return Promise.resolve();
    return new Promise((resolve) => idleWaiters.push(resolve));
  }

  return { add, idle };
}

function appendArgs(args: Args, write: Write): void {
  const { source, receivedAt, counters, readingCount, bodyPrint } = write;
  args.push(source, receivedAt, counters, bodyPrint === "" ? readingCount : `${readingCount}:${bodyPrint}`);
  for (const arg of write.readings) args.push(arg);
}
