/** Says whether a message of a tenant is taken in now: while the tenant is not paused, and within its limits. */

/** Why not, and when its sender should come again. */
export interface TenantRefusal {
  reason: "tenant_paused" | "tenant_rate" | "tenant_backlog";
  retryAfterS: number;
}

export interface TenantGate {
  /** Null: the message is taken in. */
  refusal(): TenantRefusal | null;
  /** So many raw readings of the tenant were decoded. */
  took(rawReadings: number): void;
  isPaused(): boolean;
}

export interface TenantGateOptions {
  isPaused(): boolean;
  /** More waits than may. */
  isBacklogFull(): boolean;
  /** Infinity: no limit. */
  readingsPerSecond: number;
  now?: () => number;
}

/** An operator ends a pause, and a sender that asks seldom would lose what was new by then. */
const PAUSED_RETRY_AFTER_S = 60;
/** The backlog is looked at each second; it empties at the destination's pace. */
const BACKLOG_RETRY_AFTER_S = 10;
/** So much may come at once: a fleet reports in waves. */
const BURST_S = 2;
/** Positions are worth most when they are new. */
const MAX_RETRY_AFTER_S = 300;

/**
 * A token bucket that may be overdrawn: how many readings a message has is known after it was decoded, so the message that
 * exceeds the limit is taken, and the next one waits until that is made up for.
 */
export function createTenantGate({
  isPaused,
  isBacklogFull,
  readingsPerSecond,
  now = () => performance.now(),
}: TenantGateOptions): TenantGate {
  const most = Math.max(1, readingsPerSecond * BURST_S);
  const isLimited = Number.isFinite(readingsPerSecond);
  let tokens = most;
  let at = now();

  function refill(): void {
    const time = now();
    tokens = Math.min(most, tokens + ((time - at) / 1000) * readingsPerSecond);
    at = time;
  }

  return {
    refusal() {
      if (isPaused()) return { reason: "tenant_paused", retryAfterS: PAUSED_RETRY_AFTER_S };
      if (isBacklogFull()) return { reason: "tenant_backlog", retryAfterS: BACKLOG_RETRY_AFTER_S };
      if (!isLimited) return null;
      refill();
      // Less than one would let a sender of single readings through a little too often.
      if (tokens >= Math.min(1, most)) return null;
      const waitS = Math.ceil((1 - tokens) / readingsPerSecond);
      return { reason: "tenant_rate", retryAfterS: Math.min(MAX_RETRY_AFTER_S, Math.max(1, waitS)) };
    },
    took(rawReadings) {
      if (isLimited) tokens -= rawReadings;
    },
    isPaused,
  };
}
