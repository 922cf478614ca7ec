/** Computes when a refused sender should come again: from how long the refusals last, and how fast the buffer empties. */

/** A full buffer, as the script found it. */
export interface FullBuffer {
  destination: string;
  bytes: number;
  limitBytes: number;
  /** How long its gate stays shut for certain, milliseconds; 0: it is open. */
  shutMs: number;
}

export interface RetryAfter {
  /** Storage failed. The longer it has been away, the longer it is likely to stay away. */
  storageAway(): number;
  storageBack(): void;
  /** The last attempt to store failed. */
  isStorageAway(): boolean;
  bufferFull(seen: FullBuffer): number;
}

/** A restart of Redis takes about this long; sooner would only be refused again. */
const MIN_S = 2;
/** Positions are worth most when they are new, and storage may be back any moment. */
const MAX_AWAY_S = 60;
/** A full buffer empties at the destination's pace. */
const MAX_FULL_S = 300;
/** Until this much of the buffer is free again it would be full at once. */
const ROOM_SHARE = 0.05;
/** Two observations closer together than this say nothing about the pace. */
const PACE_OVER_MS = 1000;
/** Refusals further apart belong to two occasions. */
const ONE_OCCASION_MS = 60_000;
/** Spreads senders that were refused together, so that they do not come again together. */
const SPREAD = 0.25;

export function createRetryAfter(now = () => performance.now(), random = Math.random): RetryAfter {
  let awaySince: number | null = null;
  const full = new Map<
    string,
    { since: number; from: number; bytes: number; pace: number | null; seenAt: number }
  >();

  const spread = (seconds: number, most: number) =>
    Math.ceil(Math.min(most, Math.max(MIN_S, seconds) * (1 + SPREAD * random())));

  function bufferFull({ destination, bytes, limitBytes, shutMs }: FullBuffer): number {
    const at = now();
    let known = full.get(destination);
    if (!known || at - known.seenAt > ONE_OCCASION_MS) {
      known = { since: at, from: at, bytes, pace: null, seenAt: at };
      full.set(destination, known);
    }
    known.seenAt = at;
    if (at - known.from >= PACE_OVER_MS) {
      known.pace = (known.bytes - bytes) / (at - known.from);
      known.from = at;
      known.bytes = bytes;
    }
    // Nothing leaves: then it is an outage like any other.
    if (known.pace === null || known.pace <= 0)
      return spread(Math.max(shutMs, at - known.since) / 1000, MAX_FULL_S);
    const tooMuch = bytes - (1 - ROOM_SHARE) * limitBytes;
    return spread((shutMs + tooMuch / known.pace) / 1000, MAX_FULL_S);
  }

  return {
    storageAway() {
      awaySince ??= now();
      return spread((now() - awaySince) / 1000, MAX_AWAY_S);
    },
    storageBack() {
      awaySince = null;
    },
    isStorageAway: () => awaySince !== null,
    bufferFull,
  };
}
