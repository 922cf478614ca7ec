/** Counts how often each party was wrong, and says when its next guess is checked; in bounded memory. */

/** How often one party may be wrong, and how long it waits then. */
export interface Pace {
  /** Wrong guesses without any delay: for typing errors, and secrets being changed. */
  free: number;
  /** Between two guesses when those are used up; four times as long with each that is wrong. */
  firstMs: number;
  /** Up to this. */
  longestMs: number;
  /** After this time one wrong guess is forgotten. In the long run no party guesses more often. */
  forgetMs: number;
}

export interface Account {
  pace: Pace;
  /** Wrong guesses, less those forgotten. */
  level: number;
  /** When the level was last computed. */
  at: number;
  /** Before this nothing is checked, once the free guesses are used up. */
  nextAt: number;
  /** Turns that are reserved by guesses that wait. */
  reserved: number;
}

/** From 0.1 s on it takes four delayed or refused guesses until a minute is reached. */
const GROWTH = 4;
/** How far a level rises above the free guesses, so that it also falls again in bounded time. */
const MAX_ABOVE_FREE = 10;

export function openedAccount(pace: Pace, at: number): Account {
  return { pace, level: 0, at, nextAt: 0, reserved: 0 };
}

export function levelAt(account: Account, at: number): number {
  const forgotten = Math.floor((at - account.at) / account.pace.forgetMs);
  if (forgotten > 0) {
    account.level = Math.max(0, account.level - forgotten);
    account.at += forgotten * account.pace.forgetMs;
  }
  return account.level;
}

function gapOf({ pace }: Account, level: number): number {
  return Math.min(pace.longestMs, pace.firstMs * GROWTH ** (level - pace.free));
}

/** The free guesses are used up. */
export function isSpent(account: Account, at: number): boolean {
  return levelAt(account, at) >= account.pace.free;
}

/** Milliseconds until the next guess may be checked. */
export function waitOf(account: Account, at: number): number {
  return isSpent(account, at) ? Math.max(0, account.nextAt - at) : 0;
}

/** Reserves the next turn, so that guesses that come together are checked one after the other. False where none is needed. */
export function reserve(account: Account, at: number): boolean {
  if (!isSpent(account, at)) return false;
  // Guesses that wait count as wrong, so that a hundred at once wait as long as if they came one by one.
  if (account.nextAt <= at) account.reserved = 0;
  account.nextAt = Math.max(account.nextAt, at) + gapOf(account, account.level + account.reserved);
  account.reserved += 1;
  return true;
}

/** One more guess was wrong. */
export function wrong(account: Account, at: number): void {
  const level = levelAt(account, at);
  if (level === 0) account.at = at;
  account.reserved = Math.max(0, account.reserved - 1);
  account.level = Math.min(level + 1, account.pace.free + MAX_ABOVE_FREE);
  if (account.level >= account.pace.free) {
    account.nextAt = Math.max(account.nextAt, at + gapOf(account, account.level));
  }
}

/** Accounts of one door, some 250 bytes each. */
const MAX_ACCOUNTS = 20_000;
/** How often accounts with nothing left to remember are looked for; all of them are 1 ms of work. */
const SWEEP_EVERY_MS = 10_000;

type Parties<Value> = Record<"pair" | "address" | "name", Value>;

/**
 * None is ever pushed out: a party that has been refused stays refused, however many others come. Those for whom there
 * is no account left share one.
 */
export function createAccounts({ overflow, now }: { overflow: Pace; now: () => number }) {
  const accounts = new Map<string, Account>();
  const shared = openedAccount(overflow, now());
  let sweepAt = now() + SWEEP_EVERY_MS;

  function sweep(): void {
    const at = now();
    if (at < sweepAt) return;
    sweepAt = at + SWEEP_EVERY_MS;
    for (const [key, account] of accounts) {
      if (levelAt(account, at) === 0 && account.nextAt <= at) accounts.delete(key);
    }
  }

  const isFull = (): boolean => accounts.size >= MAX_ACCOUNTS;

  return {
    isEmpty(): boolean {
      if (accounts.size > 0) sweep();
      return accounts.size === 0;
    },
    /** The accounts that are there. */
    of(keys: Parties<string>): Account[] {
      const found = [keys.pair, keys.address, keys.name].map((key) => accounts.get(key));
      const there = found.filter((account) => account !== undefined);
      return there.length < found.length && isFull() ? [...there, shared] : there;
    },
    /** The accounts that are there, and new ones in place of those missing; the pair's first. */
    opened(keys: Parties<string>, paces: Parties<Pace>): Account[] {
      sweep();
      const opened = new Set<Account>();
      for (const party of ["pair", "address", "name"] as const) {
        let account = accounts.get(keys[party]);
        if (account === undefined && isFull()) account = shared;
        else if (account === undefined) {
          account = openedAccount(paces[party], now());
          accounts.set(keys[party], account);
        }
        opened.add(account);
      }
      return [...opened];
    },
    close(key: string): Account | null {
      const account = accounts.get(key);
      if (account === undefined) return null;
      accounts.delete(key);
      return account;
    },
  };
}
