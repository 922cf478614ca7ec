/** Decides what an outcome means for each ping of a batch and for the gates. Pure; the one switch over outcomes. */

import type { Outcome } from "../../servicetitan/outcome.ts";
import type { BatchPast } from "./slot.ts";

/**
 * What becomes of one ping, as one character, so that a settlement is a string as long as the batch:
 * delivered, dead-lettered, expired, back to the buffer, first or second piece, suspect (refused alone).
 */
export type Fate = "d" | "x" | "e" | "b" | "1" | "2" | "q";

/** Why a ping was given up. Closed: a metric label each. */
export type DeadLetterReason = "failed" | "unconfirmed" | "oversize" | "refused";

/** What a settlement does to a gate. `waitMs` null: the gate's own backoff. */
export type GateChange =
  | { kind: "none" }
  | { kind: "opened" }
  | { kind: "shut"; reason: string; waitMs: number | null };

export interface Settlement {
  /** For the log line: what was decided. */
  decision:
    | "done"
    | "ask_again"
    | "bisect"
    | "halve"
    | "suspect"
    | "return"
    | "hold"
    | "expire"
    | "renew_token";
  fates: Fate[];
  /** One for each `x` among the fates, by its place there. */
  deadLetters: { at: number; reason: DeadLetterReason; message: string }[];
  /** What the pieces (`1`, `2`) carry with them. `root: "now"` begins a bisection. */
  pieces: { asked: boolean; serverErrors: number; root: string | "now" | null };
  /** Why a suspect was refused. */
  refusal: string;
  /** What a suspect becomes when it is given up. */
  suspicion: Extract<DeadLetterReason, "refused" | "oversize">;
  scope: GateChange;
  destination: GateChange;
  /** The request was accepted: evidence that the destination itself is well. */
  accepted: boolean;
  /** What a 2xx answer said: `nothing` of any ping, because it cannot be read or names none; null without such an answer. */
  said: "something" | "nothing" | null;
  /** A lower bound on what the destination takes, learned from a 413. */
  byteCap: number | null;
}

/** How often the same batch may be answered 500 before it is taken for the batch's fault and not the server's. */
const MAX_SERVER_ERRORS = 3;
/** A blocked destination waits for a person; probing it more often than this helps nobody. */
const BLOCKED_PROBE_MS = 15_000;
/** The longest Retry-After that is believed: ten minutes, after which every ping waiting would have expired anyway. */
const MAX_RETRY_AFTER_MS = 600_000;
/** A cap below this could not carry a single ping. */
const MIN_BYTE_CAP = 1024;

export interface BatchFacts {
  /** In the order they stand in Redis. */
  externalIds: readonly string[];
  past: BatchPast;
  /** Size of the body that was sent. */
  bytes: number;
}

/** ServiceTitan's words are what a dead letter usually carries; here it had none. */
export const UNCONFIRMED = "answered 2xx twice, but never confirmed";

