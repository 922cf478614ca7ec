/** The events of the spool, and the problems it can have. */

import type { SpoolAwaited } from "./lock.ts";

/** Closed: every one is a metric label. */
export const SPOOL_PROBLEMS = ["full", "write", "read", "damaged", "no_source", "lock_lost"] as const;
export type SpoolProblem = (typeof SPOOL_PROBLEMS)[number];

export interface SpoolEvents {
  /** Another process uses the directory; this one waits for it to end. */
  spoolAwaited(event: SpoolAwaited): void;
  /** Redis is away, and the first message was set aside. */
  spoolOpened(event: { dir: string }): void;
  /** The messages of a file have been through ingest. */
  spoolReplayed(event: { messages: number; tornBytes: number }): void;
  spoolProblem(event: { what: SpoolProblem; detail?: string; error?: unknown }): void;
}
