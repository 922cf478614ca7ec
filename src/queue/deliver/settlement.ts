/** Decides what an outcome means for each ping of a batch and for the gates. Pure; the one switch over outcomes. */

import type { Outcome } from "../../servicetitan/outcome.ts";
import { DISPOSITION, type Disposition } from "../redis/disposition.ts";
import type { BatchPast } from "./slot.ts";

/** Why a ping was dead-lettered. Closed: a metric label each. */
export type DeadLetterReason = "failed" | "unconfirmed" | "oversize" | "refused";

/** What a settlement does to a gate. `waitMs` null: the gate's own backoff. */
export type GateChange =
  | { kind: "none" }
  | { kind: "opened" }
  | { kind: "shut"; reason: string; waitMs: number | null };

export interface Settlement {
  /** What was decided, for the log. */
  decision:
    | "done"
    | "ask_again"
    | "bisect"
    | "halve"
    | "isolate"
    | "return"
    | "hold"
    | "expire"
    | "renew_token";
  dispositions: Disposition[];
  /** One for each dead-lettered ping, by its place among the dispositions. */
  deadLetters: { at: number; reason: DeadLetterReason; message: string }[];
  /** What the two pieces carry with them. `root: "now"` begins a bisection. */
  pieces: { asked: boolean; serverErrors: number; root: string | "now" | null };
  /** Why an isolated ping was refused. */
  refusal: string;
  /** The reason with which an isolated ping is dead-lettered. */
  refusedAs: Extract<DeadLetterReason, "refused" | "oversize">;
  scopeGate: GateChange;
  /** Of the destination. */
  gate: GateChange;
  /** The request was accepted: evidence that the destination itself is well. */
  accepted: boolean;
  /** What a 2xx answer said: `nothing` of any ping, because it cannot be read or names none; null without such an answer. */
  said: "something" | "nothing" | null;
  /** A lower bound on what the destination accepts, learned from a 413. */
  byteCap: number | null;
}

/** How often the same batch may be answered 500 before it counts as the batch's fault and not the server's. */
const MAX_SERVER_ERRORS = 3;
/** A blocked destination waits for a person; probing it more often does not help. */
const BLOCKED_PROBE_MS = 15_000;
/** The longest Retry-After that is followed: ten minutes, after which every waiting ping would have expired anyway. */
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

/** A dead letter usually carries ServiceTitan's words; here there are none. */
export const UNCONFIRMED = "answered 2xx twice, but never confirmed";

