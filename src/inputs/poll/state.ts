/** How one poller stands, for the operator: whether fixes come in, and why not. */

import type { PullRefusal, PullTrouble } from "../../adapters/kit/pull.ts";
import type { Events } from "../../events/events.ts";
import type { NetworkReason } from "../../network.ts";
import type { PollerState } from "../../status/process.ts";

/** Why fixes do not come in. Closed: every one is shown and documented. */
export type PollReason =
  | PullTrouble
  | PullRefusal
  | NetworkReason
  | "answer_too_large"
  | "throttled"
  | "cursor_refused"
  /** Fixes were fetched, but cannot be stored; or the cursor cannot. */
  | "storage_unavailable"
  | "internal_error";

/** Storing takes milliseconds. */
const STORING_IS_SLOW_MS = 5000;

type Standing = Pick<PollerState, "sinceMs" | "detail"> & {
  state: Exclude<PollerState["state"], "standby">;
  reason: PollReason | null;
};

export interface PollStanding {
  enter(state: Standing["state"], reason: PollReason | null, detail?: string): void;
  /** A page is fetched and stored. `rows` is null where the vendor's pages are empty as a rule. */
  succeeded(rows: { read: number; unchanged: number } | null, more: boolean): void;
  /** A page is on its way to storage, since then. */
  storing(sinceMs: number): void;
  storingEnded(): void;
  get(): Standing & Pick<PollerState, "lastSuccessAtMs" | "reads">;
}

export function createPollStanding(source: string, events: Pick<Events, "pollStateChanged">): PollStanding {
  let standing: Standing = { state: "starting", sinceMs: Date.now(), reason: null, detail: "" };
  let lastSuccessAtMs: number | null = null;
  let storingSinceMs: number | null = null;
  const reads = createReads();

  function enter(state: Standing["state"], reason: PollReason | null, detail = ""): void {
    const isNew = standing.state !== state || standing.reason !== reason;
    standing = { state, sinceMs: isNew ? Date.now() : standing.sinceMs, reason, detail };
    if (isNew) events.pollStateChanged({ source, state, reason, detail });
  }

  /** A page that cannot be stored is retried without an end, so that no failure is ever reported for it. */
  function storingSlowly(): Standing | null {
    if (storingSinceMs === null || Date.now() - storingSinceMs <= STORING_IS_SLOW_MS) return null;
    return { state: "failing", sinceMs: storingSinceMs, reason: "storage_unavailable", detail: "" };
  }

  return {
    enter,
    succeeded(rows, more) {
      lastSuccessAtMs = Date.now();
      reads.add(rows, more);
      enter("polling", null);
    },
    storing(sinceMs) {
      storingSinceMs = sinceMs;
    },
    storingEnded() {
      storingSinceMs = null;
    },
    get: () => ({ ...(storingSlowly() ?? standing), lastSuccessAtMs, reads: reads.get() }),
  };
}

/** Counts what was fetched since the start, and the rounds in a row that brought no vehicle at all. */
function createReads() {
  let reads: PollerState["reads"] = { pages: 0, rows: 0, unchanged: 0, emptyRounds: 0 };
  let rowsInRound = 0;
  return {
    add(rows: { read: number; unchanged: number } | null, more: boolean): void {
      const { read, unchanged } = rows ?? { read: 0, unchanged: 0 };
      rowsInRound += read;
      const { emptyRounds } = reads;
      const isEmpty = rows !== null && rowsInRound === 0;
      reads = {
        pages: reads.pages + 1,
        rows: reads.rows + read,
        unchanged: reads.unchanged + unchanged,
        emptyRounds: more ? emptyRounds : isEmpty ? emptyRounds + 1 : 0,
      };
      if (!more) rowsInRound = 0;
    },
    get: () => reads,
  };
}
