/** How a capture is sent: its pace, its two sinks, and what is counted. */

import type { CaptureLine, Unreadable } from "./read.ts";

/** Recorded speed is `{ kind: "recorded", times: 1 }`. */
export type Pace = { kind: "recorded"; times: number } | { kind: "fastest" };

export interface ReplayOptions {
  /** `.jsonl` or `.jsonl.gz`, of positions or of MQTT messages. */
  file: string;
  pace: Pace;
  /** Where positions go, in the format of our `json` adapter. */
  webhook?: WebhookSink;
  /** Where MQTT messages go; resolves when the broker has the message, and resends by itself where needed. */
  publish?: (topic: string, payload: Uint8Array) => Promise<void>;
  /** `shifted`: by the same amount for all, so that the last line is due when it is sent. Positions only. */
  times: "recorded" | "shifted";
  /** Requests or publications under way at once. */
  concurrency: number;
  /** How long a message is sent again before it is given up. */
  patienceMs: number;
  /** Called after every line and answer, with counts that go on changing. */
  onProgress?: (counts: Readonly<ReplayResult>) => void;
  /** Ends the replay early; what was sent is still counted. */
  signal?: AbortSignal;
}

export interface WebhookSink {
  url: string;
  headers: Readonly<Record<string, string>>;
  linesPerMessage: number;
}

/** At the end lines = unreadable + sent + abandoned. */
export interface ReplayResult {
  lines: number;
  unreadable: number;
  firstUnreadable: Pick<Unreadable, "line" | "problem"> | null;
  /** Lines answered for good, with any status, or acknowledged by the broker. */
  sent: number;
  /** Of these, lines of messages that were refused for good. */
  refused: number;
  /** Of these, positions that were taken but are no valid reading; of webhooks only. */
  rejected: number;
  /** Lines given up: there was no acceptance in time, or the replay was ended. */
  abandoned: number;
  /** Messages answered for good. */
  messages: number;
  /** Every answer by its status; a broker's acknowledgement is `ack`, and no answer at all is `none`. */
  answers: Record<string, number>;
  resends: number;
}

/** Sends lines one after the other. `send` waits while enough are under way; neither rejects. */
export interface Sender {
  send(line: CaptureLine): Promise<void>;
  finish(): Promise<void>;
}

/** Where both senders count the answers. */
export interface Tally {
  answered(answer: string): void;
  settled(lines: number, answer: { refused: boolean; rejected: number }): void;
  abandoned(lines: number): void;
  resent(): void;
}
