/** Gives guessing a budget at every door: whoever is wrong too often waits longer each time, then is not heard for a while. */

import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { addressShare } from "../addresses.ts";
import type { Incident } from "../status.ts";
import {
  type Account,
  createAccounts,
  isSpent,
  levelAt,
  type Pace,
  reserve,
  waitOf,
  wrong,
} from "./guess-accounts.ts";

/** Closed: each is a metric label. */
export const DOORS = ["ops", "webhook", "mqtt"] as const;
export type Door = (typeof DOORS)[number];

export interface GuessingEvents {
  /** Somebody was not let in: the proof was wrong, or nobody looked at it because the budget was spent. Hot in a flood. */
  authFailed(event: { door: Door; address: string; name: string; judged: boolean }): void;
  incident(event: Incident): void;
}

/** How one door treats those who are wrong. */
interface Policy {
  /** Of one address with one name. */
  pair: Pace;
  /** Of one address with all names. */
  address: Pace;
  /** Of one name from all addresses that never proved it; also of all addresses for which there is no place any more. */
  name: Pace;
  /** Of an address that lately proved the name: much wider, since one who shares the address must not shut out the other. */
  known: Pace;
  /** Who would have to wait longer is not heard. */
  maxWaitMs: number;
  /** A right proof wipes out what was wrong before it, from its address with its name. */
  forgives: boolean;
}

const MINUTE_MS = 60_000;

/**
 * What each door allows. Operators and devices send one secret now and then: who goes on guessing is heard about once a
 * minute. A webhook's sender is wrong a thousand times a minute while its secret is being changed, and must be heard at
 * once when it is right again: it is heard five times a second.
 */
const POLICIES: Record<Door, Policy> = {
  ops: {
    // The next wait 0.1, 0.4 and 1.6 s; then nobody looks for 6, 26 and 60 s.
    pair: { free: 10, firstMs: 100, longestMs: MINUTE_MS, forgetMs: MINUTE_MS },
    address: { free: 10, firstMs: 100, longestMs: MINUTE_MS, forgetMs: MINUTE_MS },
    name: { free: 50, firstMs: 100, longestMs: 100, forgetMs: 200 },
    // Behind a proxy all have one address: its operators are heard among the noise of others.
    known: { free: 10, firstMs: 50, longestMs: 50, forgetMs: 1000 },
    maxWaitMs: 2000,
    // Without names, somebody else's right token would give a guesser behind the same proxy a new budget.
    forgives: false,
  },
  mqtt: {
    pair: { free: 5, firstMs: 100, longestMs: MINUTE_MS, forgetMs: MINUTE_MS },
    // Trackers of one mobile network share an address, and some of them have an old password for ever.
    address: { free: 100, firstMs: 50, longestMs: 50, forgetMs: 100 },
    name: { free: 20, firstMs: 100, longestMs: 100, forgetMs: 200 },
    known: { free: 20, firstMs: 1000, longestMs: 1000, forgetMs: 5000 },
    // Half of the time a device has to log in.
    maxWaitMs: 5000,
    forgives: true,
  },
  webhook: {
    pair: { free: 20, firstMs: 200, longestMs: 200, forgetMs: 1000 },
    // One vendor sends for hundreds of sources from one address.
    address: { free: 200, firstMs: 20, longestMs: 20, forgetMs: 40 },
    name: { free: 100, firstMs: 20, longestMs: 20, forgetMs: 40 },
    // Half of a vendor's machines may still have the old secret.
    known: { free: 1000, firstMs: 10, longestMs: 10, forgetMs: 20 },
    // Vendors wait for an answer for 3 s and more.
    maxWaitMs: 1000,
    forgives: true,
  },
};

export type Verdict =
  | { kind: "go" }
  /** A place in time is taken for it: it may be judged after this, and by nobody else's leave. */
  | { kind: "wait"; ms: number }
  /** `known`: its address lately proved the name, so it may well be right. */
  | { kind: "refused"; retryAfterS: number; known: boolean };

