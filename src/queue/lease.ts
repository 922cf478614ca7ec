/** A lease in Redis: of several processes exactly one holds it, so that a broker session has one user. */

import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";

const RENEW = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
`;
const GIVE_BACK = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/** A holder that died is replaced within this time. */
const LEASE_MS = 4000;
const RENEW_EVERY_MS = 1000;

export interface LeaseEvents {
  acquired(): void;
  /** Another process may hold it from now on; also when Redis has been away for longer than the lease. */
  lost(): void;
}

export interface Lease {
  /** Gives the lease back, so that another process need not wait for it to run out. */
  close(): Promise<void>;
}

export function holdLease(redis: Redis, key: string, events: LeaseEvents): Lease {
  const holder = randomUUID();
  let heldUntil = 0;
  let held = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  async function renew(): Promise<void> {
    const askedAt = performance.now();
    try {
      if (Number(await redis.eval(RENEW, 1, key, holder, LEASE_MS)) === 1) heldUntil = askedAt + LEASE_MS;
      else heldUntil = 0;
    } catch {
      // Redis is away: the lease is ours for as long as it would have run.
    }
    if (closed) return;
    const holds = performance.now() < heldUntil;
    if (holds !== held) {
      held = holds;
      if (held) events.acquired();
      else events.lost();
    }
    timer = setTimeout(() => void renew(), RENEW_EVERY_MS);
  }
  void renew();

  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await redis.eval(GIVE_BACK, 1, key, holder).catch(() => 0);
    },
  };
}
