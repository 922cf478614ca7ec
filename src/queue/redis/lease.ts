/** A lease in Redis: of several processes exactly one holds it, so that a broker session has one user. */

import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { messageOf } from "../../untrusted.ts";

/** Returns 0 when it is ours, else for how much longer it is somebody else's, in ms. */
const RENEW = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]); return 0 end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
return math.max(1, redis.call('PTTL', KEYS[1]))
`;
const GIVE_BACK = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/**
 * A holder that died is replaced when this has run out; then the broker still has to be connected, and what it held back
 * sent on: 5 s in all. Longer than any stall that is tolerated (`toleratedStallMs`) and a renewal.
 */
const LEASE_MS = 2500;
const RENEW_EVERY_MS = 500;

/** After a holder could not begin, so that another process, whose files may be right, gets its turn. */
const RETRY_AFTER_MS = 5000;

export interface LeaseEvents {
  /** It is ours, for the first time or again. May throw: the lease is then given back, and taken again later. */
  acquired(): void;
  /** Redis has been away for longer than the lease: another process that reaches it may hold it from now on. */
  expired(): void;
  /** Another process holds it. */
  lost(): void;
  /** One of the above threw. */
  failed(error: unknown): void;
}

export interface Standing {
  kind: "standby" | "failed";
  reason: string;
}

export interface Lease {
  /** Of a process that does not hold it: whether it waits for its turn or could not begin, and why, in words. */
  standing(): Standing;
  /** Gives the lease back, so that another process need not wait for it to run out. */
  close(): Promise<void>;
}

const ASKING: Standing = { kind: "standby", reason: "asking for the lease" };
const OTHER: Standing = { kind: "standby", reason: "another process holds the lease" };
const AWAY: Standing = { kind: "standby", reason: "storage is away" };

export function holdLease(redis: Redis, key: string, events: LeaseEvents): Lease {
  const holder = randomUUID();
  let standing = ASKING;
  let state: "none" | "held" | "expired" = "none";
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let expiry: NodeJS.Timeout | undefined;

  async function renew(): Promise<void> {
    const askedAt = performance.now();
    const heldForMs = await ask();
    if (closed) return;
    let nextMs = RENEW_EVERY_MS;
    if (heldForMs === null) {
      // The lease is ours for as long as it would have run; then its own timer ends it.
      standing = AWAY;
    } else if (heldForMs > 0) {
      standing = OTHER;
      leave("none");
      // A lease that is not renewed any more is asked for the moment it has run out.
      nextMs = Math.min(nextMs, heldForMs + 1);
    } else if (!hold(askedAt + LEASE_MS - performance.now())) {
      nextMs = RETRY_AFTER_MS;
      await giveBack();
      if (closed) return;
    }
    timer = setTimeout(() => void renew(), nextMs);
  }

  /** Milliseconds for which another process holds it, 0 where we do; null while Redis does not answer. */
  async function ask(): Promise<number | null> {
    try {
      return Number(await redis.eval(RENEW, 1, key, holder, LEASE_MS));
    } catch {
      return null;
    }
  }

  /** False when this process cannot begin. An answer that came later than the lease lasts is worth nothing. */
  function hold(forMs: number): boolean {
    if (forMs <= 0) return true;
    clearTimeout(expiry);
    // Apart from the question, which a Redis that hangs answers seconds late.
    expiry = setTimeout(() => {
      standing = AWAY;
      leave("expired");
    }, forMs);
    if (state === "held") return true;
    try {
      events.acquired();
      state = "held";
      return true;
    } catch (error) {
      clearTimeout(expiry);
      state = "none";
      standing = { kind: "failed", reason: `cannot begin: ${messageOf(error)}` };
      events.failed(error);
      return false;
    }
  }

  function leave(next: "none" | "expired"): void {
    clearTimeout(expiry);
    if (state === "none") return;
    state = next;
    try {
      if (next === "expired") events.expired();
      else events.lost();
    } catch (error) {
      events.failed(error);
    }
  }

  async function giveBack(): Promise<void> {
    await redis.eval(GIVE_BACK, 1, key, holder).catch(() => 0);
  }

  void renew();

  return {
    standing: () => standing,
    async close() {
      closed = true;
      clearTimeout(timer);
      clearTimeout(expiry);
      await giveBack();
    },
  };
}