export type Validated<T> =
  | { kind: "right"; value: T }
  /** `retryAfterS` once the budget is spent. */
  | { kind: "wrong"; retryAfterS: number | null }
  | { kind: "refused"; retryAfterS: number };

export interface Guessing {
  /** To be asked before a proof is looked at. */
  verdict(address: string, name: string): Verdict;
  /** Lets the time of a verdict pass. */
  wait(ms: number): Promise<void>;
  /** The proof was wrong. Says after how many seconds the next one is heard, null while the budget lasts. */
  failed(address: string, name: string): number | null;
  /** The proof was right. Hot: called for every message. */
  succeeded(address: string, name: string): void;
  /** All of it around one proof; `judge` says null where it is wrong. */
  guard<T>(address: string, name: string, judge: () => T | null): Promise<Validated<T>>;
}

export interface GuessingParts {
  door: Door;
  events: GuessingEvents;
  /** What the page calls the place: `ops login`, `source vans`. */
  where: (name: string) => string;
  /** Milliseconds of a clock that is never set back. */
  now?: () => number;
}

/** Requests of one door that wait at a time: each holds a connection. */
const MAX_WAITING = 200;
/** Of them, those whose address never proved the name; the rest is kept for those who did. */
const MAX_STRANGERS_WAITING = 150;
/** Remembered as right, some 200 bytes each: a tracker in a mobile network has another address every day. */
const MAX_KNOWN = 20_000;
/** How long an address is remembered as right: trackers and people are back the next day. */
const KNOWN_MS = 26 * 3_600_000;
/** How exactly that is remembered. */
const NOTED_EVERY_MS = MINUTE_MS;
/** Nobody's name is longer; what is, costs no more memory than its hash. */
const MAX_NAME_CHARS = 64;

/** An address that proved a name, and when. */
interface Known {
  at: number;
  /** Null while nothing was wrong. */
  account: Account | null;
}

const GO = { kind: "go" } as const;

