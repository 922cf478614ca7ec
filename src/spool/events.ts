/** What the spool tells of itself, and what can go wrong with it. */

import type { SpoolAwaited } from "./lock.ts";

/** Closed: every one is a metric label. */
export const SPOOL_PROBLEMS = ["full", "write", "read", "damaged", "no_source", "lock_lost"] as const;
export type SpoolProblem = (typeof SPOOL_PROBLEMS)[number];

export interface SpoolEvents {
  /** Another process has the directory; it is waited for. */
  spoolAwaited(event: SpoolAwaited): void;
  /** Redis is away and the first message was set aside. */
  spoolOpened(event: { dir: string }): void;
  /** What was set aside has been taken through ingest. */
  spoolReplayed(event: { messages: number; tornBytes: number }): void;
  spoolProblem(event: { what: SpoolProblem; detail?: string; error?: unknown }): void;
}
