/** Every Redis key of the queue. All keys of one throttle scope share its hash tag, so one script may touch them. */

import { createHash } from "node:crypto";

/** App + tenant: what ServiceTitan counts requests against. The app key is hashed because keys show up in tools. */
export function scopeOf(appKey: string, tenant: string): string {
  return `${createHash("sha256").update(appKey).digest("hex").slice(0, 8)}-${tenant}`;
}

/** The part every key of a scope begins with; scripts build the rest from it. */
export function scopePrefix(prefix: string, scope: string): string {
  return `${prefix}:{${scope}}`;
}

/**
 * Every key of a scope, after its prefix. A *lane* is `destination|number`; a *line*, `destination|number|source`, is
 * what waits in a lane from one source. BullMQ's keys, leases, the cursors of pull sources, the operators' trail, their
 * ended sessions and what processes tell each other are apart; no ping is there.
 *
 * Ingest
 * - `n:<source>`         hash: every counter of the accounting identity
 * - `fp:<source>`        hash: device → fingerprints of its recent fixes
 * - `body:<print>`       string: a long message was kept, for ten minutes
 * - `last:<source>`      hash: device → its last fix, for sources with a filter
 * - `held:<source>`      hash: device → newest reading that waits for a mapping row
 * - `unmapped:<source>`  hash: device without a mapping row → its last fix time
 * - `moved:<source>:<fixTime>:<device>`  string: a held reading came here from another scope
 *
 * Waiting
 * - `lanes`, `lines:<lane>`  sets: the lanes, and a lane's sources, where something has ever waited
 * - `q:<line>`           list: records in the order they arrived
 * - `live:<line>`        hash, while behind: unit → its newest record; `liveorder:<line>` the list of those units
 * - `old:<line>`         sorted set by fix time, while behind: everything that is not the newest
 *
 * In flight
 * - `lane:<lane>`        hash: its batch, that batch's last sign of life, and how far the sweep has looked
 * - `b:<batch>`          list: a batch's records. The truth about what is in flight; the BullMQ job only wakes a worker
 * - `bm:<batch>`         hash: what a batch carries beside its records (flags, fencing token, its past)
 * - `pieces:<lane>`      list: batches that go before everything else in the lane
 * - `suspects:<lane>`, `suspicion:<lane>`  list and hash: pings refused alone, and since when they are suspected
 * - `tried:<destination>`  hash: a record that was refused alone → how much had been accepted before, and how often
 *
 * Destination
 * - `accepted:<destination>`  hash: unit → fix time of the newest ping ServiceTitan accepted
 * - `dest:<destination>`  hash: bytes waiting, learned byte cap, last outcome
 * - `gate`, `gate:<destination>`  hashes: whether the scope, or one destination, may send (see lua.ts)
 * - `slots`              list: the throttle's recent slots
 * - `well`               string: when the latest request left that was answered well
 *
 * Afterwards
 * - `ledger`, `dead`, `quarantine`  streams; each entry's field `n` says what it counts towards the budget
 * - `li:<destination>:<hour>`  hash: unit → its ledger entry ids of that hour, six bytes each; `lihours` the set of these
 * - `sizes`              hash: bytes held in the streams; \`quarantine:shares\` of them have a share
 * - `share:<path>`       sorted sets: the tree of who holds how much of the quarantine (see quarantine-shares.ts)
 *
 * - `born`               string: when the first of these keys was written; another time means that Redis was emptied
 */
export const keys = {
  held: (p: string, source: string) => `${p}:held:${source}`,
  unmapped: (p: string, source: string) => `${p}:unmapped:${source}`,
  batch: (p: string, id: string) => `${p}:b:${id}`,
  batchFacts: (p: string, id: string) => `${p}:bm:${id}`,
  accepted: (p: string, destination: string) => `${p}:accepted:${destination}`,
  ledger: (p: string) => `${p}:ledger`,
  ledgerIndex: (p: string, destination: string, hour: number) => `${p}:li:${destination}:${hour}`,
  deadLetters: (p: string) => `${p}:dead`,
  quarantine: (p: string) => `${p}:quarantine`,
} as const;

/**
 * What processes tell each other, apart from every scope; one hash tag, so that one script may touch them.
 *
 * - `live`         sorted set: fingerprint of the names of the sources that processes know → when one last said so
 * - `names:<fingerprint>`  string: these names as JSON
 */
export function processKeys(prefix: string) {
  const p = `{${prefix}-processes}`;
  return { live: `${p}:live`, names: (fingerprint: string) => `${p}:names:${fingerprint}` } as const;
}
