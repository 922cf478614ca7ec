/** Shares out the reading of bodies: a source that sends many large ones at once is read at its pace, and others in between. */

/** Read of one source in a window; what is over waits for the next one. 20 MB a second are more than any vendor sends. */
const WINDOW_MS = 50;
const WINDOW_BYTES = 1_000_000;

export interface BodyPace {
  /** So many bytes of the source came; `wait` is called with what goes on reading, where the source has had its share. */
  took(source: string, bytes: number, wait: (goOn: (resume: () => void) => void) => void): void;
}

interface Share {
  bytes: number;
  waiting: (() => void)[];
  timer: NodeJS.Timeout | undefined;
}

export function createBodyPace(): BodyPace {
  const shares = new Map<string, Share>();

  function nextWindow(source: string, share: Share): void {
    share.bytes = 0;
    share.timer = undefined;
    // Each that goes on brings some bytes at once; the rest comes behind them.
    for (let n = RESUMED_AT_ONCE; n > 0 && share.waiting.length > 0; n--) share.waiting.shift()?.();
    if (share.waiting.length > 0) share.timer = setTimeout(nextWindow, WINDOW_MS, source, share);
    else shares.delete(source);
  }

  return {
    took(source, bytes, wait) {
      let share = shares.get(source);
      if (!share) {
        share = { bytes: 0, waiting: [], timer: undefined };
        shares.set(source, share);
      }
      const own = share;
      own.bytes += bytes;
      own.timer ??= setTimeout(nextWindow, WINDOW_MS, source, own);
      if (own.bytes > WINDOW_BYTES) wait((resume) => void own.waiting.push(resume));
    },
  };
}

/** A socket hands over 64 kB at a time. */
const RESUMED_AT_ONCE = Math.ceil(WINDOW_BYTES / 65_536);
