/** The outcome of one POST, a closed union named by who has to act, and the one place where statuses become outcomes. */

import { complaintOf, type PingResult, type Redact, resultsOf, retryAfterMs } from "./answer.ts";
import type { Answer, UnavailableReason } from "./exchange.ts";

export type BlockedReason =
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "credentials_refused"
  | "redirect"
  | "refused_everything"
  | "unreadable_answers"
  | `http_${number}`;

export type Outcome =
  | { kind: "delivered" }
  /** 2xx with `Fail` or missing items, or a body that cannot be read (then all are missing). */
  | { kind: "partial"; failed: PingResult[]; missing: string[] }
  /** 429. `afterMs` null: the answer gave no hint. */
  | { kind: "throttled"; afterMs: number | null }
  | { kind: "unavailable"; reason: UnavailableReason; afterMs: number | null }
  | { kind: "oversize" }
  /** The batch will not be accepted as it is: 400 or 422. */
  | { kind: "refused"; reason: string }
  /** A condition of the destination, not of the batch. */
  | { kind: "blocked"; reason: BlockedReason };

/** Everything about one POST that the ledger, the log line and the metrics need. */
export interface Attempt {
  outcome: Outcome;
  /** Null without an answer. */
  status: number | null;
  /** From the request's first byte to the whole answer, milliseconds. */
  tookMs: number;
  /** ServiceTitan's traceId where the body carried one; their support asks for it. */
  traceId: string | null;
  /** The answer in one bounded line for an operator; never a credential. Empty when delivered. */
  detail: string;
  /** The token had carried a request before: a 401, 403 or 404 deserves one more attempt with a fresh one. */
  tokenWasCached: boolean;
}

/** What the status alone means. */
type Meaning = "accepted" | "refused" | "oversize" | "throttled" | "unavailable" | "blocked";

function meaningOf(status: number): Meaning {
  if (status >= 200 && status <= 299) return "accepted";
  if (status === 400 || status === 422) return "refused";
  if (status === 413) return "oversize";
  if (status === 429) return "throttled";
  if (status === 408 || (status >= 500 && status <= 599)) return "unavailable";
  // An unforeseen status: stopping and keeping the pings is better than dropping them or sending without end.
  return "blocked";
}

function blockedReasonOf(status: number): BlockedReason {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "not_found";
  if (status >= 300 && status <= 399) return "redirect";
  return `http_${status}`;
}

/** The part of an attempt that depends on the answer alone. Pure; never throws. */
export function classify(
  answer: Answer,
  externalIds: readonly string[],
  context: { now: number; redact: Redact },
): Pick<Attempt, "outcome" | "traceId" | "detail"> {
  const { status, body } = answer;
  const meaning = meaningOf(status);
  if (meaning === "accepted") return outcomeOfResults(answer, externalIds, context.redact);
  const complaint = complaintOf(body);
  const traceId = complaint.traceId === null ? null : context.redact(complaint.traceId);
  const text = context.redact(complaint.text);
  const detail = text === "" ? `HTTP ${status}` : `HTTP ${status}: ${text}`;
  const afterMs = retryAfterMs(answer, context.now);
  switch (meaning) {
    case "refused":
      return { outcome: { kind: "refused", reason: text || `HTTP ${status}` }, traceId, detail };
    case "oversize":
      return { outcome: { kind: "oversize" }, traceId, detail };
    case "throttled":
      return { outcome: { kind: "throttled", afterMs }, traceId, detail };
    case "unavailable":
      return { outcome: { kind: "unavailable", reason: `http_${status}`, afterMs }, traceId, detail };
    case "blocked":
      return { outcome: { kind: "blocked", reason: blockedReasonOf(status) }, traceId, detail };
    default:
      return meaning satisfies never;
  }
}

function outcomeOfResults({ status, body }: Answer, externalIds: readonly string[], redact: Redact) {
  const results = resultsOf(body, externalIds);
  if (results === null) {
    const outcome: Outcome = { kind: "partial", failed: [], missing: [...externalIds] };
    return { outcome, traceId: null, detail: `HTTP ${status} without a readable list of results` };
  }
  const { failed, missing } = results;
  if (failed.length === 0 && missing.length === 0) {
    return { outcome: { kind: "delivered" } satisfies Outcome, traceId: null, detail: "" };
  }
  const outcome: Outcome = {
    kind: "partial",
    failed: failed.map((result) => ({ ...result, message: redact(result.message) })),
    missing,
  };
  const detail = `HTTP ${status}: of ${externalIds.length} pings ${failed.length} refused, ${missing.length} missing`;
  return { outcome, traceId: null, detail };
}
