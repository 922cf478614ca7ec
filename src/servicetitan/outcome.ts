/** What one POST told us, as a closed union named by who has to act, and the one place where statuses become outcomes. */

/** What ServiceTitan said of one ping in a 2xx answer. */
export interface PingResult {
  externalId: string;
  accepted: boolean;
  message: string;
}

/** Why a destination or its scope cannot take anything now. Short words, fit for metric labels. */
export type UnavailableReason =
  | "timeout"
  | "connection_refused"
  | "connection_reset"
  | "connect_timeout"
  | "dns_error"
  | "tls_error"
  | "network_error"
  | "token_unavailable"
  | `http_${number}`;

export type BlockedReason =
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "credentials_refused"
  | "redirect"
  | "refused_everything"
  | `http_${number}`;

export type Outcome =
  | { kind: "delivered" }
  /** 2xx with `Fail` or missing items, or a body that cannot be read (then all are missing). */
  | { kind: "partial"; failed: PingResult[]; missing: string[] }
  /** 429. `afterMs` null: the answer gave no hint. */
  | { kind: "throttled"; afterMs: number | null }
  | { kind: "unavailable"; reason: UnavailableReason; afterMs: number | null }
  | { kind: "oversize" }
  /** The batch as it is will not be taken: 400 or 422. */
  | { kind: "refused"; reason: string }
  /** A condition of the destination, not of the batch. */
  | { kind: "blocked"; reason: BlockedReason };

/** Everything about one POST that the ledger, the log line and the metrics need. */
export interface Attempt {
  outcome: Outcome;
  /** Null when no answer came. */
  status: number | null;
  /** From the request's first byte to the whole answer, milliseconds. */
  tookMs: number;
  /** ServiceTitan's traceId where the body carried one; their support asks for it. */
  traceId: string | null;
  /** The answer in one bounded line for an operator; never a credential. Empty when delivered. */
  detail: string;
  /** The token had been used before: a 401, 403 or 404 deserves one more attempt with a fresh one. */
  tokenWasCached: boolean;
}
