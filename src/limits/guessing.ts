/** Gives guessing a budget at every door: a sender that is wrong too often waits longer each time, then is refused for a while. */

import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { addressShare } from "../addresses.ts";
import type { Incident, IncidentSubject } from "../status/process.ts";
import { type Account, createAccounts, isSpent, reserve, waitOf, wrong } from "./guess-accounts.ts";
import { type Door, GUESS_POLICIES } from "./guess-policies.ts";
import { createTrustedSenders } from "./trusted-senders.ts";

export interface GuessingEvents {
  /**
   * A sender was not let in: the credentials were wrong, or were not checked because the budget was spent. Hot in a flood.
   */
  authFailed(event: { door: Door; address: string; name: string; checked: boolean }): void;
  incident(event: Incident): void;
  /** Left out by a door whose incidents end by themselves. */
  incidentEnded?(event: IncidentSubject): void;
}

export type Verdict =
  | { kind: "go" }
  /** A turn is reserved: after this time the credentials are checked without another verdict. */
  | { kind: "wait"; ms: number }
  /** `isTrusted`: the address lately showed the right credentials for the name, so these may well be right. */
  | { kind: "refused"; retryAfterS: number; isTrusted: boolean };

export type Checked<T> =
  | { kind: "right"; value: T }
  /** `retryAfterS` once the budget is spent. */
  | { kind: "wrong"; retryAfterS: number | null }
  | { kind: "refused"; retryAfterS: number };

export interface Guessing {
  /** Asked before credentials are checked. */
  verdict(address: string, name: string): Verdict;
  /** Lets the time of a verdict pass. */
  wait(ms: number): Promise<void>;
  /** The credentials were wrong. Gives the seconds until the next ones are checked, null while the budget lasts. */
  failed(address: string, name: string): number | null;
  /** The credentials were right. Hot: called for every message. */
  succeeded(address: string, name: string): void;
  /** All of these around one check, which gives null where the credentials are wrong. */
  guard<T>(address: string, name: string, check: () => T | null): Promise<Checked<T>>;
}

export interface GuessingDeps {
  door: Door;
  events: GuessingEvents;
  /** What the page calls the place: `ops login`, `source vans`. */
  where: (name: string) => string;
  /** Milliseconds of a clock that is never set back. */
  now?: () => number;
}

/** Requests of one door that wait at a time: each holds a connection. */
const MAX_WAITING = 200;
/** The part of them for senders that are not trusted; the rest is kept for trusted ones. */
const MAX_UNTRUSTED_WAITING = 150;
/** No real name is longer; a longer one costs no more memory than its hash. */
const MAX_NAME_CHARS = 64;

const GO = { kind: "go" } as const;

export function createGuessing({
  door,
  events,
  where,
  now = () => performance.now(),
}: GuessingDeps): Guessing {
  const policy = GUESS_POLICIES[door];
  const accounts = createAccounts({ overflow: policy.name, now });
  const trusted = createTrustedSenders({ pace: policy.trusted, forgives: policy.forgives, now });
  let waiting = 0;

  function verdict(address: string, name: string): Verdict {
    // While no sender was wrong lately, a message costs nothing here.
    if (trusted.areQuiet() && accounts.isEmpty()) return GO;
    const keys = keysOf(address, name);
    const sender = trusted.of(keys.pair);
    const theirs = sender ? (sender.account ? [sender.account] : []) : accounts.of(keys);
    const at = now();
    const waitMs = theirs.reduce((longest, account) => Math.max(longest, waitOf(account, at)), 0);
    const maxWaiting = sender ? MAX_WAITING : MAX_UNTRUSTED_WAITING;
    if (waitMs > policy.maxWaitMs || (waitMs > 0 && waiting >= maxWaiting)) {
      reportFailure(address, name, false);
      reportGuessing(address, name);
      return { kind: "refused", retryAfterS: seconds(waitMs), isTrusted: sender !== undefined };
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
    reportFailure(address, name, true);
    const at = now();
    const theirs = accountsFor(address, name);
    // By the address's own account only: guesses of the name from elsewhere are no incident of this address.
    const [own] = theirs;
    const spent = own !== undefined && isSpent(own, at);
    for (const account of theirs) wrong(account, at);
    if (!spent) return null;
    reportGuessing(address, name);
    return seconds(waitOf(own, at));
  }

  function accountsFor(address: string, name: string): Account[] {
    const keys = keysOf(address, name);
    const sender = trusted.of(keys.pair);
    return sender ? [trusted.accountOf(keys.pair, sender)] : accounts.opened(keys, policy);
  }

  function succeeded(address: string, name: string): void {
    const key = pairKey(address, name);
    const isForgiven = trusted.trust(key, () => accounts.close(key));
    if (isForgiven) events.incidentEnded?.(incidentOf(address, name));
  }

  async function guard<T>(address: string, name: string, check: () => T | null): Promise<Checked<T>> {
    const before = verdict(address, name);
    if (before.kind === "refused") return before;
    if (before.kind === "wait") await wait(before.ms);
    const value = check();
    if (value === null) return { kind: "wrong", retryAfterS: failed(address, name) };
    succeeded(address, name);
    return { kind: "right", value };
  }

  function reportFailure(address: string, name: string, checked: boolean): void {
    events.authFailed({ door, address, name: shown(name), checked });
  }

  function reportGuessing(address: string, name: string): void {
    events.incident(incidentOf(address, name));
  }

  function incidentOf(address: string, name: string): IncidentSubject {
    const from = address === "" ? "an unknown address" : address;
    const as = door === "mqtt" ? ` as ${shown(name) || "nobody"}` : "";
    return { kind: "guessing", where: where(name), subject: `${from}${as}` };
  }

  return { verdict, wait, failed, succeeded, guard };
}

/** Keys of one attempt; the letter tells an address from a name. */
function keysOf(address: string, name: string): { pair: string; address: string; name: string } {
  return { pair: pairKey(address, name), address: `a ${shareOf(address)}`, name: `n ${short(name)}` };
}

function pairKey(address: string, name: string): string {
  return `p ${shareOf(address)} ${short(name)}`;
}

/** Remembered, because working out an IPv6 address's share takes 2 µs, and a sender's whole message some 40. */
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

/** The name that an unauthenticated sender gives, as far as it may stand in a log and on the page. */
function shown(name: string): string {
  return name.slice(0, MAX_NAME_CHARS).replace(/\p{C}/gu, "\uFFFD");
}

/** Whole seconds, and never 0: that asks for the next attempt at once. */
function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
