/** A lease in Redis: of several processes exactly one owns it, so that a broker session has one user. */

import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { messageOf } from "../../untrusted.ts";
import { loadScript, runScript } from "./script.ts";

const RENEW = loadScript("lease-renew");
const RELEASE = loadScript("lease-release");

/**
 * An owner that died is replaced when this has run out; then the broker still has to be connected, and the messages it
 * queued sent: 5 s in all. Longer than any stall that is tolerated (`toleratedStallMs`) and a renewal.
 */
const LEASE_MS = 2500;
const RENEW_EVERY_MS = 500;

/** After an owner could not begin, so that another process, whose files may be right, gets its turn. */
const RETRY_AFTER_MS = 5000;

export interface LeaseEvents {
  /** This process owns it, for the first time or again. May throw: the lease is then released, and acquired again later. */
  acquired(): void;
  /** Redis has been away for longer than the lease: another process that reaches Redis may own it from now on. */
  expired(): void;
  /** Another process owns it. */
  lost(): void;
  /** One of the above threw. */
  failed(error: unknown): void;
}

export interface Standing {
  kind: "standby" | "failed";
  reason: string;
}

export interface Lease {
  /** Of a process that does not own it: whether it waits for its turn or could not begin, and why, in words. */
  standing(): Standing;
  /** Releases the lease, so that another process need not wait for it to run out. */
  close(): Promise<void>;
}

const ASKING: Standing = { kind: "standby", reason: "asking for the lease" };
const OTHER: Standing = { kind: "standby", reason: "another process holds the lease" };
const AWAY: Standing = { kind: "standby", reason: "storage is away" };

export function holdLease(redis: Redis, key: string, events: LeaseEvents): Lease {
  const owner = randomUUID();
  let standing = ASKING;
  let state: "none" | "owned" | "expired" = "none";
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let expiry: NodeJS.Timeout | undefined;

  async function renew(): Promise<void> {
    const askedAt = performance.now();
    const othersForMs = await request();
    if (closed) return;
    let nextMs = RENEW_EVERY_MS;
    if (othersForMs === null) {
      // The lease stays ours for as long as it would have run; then its own timer ends it.
      standing = AWAY;
    } else if (othersForMs > 0) {
      standing = OTHER;
      yieldLease("none");
      // A lease that is not renewed any more is requested the moment it has run out.
      nextMs = Math.min(nextMs, othersForMs + 1);
    } else if (!own(askedAt + LEASE_MS - performance.now())) {
      nextMs = RETRY_AFTER_MS;
      await release();
      if (closed) return;
    }
    timer = setTimeout(() => void renew(), nextMs);
  }

  /** Milliseconds for which another process owns it, 0 where this one does; null while Redis does not answer. */
  async function request(): Promise<number | null> {
    try {
      const [othersForMs] = await runScript(redis, RENEW, [key], [owner, LEASE_MS]);
      return Number(othersForMs);
    } catch {
      return null;
    }
  }

  /** False when this process cannot begin. An answer that came later than the lease lasts is worth nothing. */
  function own(forMs: number): boolean {
    if (forMs <= 0) return true;
    clearTimeout(expiry);
    // A timer of its own, because a Redis that hangs answers the request seconds late.
    expiry = setTimeout(() => {
      standing = AWAY;
      yieldLease("expired");
    }, forMs);
    if (state === "owned") return true;
    try {
      events.acquired();
      state = "owned";
      return true;
    } catch (error) {
      clearTimeout(expiry);
      state = "none";
      standing = { kind: "failed", reason: `cannot begin: ${messageOf(error)}` };
      events.failed(error);
      return false;
    }
  }

  function yieldLease(next: "none" | "expired"): void {
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

  async function release(): Promise<void> {
    await runScript(redis, RELEASE, [key], [owner]).catch(() => []);
  }

  void renew();

  return {
    standing: () => standing,
    async close() {
      closed = true;
      clearTimeout(timer);
      clearTimeout(expiry);
      await release();
    },
  };
}
