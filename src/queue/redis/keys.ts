/** Every Redis key of the queue, spelled once; the Lua side is generated from the same table (script.ts). */

import { createHash } from "node:crypto";

/** App + tenant: what ServiceTitan counts requests against. The app key is hashed because keys show up in tools. */
export function scopeOf(appKey: string, tenant: string): string {
  return `${createHash("sha256").update(appKey).digest("hex").slice(0, 8)}-${tenant}`;
}

/** The prefix of every key of a scope. All keys of one scope share its hash tag, so one script may touch them. */
export function scopePrefix(prefix: string, scope: string): string {
  return `${prefix}:{${scope}}`;
}

/** The scope's own name in a key prefix, as people see it. */
export function scopeIn(keyPrefix: string): string {
  return keyPrefix.slice(keyPrefix.indexOf("{") + 1, -1);
}

/**
 * Every key of a scope, after its prefix. A *lane* is `destination|number`; a *backlog*, `destination|number|source`, is
 * what waits in a lane from one source. BullMQ's keys are apart; no ping is in them.
 */
export const SCOPE_KEYS = {
  // Ingest
  /** Hash: every counter of the accounting identity. */
  counters: "n:<source>",
  /** Hash: how the source has been sending, and its counters when the open minute began (see pulse.lua). */
  pulse: "pulse:<source>",
  /** List, the latest first: what was counted in each of the last 60 minutes, as `minute:field,n,field,n`. */
  minutes: "minutes:<source>",
  /** Set: the sources with counters here. */
  sources: "sources",
  /** Number: another one than before means that the scope's status has changed. */
  changed: "changed",
  /** Hash: device → fingerprints of its recent fixes. */
  fingerprints: "fp:<source>",
  /** String: a long message was stored, for ten minutes. */
  bodyPrint: "body:<print>",
  /** Hash: device → its last fix, for sources with a filter. */
  lastFix: "last:<source>",
  /** Hash: device → newest reading that waits for a mapping row. */
  held: "held:<source>",
  /** Hash: device without a mapping row → its last fix time. */
  unmapped: "unmapped:<source>",
  /** Hash: device → when its last valid reading came, a duplicate included. */
  seen: "seen:<source>",
  /** Hash: device → what happened to its readings beside delivery; of '', to messages that name no device (timeline.lua). */
  timeline: "timeline:<source>",
  /** Hash: device whose readings are rejected → since when, how many and why (device-trouble.lua). */
  trouble: "trouble:<source>",
  /** String: a held reading came here from another scope. */
  moved: "moved:<source>:<fixTime>:<device>",

  // Waiting
  /** Set: the lanes where something has ever waited. */
  lanes: "lanes",
  /** Set: the sources of a lane where something has ever waited. */
  backlogs: "backlogs:<lane>",
  /** List: records in the order they arrived. */
  backlog: "backlog:<backlog>",
  /** Hash, while behind: unit → its newest record. */
  live: "live:<backlog>",
  /** List, while behind: the units of `live`, in the order they are sent. */
  liveOrder: "liveorder:<backlog>",
  /** Sorted set by fix time, while behind: every record that is not its unit's newest. */
  old: "old:<backlog>",

  // In flight
  /** Hash: the lane's batch, that batch's last sign of life, and the sweep's cursors. */
  lane: "lane:<lane>",
  /** List: a batch's records. The truth about what is in flight; the BullMQ job only wakes a worker. */
  batch: "b:<batch>",
  /** Hash: what a batch carries beside its records (flags, fencing token, its past). */
  batchFacts: "bm:<batch>",
  /** List: batches that go before everything else in the lane. */
  pieces: "pieces:<lane>",
  /** List: pings that were refused alone. */
  isolated: "isolated:<lane>",
  /** Hash: why the isolated pings were refused, and since which acceptance they are isolated. */
  isolation: "isolation:<lane>",
  /** Hash: a record that was refused alone → how much had been accepted before, and how often it was refused. */
  retests: "retests:<destination>",

  // Destination
  /** Hash: unit → fix time of the newest ping that ServiceTitan accepted. */
  accepted: "accepted:<destination>",
  /** Hash: bytes waiting, learned byte cap, last outcome. */
  destination: "dest:<destination>",
  /** Hash: whether the scope may send (see gates.lua). */
  scopeGate: "gate",
  /** Hash: whether one destination may send. */
  gate: "gate:<destination>",
  /** List: the throttle's recent slots. */
  slots: "slots",
  /** String: when the latest request was sent that was answered well. */
  answeredWell: "well",

  // Afterwards; each entry of the three streams says in its field `n` what it counts towards the budget.
  ledger: "ledger",
  deadLetters: "dead",
  quarantine: "quarantine",
  /** Hash: unit → its ledger entry ids of that hour, six bytes each. */
  ledgerIndex: "li:<destination>:<hour>",
  /** Hash: id of a ledger entry of which a unit was erased → the entry without it. */
  ledgerRest: "lrest",
  /** Set: `destination:hour` of every ledger index. */
  ledgerHours: "lihours",
  /** Hash: bytes held in the streams; `quarantine:shares` of them have a share. */
  sizes: "sizes",
  /** Sorted sets: the tree of who holds how much of the quarantine (see quarantine-shares.lua). */
  share: "share:<path>",

  /** String: when the first of these keys was written; another time means that Redis was emptied. */
  born: "born",
} as const;