export function createGuessing({
  door,
  events,
  where,
  now = () => performance.now(),
}: GuessingParts): Guessing {
  const { pair, address: byAddress, name: byName, known: ofKnown, maxWaitMs, forgives } = POLICIES[door];
  const accounts = createAccounts({ overflow: byName, now });
  const known = new Map<string, Known>();
  /** Keys of those of `known` that have an account. */
  const blemished = new Set<string>();
  let waiting = 0;

  function knownOf(key: string): Known | undefined {
    const entry = known.get(key);
    if (entry === undefined || now() - entry.at < KNOWN_MS) return entry;
    forget(key);
    return undefined;
  }

  function forget(key: string): void {
    known.delete(key);
    blemished.delete(key);
  }

  /** True while nobody was wrong lately: then a message costs nothing. */
  function isQuiet(): boolean {
    for (const key of blemished) {
      const account = known.get(key)?.account;
      if (account && levelAt(account, now()) > 0) break;
      clear(key);
    }
    return blemished.size === 0 && accounts.isEmpty();
  }

  function clear(key: string): void {
    blemished.delete(key);
    const entry = known.get(key);
    if (entry) entry.account = null;
  }

  function verdict(address: string, name: string): Verdict {
    if (isQuiet()) return GO;
    const keys = keysOf(address, name);
    const entry = knownOf(keys.pair);
    const theirs = entry ? (entry.account ? [entry.account] : []) : accounts.of(keys);
    const at = now();
    const waitMs = theirs.reduce((longest, account) => Math.max(longest, waitOf(account, at)), 0);
    const room = entry ? MAX_WAITING : MAX_STRANGERS_WAITING;
    if (waitMs > maxWaitMs || (waitMs > 0 && waiting >= room)) {
      tell(address, name, false);
      note(address, name);
      return { kind: "refused", retryAfterS: seconds(waitMs), known: entry !== undefined };
    }
    let isPaced = false;
    for (const account of theirs) if (reserve(account, at)) isPaced = true;
    return isPaced ? { kind: "wait", ms: waitMs } : GO;
  }

  async function wait(ms: number): Promise<void> {
    if (ms <= 0) return;
    waiting += 1;
    try {
      await pause(ms, undefined, { ref: false });
    } finally {
      waiting -= 1;
    }
  }

  function failed(address: string, name: string): number | null {
    tell(address, name, true);
    const at = now();
    const keys = keysOf(address, name);
    const entry = knownOf(keys.pair);
    let theirs: Account[];
    if (entry) {
      blemished.add(keys.pair);
      entry.account ??= accounts.create(ofKnown);
      theirs = [entry.account];
    } else {
      theirs = accounts.opened(keys, { pair, address: byAddress, name: byName });
    }
    // Told of the address's own account only: that a name is being guessed from elsewhere is no news about this one.
    const [own] = theirs;
    const spent = own !== undefined && isSpent(own, at);
    for (const account of theirs) wrong(account, at);
    if (!spent) return null;
    note(address, name);
    return seconds(waitOf(own, at));
  }

  function succeeded(address: string, name: string): void {
    const at = now();
    const key = pairKey(address, name);
    const entry = known.get(key);
    if (entry !== undefined && entry.account === null && at - entry.at < NOTED_EVERY_MS) return;
    const before = entry?.account ?? accounts.close(key);
    // Taken out first, so that the oldest stand first.
    forget(key);
    const account = before === null || forgives ? null : carriedOver(before, ofKnown, at);
    if (account !== null) blemished.add(key);
    known.set(key, { at, account });
    if (known.size <= MAX_KNOWN) return;
    for (const oldest of known.keys()) {
      forget(oldest);
      return;
    }
  }

  async function guard<T>(address: string, name: string, judge: () => T | null): Promise<Validated<T>> {
    const heard = verdict(address, name);
    if (heard.kind === "refused") return heard;
    if (heard.kind === "wait") await wait(heard.ms);
    const value = judge();
    if (value === null) return { kind: "wrong", retryAfterS: failed(address, name) };
    succeeded(address, name);
    return { kind: "right", value };
  }

  function tell(address: string, name: string, judged: boolean): void {
    events.authFailed({ door, address, name: shown(name), judged });
  }

  function note(address: string, name: string): void {
    const from = address === "" ? "an unknown address" : address;
    const as = door === "mqtt" ? ` as ${shown(name) || "nobody"}` : "";
    events.incident({ kind: "guessing", where: where(name), subject: `${from}${as}` });
  }

  return { verdict, wait, failed, succeeded, guard };
}

/** Keys of one attempt; the letter keeps an address from being taken for a name. */
function keysOf(address: string, name: string): { pair: string; address: string; name: string } {
  return { pair: pairKey(address, name), address: `a ${shareOf(address)}`, name: `n ${short(name)}` };
}

function pairKey(address: string, name: string): string {
  return `p ${shareOf(address)} ${short(name)}`;
}

/** Working out an IPv6 address's share takes 2 µs, and a sender's message some 40. */
const shares = new Map<string, string>();
const MAX_SHARES = 10_000;

function shareOf(address: string): string {
  if (!address.includes(":")) return address;
  let share = shares.get(address);
  if (share === undefined) {
    share = addressShare(address);
    if (shares.size >= MAX_SHARES) shares.clear();
    shares.set(address, share);
  }
  return share;
}

function short(name: string): string {
  return name.length > MAX_NAME_CHARS ? createHash("sha256").update(name).digest("base64") : name;
}

/** What a stranger calls itself, as far as it may stand in a log and on the page. */
function shown(name: string): string {
  return name.slice(0, MAX_NAME_CHARS).replace(/\p{C}/gu, "\uFFFD");
}

function carriedOver(account: Account, pace: Pace, at: number): Account {
  return {
    ...account,
    pace,
    level: Math.min(account.level, pace.free),
    nextAt: Math.min(account.nextAt, at),
    taken: 0,
  };
}

/** Whole seconds, and never 0: that asks for the next attempt at once. */
function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
