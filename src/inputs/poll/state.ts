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
  /** A page is fetched and stored. */
  succeeded(): void;
  /** A page is on its way to storage, since then. */
  storing(sinceMs: number): void;
  storingEnded(): void;
  get(): Standing & Pick<PollerState, "lastSuccessAtMs">;
}

export function createPollStanding(source: string, events: Pick<Events, "pollStateChanged">): PollStanding {
  let standing: Standing = { state: "starting", sinceMs: Date.now(), reason: null, detail: "" };
  let lastSuccessAtMs: number | null = null;
  let storingSinceMs: number | null = null;

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
    succeeded() {
      lastSuccessAtMs = Date.now();
      enter("polling", null);
    },
    storing(sinceMs) {
      storingSinceMs = sinceMs;
    },
    storingEnded() {
      storingSinceMs = null;
    },
    get: () => ({ ...(storingSlowly() ?? standing), lastSuccessAtMs }),
  };
}
