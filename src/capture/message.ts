/** A message as it stands in a capture. */

/**
 * Why a body is not in the capture. `reads_differently`: without its ids and places it is not the message that it was;
 * `not_anonymous`: something of the original was left.
 */
export type LeftOut =
  | "handshake"
  | "too_long"
  | "not_text"
  | "unknown_form"
  | "reads_differently"
  | "not_anonymous";

/** Of the form that `decode --quarantined` reads, too. */
export interface ScrubbedMessage {
  receivedAt: string;
  method: string | null;
  topic: string | null;
  retained: boolean;
  login: string | null;
  headers: Record<string, string>;
  query: Record<string, string>;
  body: string | null;
  bodyBase64: null;
  /** Of the body as it came. */
  bytes: number;
  /** Null where there is one. */
  leftOut: LeftOut | null;
}
