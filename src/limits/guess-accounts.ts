/** Counts who was wrong how often, and says when they are heard again; in bounded memory, whoever comes. */

/** How often one party may be wrong, and how long it waits then. */
export interface Pace {
  /** Wrong this often without any delay: fat fingers, and secrets being changed. */
  free: number;
  /** Between two guesses when those are used up; four times as long with each that is wrong. */
  firstMs: number;
  /** Up to this. */
  longestMs: number;
  /** After this time one that was wrong is forgotten. In the long run nobody guesses more often. */
  forgetMs: number;
}

export interface Account {
  pace: Pace;
  /** How often it was wrong, less what is forgotten. */
  level: number;
  /** When the level was last worked out. */
  at: number;
  /** Before this nothing is heard, once what is free is used up. */
  nextAt: number;
  /** Places in time that are taken by those who wait. */
  taken: number;
}

/** From 0.1 s on it takes four that are delayed or refused until a minute is reached. */
const GROWTH = 4;
/** How far a level rises above what is free, so that it also falls again in bounded time. */
const MAX_ABOVE_FREE = 10;

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

/** What is free is used up. */
export function isSpent(account: Account, at: number): boolean {
  return levelAt(account, at) >= account.pace.free;
}

/** Milliseconds until the next guess may be heard. */
export function waitOf(account: Account, at: number): number {
  return isSpent(account, at) ? Math.max(0, account.nextAt - at) : 0;
}

/** Takes the next place in time, so that many who come together are heard one after the other. False where none is needed. */
export function reserve(account: Account, at: number): boolean {
  if (!isSpent(account, at)) return false;
  // Those who wait are taken to be wrong, so that a hundred who come at once wait as long as if they came one by one.
  if (account.nextAt <= at) account.taken = 0;
  account.nextAt = Math.max(account.nextAt, at) + gapOf(account, account.level + account.taken);
  account.taken += 1;
  return true;
}

/** One more was wrong. */
export function wrong(account: Account, at: number): void {
  const level = levelAt(account, at);
  if (level === 0) account.at = at;
  account.taken = Math.max(0, account.taken - 1);
  account.level = Math.min(level + 1, account.pace.free + MAX_ABOVE_FREE);
  if (account.level >= account.pace.free) {
    account.nextAt = Math.max(account.nextAt, at + gapOf(account, account.level));
  }
}

/** Accounts of one door, some 250 bytes each. */
const MAX_ACCOUNTS = 20_000;
/** How often those with nothing left to remember are looked for; all of them are 1 ms of work. */
const SWEEP_EVERY_MS = 10_000;

type Parties<Value> = Record<"pair" | "address" | "name", Value>;

/**
 * None is ever pushed out: who has been refused stays refused, however many others come. Those for whom there is no place
 * share one account.
 */
export function createAccounts({ overflow, now }: { overflow: Pace; now: () => number }) {
  const accounts = new Map<string, Account>();
  const others = create(overflow);
  let sweepAt = now() + SWEEP_EVERY_MS;

  function create(pace: Pace): Account {
    return { pace, level: 0, at: now(), nextAt: 0, taken: 0 };
  }

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
    create,
    isEmpty(): boolean {
      if (accounts.size > 0) sweep();
      return accounts.size === 0;
    },
    /** Those that are there. */
    of(keys: Parties<string>): Account[] {
      const found = [keys.pair, keys.address, keys.name].map((key) => accounts.get(key));
      const there = found.filter((account) => account !== undefined);
      return there.length < found.length && isFull() ? [...there, others] : there;
    },
    /** Those that are there, and those that are now; the pair's first. */
    opened(keys: Parties<string>, paces: Parties<Pace>): Account[] {
      sweep();
      const opened = new Set<Account>();
      for (const party of ["pair", "address", "name"] as const) {
        let account = accounts.get(keys[party]);
        if (account === undefined && isFull()) account = others;
        else if (account === undefined) {
          account = create(paces[party]);
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