/** The table of design §7. */
export function settlementOf(outcome: Outcome, { externalIds, past, bytes }: BatchFacts): Settlement {
  const all = (fate: Fate): Fate[] => externalIds.map(() => fate);
  const base = unchanged(past);
  const opened = { kind: "opened" } as const;
  switch (outcome.kind) {
    case "delivered":
      return {
        ...base,
        fates: all("d"),
        scope: opened,
        destination: opened,
        accepted: true,
        said: "something",
      };
    case "partial": {
      const failed = new Map(outcome.failed.map((each) => [each.externalId, each.message]));
      const missing = new Set(outcome.missing);
      const again = { asked: true, serverErrors: 0, root: null };
      // Whether it is these pings or the destination is for Redis to say, which knows what became of the others.
      if (externalIds.every((id) => missing.has(id))) {
        const unsaid = { fates: all("1"), pieces: again, said: "nothing" } as const;
        return { ...base, decision: "ask_again", ...unsaid, scope: opened };
      }
      const deadLetters: Settlement["deadLetters"] = [];
      const fates = externalIds.map((id, at): Fate => {
        const message = failed.get(id);
        if (message !== undefined) {
          deadLetters.push({ at, reason: "failed", message });
          return "x";
        }
        if (!missing.has(id)) return "d";
        if (!past.asked) return "1";
        deadLetters.push({ at, reason: "unconfirmed", message: UNCONFIRMED });
        return "x";
      });
      return {
        ...base,
        decision: fates.includes("1") ? "ask_again" : "done",
        fates,
        deadLetters,
        pieces: again,
        scope: opened,
        destination: opened,
        said: "something",
        accepted: fates.includes("d"),
      };
    }
    case "throttled":
      return { ...held(base, all, past), scope: shut("throttled", outcome.afterMs) };
    case "unavailable": {
      const scope = shut(outcome.reason, outcome.afterMs);
      if (outcome.reason !== "http_500") return { ...held(base, all, past), scope };
      const serverErrors = past.serverErrors + 1;
      // A 500 can be a batch's own fault (seen on another operation for a plain data mistake): see if it repeats.
      if (past.root === null && serverErrors < MAX_SERVER_ERRORS) {
        return { ...base, decision: "hold", fates: all("1"), pieces: { ...past, serverErrors }, scope };
      }
      return refused(base, all, past, "http_500");
    }
    case "oversize": {
      const scope = opened;
      // Not given up at once: a gateway in front of ServiceTitan may answer 413 to everything for a while.
      if (externalIds.length === 1) {
        const refusal = `a single ping of ${bytes} bytes is too large`;
        return { ...refused(base, all, past, refusal), suspicion: "oversize", scope };
      }
      const byteCap = Math.max(MIN_BYTE_CAP, Math.floor(bytes / 2));
      return { ...refused(base, all, past, ""), decision: "halve", scope, byteCap };
    }
    case "refused":
      return { ...refused(base, all, past, outcome.reason), scope: opened };
    case "blocked":
      return { ...held(base, all, past), destination: shut(outcome.reason, BLOCKED_PROBE_MS) };
    default:
      return outcome satisfies never;
  }
}

/** Nothing happens to any ping or gate; what each outcome begins from. */
function unchanged(past: BatchPast): Settlement {
  return {
    decision: "done",
    fates: [],
    deadLetters: [],
    pieces: past,
    refusal: "",
    suspicion: "refused",
    scope: { kind: "none" },
    destination: { kind: "none" },
    accepted: false,
    said: null,
    byteCap: null,
  };
}

/** A gate was shut before the batch could be sent. */
export function notSent({ externalIds, past }: Pick<BatchFacts, "externalIds" | "past">): Settlement {
  return held(unchanged(past), (fate) => externalIds.map(() => fate), past);
}

/** Back to the buffer, to be cut again newest first; but a batch with a past stays together, or that past is lost. */
function held(base: Settlement, all: (fate: Fate) => Fate[], past: BatchPast): Settlement {
  const hasPast = past.asked || past.serverErrors > 0 || past.root !== null;
  return hasPast
    ? { ...base, decision: "hold", fates: all("1") }
    : { ...base, decision: "return", fates: all("b") };
}

function refused(
  base: Settlement,
  all: (fate: Fate) => Fate[],
  past: BatchPast,
  refusal: string,
): Settlement {
  const n = all("q").length;
  if (n === 1) return { ...base, decision: "suspect", fates: all("q"), refusal };
  const pieces = { asked: past.asked, serverErrors: 0, root: past.root ?? "now" };
  return { ...base, decision: "bisect", fates: halves(n), pieces, refusal };
}

function halves(n: number): Fate[] {
  return Array.from({ length: n }, (_, i) => (i < Math.ceil(n / 2) ? "1" : "2"));
}

function shut(reason: string, afterMs: number | null): GateChange {
  return { kind: "shut", reason, waitMs: afterMs === null ? null : Math.min(afterMs, MAX_RETRY_AFTER_MS) };
}