/** What belongs to no scope, after the configured prefix. */
export const SHARED_KEYS = {
  /** String: where a pull source continues to read. */
  cursor: "cursor:<source>",
  /** String: which process uses a broker's session or a vendor's feed. */
  lease: "lease:<name>",
  /** Streams: what operators did; what unauthenticated senders caused. */
  trail: "trail:<by>",
  /** Hash: source → the capture that an operator asked for, as JSON; it is gone when the last one has ended. */
  captures: "captures",
  /** List: the scrubbed messages of one capture, as JSON, for as long as it may be fetched. */
  captured: "captured:<id>",
  /** String: a session of the ops endpoint that was ended before its time. */
  endedSession: "ended-session:<id>",
} as const;

/** What processes report to each other; the prefix is a hash tag, so that one script may touch both. */
export const PROCESS_KEYS = {
  /** Sorted set: fingerprint of the names of the sources that processes know → when one last reported it. */
  live: "live",
  /** String: these names as JSON. */
  names: "names:<fingerprint>",
  /**
   * Sorted set: processes → when each last reported; string: its report as JSON. The number is that of its form: during
   * an upgrade no process reads another form than its own.
   */
  reports: "reports:1",
  report: "report:1:<process>",
} as const;

/** Tenants that came through the API; the prefix is a hash tag, so that one script may touch all. */
export const TENANT_KEYS = {
  /** Hash: name → the revision that wrote it, a space, the document with its secrets sealed and whether it is paused. */
  documents: "documents",
  /** Number: how many changes there have been. */
  revision: "revision",
  /** Hash: fingerprint of a request → how it was answered; sorted set: when. */
  answers: "answers",
  answeredAt: "answered-at",
  /** Channel: the revision, with each change. */
  changed: "changed",
} as const;

type Holes<Pattern extends string> = Pattern extends `${string}<${string}>${infer Rest}`
  ? [string | number, ...Holes<Rest>]
  : [];

/** The key of a scope, or of what belongs to no scope: `keyOf(scope, SCOPE_KEYS.held, "vans")`. */
export function keyOf<Pattern extends string>(
  prefix: string,
  pattern: Pattern,
  ...parts: Holes<Pattern> & readonly (string | number)[]
): string {
  let next = 0;
  return `${prefix}:${pattern.replace(/<\w+>/g, () => String(parts[next++]))}`;
}

/** Prefix of the keys that processes share. */
export function processPrefix(prefix: string): string {
  return `{${prefix}-processes}`;
}

export function tenantPrefix(prefix: string): string {
  return `{${prefix}-tenants}`;
}

/** The table as Lua reads it, `KEY.held(source)`; of `names` only, because a script makes its functions anew at each run. */
export function luaKeys(names: ReadonlySet<string>): string {
  const entries = Object.entries(SCOPE_KEYS).filter(([name]) => names.has(name));
  const unknown = [...names].filter((name) => !(name in SCOPE_KEYS));
  if (unknown.length > 0) throw new Error(`keys.ts knows no key ${unknown.join(", ")}.`);
  const lines = entries.map(([name, pattern]) => `  ${name} = ${luaKey(pattern)},`);
  return ["local prefix = KEYS[1]", "local KEY = {", ...lines, "}"].join("\n");
}

function luaKey(pattern: string): string {
  const holes = [...pattern.matchAll(/<(\w+)>/g)].map(([, hole]) => hole);
  const text = `':${pattern.replace(/<(\w+)>/g, "' .. $1 .. '")}'`.replace(/ \.\. ''$/, "");
  if (holes.length === 0) return `prefix .. ${text}`;
  return `function(${holes.join(", ")}) return prefix .. ${text} end`;
}
