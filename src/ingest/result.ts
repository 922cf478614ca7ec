/** What becomes of a message, and what ingest reports of it. */

import type { Handshake } from "../adapters/kit/adapter.ts";
import type { Rejection } from "../reading.ts";
import type { Incident } from "../status/process.ts";
import type { AuthenticationEvents, Failed, Refused } from "./authenticate.ts";
import type { StoreError } from "./store.ts";

/** What became of a message. The input turns it into its answer: whether to send the message again. */
export type IngestResult =
  | { kind: "stored"; readings: number; stored: number; duplicates: number; rejections: Rejection[] }
  | { kind: "ignored"; what: string }
  | { kind: "handshake"; handshake: Handshake }
  | { kind: "malformed"; problems: string[] }
  | Refused
  | { kind: "deferred"; reason: StoreError["reason"]; retryAfterS: number }
  /** Not stored yet, but safe on the local disk: the sender need not send it again. */
  | { kind: "spooled" }
  | Failed;

export interface IngestEvents extends AuthenticationEvents {
  /** A raw reading has a time. Hot: called per raw reading, rejected ones included. */
  fixSeen(source: string, deviceId: string, fixTime: number, receivedAt: number): void;
  messageMalformed(event: { source: string; problems: string[] }): void;
  readingRejected(event: { source: string; rejections: Rejection[] }): void;
  incident(event: Incident): void;
  messageDeferred(event: { source: string; reason: StoreError["reason"]; error: StoreError }): void;
}
