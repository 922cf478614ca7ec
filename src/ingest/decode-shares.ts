/** Divides the event loop among the sources: what one of them sends is decoded in its own share of the time. */

/** A quarter of the time; what the other sources do not use comes on top. */
const SHARE = 0.25;
/** What a source may use at once before it counts as over its share. */
const BURST_MS = 50;
/** A source that has used less than this goes first: in a flood the usual small message need not wait for a turn. */
const LIGHT_MS = 1;
/** Decoding in one turn of the event loop, of all sources of one standing together. */
const TURN_MS = { light: 20, within: 20, over: 8 };
type Standing = keyof typeof TURN_MS;
/** Bodies of one source that wait for their turn: sixteen of the largest, or as many small ones as a large fleet sends at once. */
const MAX_WAITING_BYTES = 32_000_000;
/** Of all sources together. */
const MAX_ALL_WAITING_BYTES = 256_000_000;
/** What a waiting message takes beside its body. */
const MESSAGE_BYTES = 2000;
/**
 * Of one source on its way to storage; above it nothing more of the source is begun: Redis and the connection to it are
 * shared, too. Fifty messages of 100 readings go together; with fewer a busy source would be slower by a tenth.
 */
const MAX_UNSTORED_BYTES = 1_000_000;
/** A message that waited this long is worth a report: the source wants more than its share, and does not get it. */
const REPORT_AFTER_MS = 500;

export interface Shares {
  /**
   * Takes the steps at once where the source may, and returns their result as it is; otherwise when its turn comes.
   * In order for each source. Null: too much of the source waits already.
   */
  run<Result>(source: string, bytes: number, steps: Steps<Result>): Result | Promise<Result> | null;
  /** Charges work that was done for the source elsewhere. */
  charge(source: string, ms: number): void;
  /** A message is on its way to storage; the returned function says that it has arrived, or has not. */
  storing(source: string, bytes: number): () => void;
  /** False while the source has used up its share, or this turn of the event loop: nothing more of it should be read. */
  mayRead(source: string): boolean;
}

/** Pauses with each `yield`. */
export type Steps<Result> = Iterator<undefined, Result, undefined>;

interface Task {
  bytes: number;
  since: number;
  /** One step; true when it was the last. */
  step(): boolean;
}

interface Share {
  name: string;
  /** Time used and not yet given back, milliseconds, at `at`. */
  usedMs: number;
  at: number;
  waiting: Task[];
  waitingBytes: number;
  unstoredBytes: number;
}

interface Clock {
  now: () => number;
  /** Called back in the next turn of the event loop. */
  nextTurn: (turn: () => void) => void;
}