/** The table of design §7. */
export function settlementOf(outcome: Outcome, { externalIds, past, bytes }: BatchFacts): Settlement {
  const all = (disposition: Disposition) => externalIds.map(() => disposition);
  const base = unchanged(past);
  const opened = { kind: "opened" } as const;
  switch (outcome.kind) {
    case "delivered":
      return {
        ...base,
        dispositions: all(DISPOSITION.delivered),
        scopeGate: opened,
        gate: opened,
        accepted: true,
        said: "something",
      };
    case "partial": {
      const failed = new Map(outcome.failed.map((each) => [each.externalId, each.message]));
      const missing = new Set(outcome.missing);
      const again = { asked: true, serverErrors: 0, root: null };
      // Redis decides whether it is these pings or the destination, because it knows what became of other requests.
      if (externalIds.every((id) => missing.has(id))) {
        const dispositions = all(DISPOSITION.firstPiece);
        return {
          ...base,
          decision: "ask_again",
          dispositions,
          pieces: again,
          said: "nothing",
          scopeGate: opened,
        };
      }
      const deadLetters: Settlement["deadLetters"] = [];
      const dispositions = externalIds.map((id, at): Disposition => {
        const message = failed.get(id);
        if (message !== undefined) {
          deadLetters.push({ at, reason: "failed", message });
          return DISPOSITION.deadLettered;
        }
        if (!missing.has(id)) return DISPOSITION.delivered;
        if (!past.asked) return DISPOSITION.firstPiece;
        deadLetters.push({ at, reason: "unconfirmed", message: UNCONFIRMED });
        return DISPOSITION.deadLettered;
      });
      return {
        ...base,
        decision: dispositions.includes(DISPOSITION.firstPiece) ? "ask_again" : "done",
        dispositions,
        deadLetters,
        pieces: again,
        scopeGate: opened,
        gate: opened,
        said: "something",
        accepted: dispositions.includes(DISPOSITION.delivered),
      };
    }
    case "throttled":
      return { ...sendLater(base, all, past), scopeGate: shut("throttled", outcome.afterMs) };
    case "unavailable": {
      const scopeGate = shut(outcome.reason, outcome.afterMs);
      if (outcome.reason !== "http_500") return { ...sendLater(base, all, past), scopeGate };
      const serverErrors = past.serverErrors + 1;
      // A 500 can be a batch's own fault (seen on another operation for a plain data mistake): see if it repeats.
      if (past.root === null && serverErrors < MAX_SERVER_ERRORS) {
        const pieces = { ...past, serverErrors };
        return { ...base, decision: "hold", dispositions: all(DISPOSITION.firstPiece), pieces, scopeGate };
      }
      return refused(base, all, past, "http_500");
    }
    case "oversize": {
      const scopeGate = opened;
      // Not dead-lettered at once: a gateway in front of ServiceTitan may answer 413 to everything for a while.
      if (externalIds.length === 1) {
        const refusal = `a single ping of ${bytes} bytes is too large`;
        return { ...refused(base, all, past, refusal), refusedAs: "oversize", scopeGate };
      }
      const byteCap = Math.max(MIN_BYTE_CAP, Math.floor(bytes / 2));
      return { ...refused(base, all, past, ""), decision: "halve", scopeGate, byteCap };
    }
    case "refused":
      return { ...refused(base, all, past, outcome.reason), scopeGate: opened };
    case "blocked":
      return { ...sendLater(base, all, past), gate: shut(outcome.reason, BLOCKED_PROBE_MS) };
    default:
      return outcome satisfies never;
  }
}

/** Nothing happens to any ping or gate: the base of every settlement. */
function unchanged(past: BatchPast): Settlement {
  return {
    decision: "done",
    dispositions: [],
    deadLetters: [],
    pieces: past,
    refusal: "",
    refusedAs: "refused",
    scopeGate: { kind: "none" },
    gate: { kind: "none" },
    accepted: false,
    said: null,
    byteCap: null,
  };
}

/** A gate was shut before the batch could be sent. */
export function notSent({ externalIds, past }: Pick<BatchFacts, "externalIds" | "past">): Settlement {
  return sendLater(unchanged(past), (disposition) => externalIds.map(() => disposition), past);
}

/** Back to the backlog, so that the newest go first; but a batch with a past stays together, or that past is lost. */
function sendLater(
  base: Settlement,
  all: (disposition: Disposition) => Disposition[],
  past: BatchPast,
): Settlement {
  const hasPast = past.asked || past.serverErrors > 0 || past.root !== null;
  return hasPast
    ? { ...base, decision: "hold", dispositions: all(DISPOSITION.firstPiece) }
    : { ...base, decision: "return", dispositions: all(DISPOSITION.returned) };
}

function refused(
  base: Settlement,
  all: (disposition: Disposition) => Disposition[],
  past: BatchPast,
  refusal: string,
): Settlement {
  const isolated = all(DISPOSITION.isolated);
  if (isolated.length === 1) return { ...base, decision: "isolate", dispositions: isolated, refusal };
  const pieces = { asked: past.asked, serverErrors: 0, root: past.root ?? "now" };
  return { ...base, decision: "bisect", dispositions: halves(isolated.length), pieces, refusal };
}

function halves(n: number): Disposition[] {
  const { firstPiece, secondPiece } = DISPOSITION;
  return Array.from({ length: n }, (_, i) => (i < Math.ceil(n / 2) ? firstPiece : secondPiece));
}

function shut(reason: string, afterMs: number | null): GateChange {
  return { kind: "shut", reason, waitMs: afterMs === null ? null : Math.min(afterMs, MAX_RETRY_AFTER_MS) };
}
