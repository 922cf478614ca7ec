/** Remembers which addresses lately showed the right credentials for which name: they have a budget of their own. */

import { LRUCache } from "lru-cache";
import { type Account, levelAt, openedAccount, type Pace } from "./guess-accounts.ts";

/** Some 200 bytes each: a tracker in a mobile network has another address every day. */
const MAX_TRUSTED = 20_000;
/** How long an address is trusted: trackers and people are back the next day. */
const TRUSTED_FOR_MS = 26 * 3_600_000;
/** How exactly the time is remembered at which an address was right. */
const NOTED_EVERY_MS = 60_000;

export interface TrustedSender {
  /** When it was last right, on the clock that `now` reads. */
  atMs: number;
  /** Null while it was never wrong since. */
  account: Account | null;
}

export interface TrustedSenders {
  of(key: string): TrustedSender | undefined;
  /** Its account, opened by its first wrong guess. */
  accountOf(key: string, sender: TrustedSender): Account;
  /**
   * The sender was right. `closeAccount` removes and gives what was counted against it before it was trusted. True where
   * something was, and is forgiven. Hot.
   */
  trust(key: string, closeAccount: () => Account | null): boolean;
  /** True while no trusted sender was wrong lately. */
  areQuiet(): boolean;
}

export function createTrustedSenders({
  pace,
  forgives,
  now,
}: {
  pace: Pace;
  /** Right credentials wipe out what was wrong before them. */
  forgives: boolean;
  now: () => number;
}): TrustedSenders {
  /** Keys of those that have an account. */
  const blemished = new Set<string>();
  // Of more the one goes that was right longest ago: `peek` changes no order.
  const trusted = new LRUCache<string, TrustedSender>({
    // A bound by size takes its memory as it is used; `max` takes all of it at once.
    maxSize: MAX_TRUSTED,
    sizeCalculation: () => 1,
    dispose: (_, key, reason) => {
      if (reason !== "set") blemished.delete(key);
    },
  });

  function clear(key: string): void {
    blemished.delete(key);
    const sender = trusted.peek(key);
    if (sender) sender.account = null;
  }

  return {
    of(key) {
      const sender = trusted.peek(key);
      if (sender === undefined || now() - sender.atMs < TRUSTED_FOR_MS) return sender;
      trusted.delete(key);
      return undefined;
    },
    accountOf(key, sender) {
      blemished.add(key);
      sender.account ??= openedAccount(pace, now());
      return sender.account;
    },
    trust(key, closeAccount) {
      const atMs = now();
      const sender = trusted.peek(key);
      if (sender !== undefined && sender.account === null && atMs - sender.atMs < NOTED_EVERY_MS)
        return false;
      const before = sender?.account ?? closeAccount();
      const account = before === null || forgives ? null : carriedOver(before, pace, atMs);
      if (account === null) blemished.delete(key);
      else blemished.add(key);
      trusted.set(key, { atMs, account });
      return before !== null && forgives;
    },
    areQuiet() {
      for (const key of blemished) {
        const account = trusted.peek(key)?.account;
        if (account && levelAt(account, now()) > 0) break;
        clear(key);
      }
      return blemished.size === 0;
    },
  };
}

function carriedOver(account: Account, pace: Pace, at: number): Account {
  return {
    ...account,
    pace,
    level: Math.min(account.level, pace.free),
    nextAt: Math.min(account.nextAt, at),
    reserved: 0,
  };
}
