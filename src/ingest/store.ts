/** What ingest needs of storage: the queue implements it. */

import type { Message } from "../adapters/kit/adapter.ts";
import type { FieldDefect, Reading, RejectionReason } from "../reading.ts";
import type { TenantRefusal } from "./tenant-gate.ts";

/** Why a message is refused. Closed: every one is a metric label. */
export type RefusalReason =
  | "unauthenticated"
  | "guessing"
  | "too_large"
  | "wrong_method"
  | "unsupported_encoding"
  | "given_up";

/** The rejected raw readings of one device for one reason, of one message: what its timeline tells of them. */
export interface DeviceRejections {
  /** Null: none is named, or one that cannot be stored. */
  device: string | null;
  reason: RejectionReason;
  count: number;
  /** Of the last of them: where it stands in the message, and its fix time where it has one that can be read. */
  path: string;
  fixTime: number | null;
  /** Least and greatest receivedAt − fixTime, milliseconds; null where nothing can be said of a clock. */
  offsetMs: { least: number; greatest: number } | null;
}

/** What is known of a refused message beside the reason; it names no device. */
export interface RefusalDetail {
  /** In a short snake_case word. */
  why: string;
  /** The address it came from. */
  from?: string | undefined;
}

/** Everything that is stored or counted for one message, in one atomic step. */
export type StoreEntry = { source: string; receivedAt: number } & (
  | {
      kind: "decoded";
      /** How many there were, rejected ones included. */
      rawReadings: number;
      readings: Reading[];
      rejections: ReadonlyMap<RejectionReason, number>;
      /** The same by device, for their timelines: the last of each device, and of the others as many as have room. */
      rejected?: readonly DeviceRejections[];
      defects: ReadonlyMap<FieldDefect, number>;
      /** The bytes as sent: a resend of a long message, or of one without a time, is recognised by them. */
      body: Uint8Array;
      /** A webhook whose readings are dated by its receipt: sent again, by anybody, it must not count as fresh. */
      timeless?: true;
    }
  | { kind: "ignored"; what?: string }
  | { kind: "handshake" }
  | { kind: "malformed"; reason: "malformed" | "internal_error"; message: Message; problems: string[] }
);

/** What became of the readings of one message. */
export interface StoreVerdict {
  stored: number;
  duplicates: number;
  /** By the source's own filters (jump, thinning), which need the device's last fix. */
  rejections: ReadonlyMap<RejectionReason, number>;
}

/** Nothing of the message was stored; the sender must send it again. */
export class StoreError extends Error {
  readonly reason:
    | "storage_unavailable"
    | "buffer_full"
    | "share_used_up"
    | "source_removed"
    | TenantRefusal["reason"];
  readonly retryAfterS: number;
  constructor(reason: StoreError["reason"], retryAfterS: number, cause?: unknown) {
    super(`Cannot store messages now (${reason}).`, { cause });
    this.name = "StoreError";
    this.reason = reason;
    this.retryAfterS = retryAfterS;
  }
}

export interface Store {
  /** Resolves when the message is stored; the sender is answered after that and never before. Throws StoreError. */
  add(entry: StoreEntry): Promise<StoreVerdict>;
  /** Counts a message that is refused. Returns at once: a flood of refusals must not wait for storage. */
  refuse(source: string, reason: RefusalReason, detail?: RefusalDetail): void;
}