export function createShares({
  usedUp,
  now = () => performance.now(),
  nextTurn = (turn) => void setImmediate(turn),
}: {
  /** `waitedMs`: how long the message waited, or the first of those that left it no room. */
  usedUp(source: string, waitedMs: number): void;
} & Partial<Clock>): Shares {
  const shares = new Map<string, Share>();
  const turns = createTurns({ now, nextTurn }, serveAll);
  /** Those with something waiting, the next one first. */
  let queue: Share[] = [];
  let allWaitingBytes = 0;

  function shareOf(name: string): Share {
    let share = shares.get(name);
    if (!share) {
      share = { name, usedMs: 0, at: now(), waiting: [], waitingBytes: 0, unstoredBytes: 0 };
      shares.set(name, share);
    }
    return share;
  }

  /** Each once a turn; a source that was served stands behind the others in the next one. */
  function serveAll(): void {
    const [served, unserved]: [Share[], Share[]] = [[], []];
    for (const share of queue) (serve(share) ? served : unserved).push(share);
    queue = [...unserved, ...served].filter(({ waiting }) => waiting.length > 0);
    if (queue.some(({ unstoredBytes }) => unstoredBytes < MAX_UNSTORED_BYTES)) turns.arm();
  }

  function serve(share: Share): boolean {
    let isServed = false;
    for (;;) {
      const [task] = share.waiting;
      if (!task || share.unstoredBytes >= MAX_UNSTORED_BYTES || !turns.hasTime(share, now())) return isServed;
      isServed = true;
      if (!turns.proceed(share, task.step)) return true;
      share.waiting.shift();
      share.waitingBytes -= task.bytes;
      allWaitingBytes -= task.bytes;
      const waitedMs = now() - task.since;
      if (waitedMs > REPORT_AFTER_MS) usedUp(share.name, waitedMs);
    }
  }

  function run<Result>(source: string, bodyBytes: number, steps: Steps<Result>) {
    const share = shareOf(source);
    let outcome: { result: Result } | undefined;
    const step = (): boolean => {
      const next = steps.next();
      if (!next.done) return false;
      outcome = { result: next.value };
      return true;
    };
    const mayBegin = share.waiting.length === 0 && share.unstoredBytes < MAX_UNSTORED_BYTES;
    if (mayBegin && turns.proceed(share, step) && outcome) return outcome.result;
    const bytes = bodyBytes + MESSAGE_BYTES;
    if (isFull(share, bytes)) {
      usedUp(source, now() - (share.waiting[0]?.since ?? now()));
      return null;
    }
    return new Promise<Result>((resolve, reject) => {
      enqueue(share, bytes, () => {
        try {
          if (!step()) return false;
          if (outcome) resolve(outcome.result);
        } catch (error) {
          reject(error);
        }
        return true;
      });
    });
  }

  function isFull({ waitingBytes }: Share, bytes: number): boolean {
    return (
      waitingBytes > 0 &&
      (waitingBytes + bytes > MAX_WAITING_BYTES || allWaitingBytes + bytes > MAX_ALL_WAITING_BYTES)
    );
  }

  function enqueue(share: Share, bytes: number, step: () => boolean): void {
    share.waiting.push({ bytes, since: now(), step });
    share.waitingBytes += bytes;
    allWaitingBytes += bytes;
    if (share.waiting.length === 1) queue.push(share);
    turns.arm();
  }

  return {
    run,
    charge: (source, ms) => turns.spend(shareOf(source), ms),
    storing(source, bytes) {
      const share = shareOf(source);
      share.unstoredBytes += bytes;
      return () => {
        share.unstoredBytes -= bytes;
        if (share.waiting.length > 0) turns.arm();
      };
    },
    mayRead: (source) => {
      const share = shareOf(source);
      return share.waiting.length === 0 && turns.hasTime(share, now());
    },
  };
}

/** Counts the time of each share, and of each turn of the event loop. */
function createTurns({ now, nextTurn }: Clock, onTurn: () => void) {
  let isArmed = false;
  let spentMs: Record<Standing, number> = { light: 0, within: 0, over: 0 };

  function arm(): void {
    if (isArmed) return;
    isArmed = true;
    nextTurn(() => {
      isArmed = false;
      spentMs = { light: 0, within: 0, over: 0 };
      onTurn();
    });
  }

  function hasTime(share: Share, at: number): boolean {
    share.usedMs = Math.max(0, share.usedMs - (at - share.at) * SHARE);
    share.at = at;
    const standing = standingOf(share);
    return spentMs[standing] < TURN_MS[standing];
  }

  function spend(share: Share, ms: number): void {
    spentMs[standingOf(share)] += ms;
    share.usedMs += ms;
    arm();
  }

  /** Steps while there is time in this turn; true when there is nothing left to do. */
  function proceed(share: Share, step: () => boolean): boolean {
    let at = now();
    while (hasTime(share, at)) {
      const isDone = step();
      const after = now();
      spend(share, after - at);
      if (isDone) return true;
      at = after;
    }
    return false;
  }

  return { arm, hasTime, spend, proceed };
}

function standingOf({ usedMs }: Share): Standing {
  if (usedMs < LIGHT_MS) return "light";
  return usedMs > BURST_MS ? "over" : "within";
}
