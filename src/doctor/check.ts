/** What a check is: a task bounded in time, whose lines say well, not well with a finding, or not asked. */

import type { Config } from "../config/config.ts";
import type { ProxySettings } from "../network.ts";
import type { Finding } from "./findings.ts";

export type Area = "configuration" | "redis" | "servicetitan" | "broker" | "polled" | "machine";

export type Checked = { check: string } & (
  | { state: "well"; says: string; details?: readonly string[] }
  | { state: "not_well"; finding: Finding; details?: readonly string[] }
  /** What it needs is not well, or it cannot be asked without harm. */
  | { state: "not_asked"; says: string }
);

/** One line of the report. `of`: the host, destination, broker or source; empty where there is one only. */
export type Line = { area: Area; of: string } & Checked;

export interface Task {
  area: Area;
  of: string;
  /** Named where the task does not end in time. */
  check: string;
  run(): Promise<readonly Checked[]>;
}

/** What the checks are given. */
export interface Surroundings {
  config: Config;
  proxy: ProxySettings;
  /** The longest that one step may take: a connection, a login, a question. */
  stepMs: number;
  now: () => number;
  /** How many files this process may open. */
  fileLimit: () => number;
  /** Where else the same credentials may be valid; null where that is not known. */
  otherAuthUrl: (environment: string) => { environment: string; authUrl: string } | null;
}

export function well(check: string, says: string, details?: readonly string[]): Checked {
  return { check, state: "well", says, ...(details ? { details } : {}) };
}

export function notWell(check: string, finding: Finding, details?: readonly string[]): Checked {
  return { check, state: "not_well", finding, ...(details ? { details } : {}) };
}

export function notAsked(check: string, why: string): Checked {
  return { check, state: "not_asked", says: why };
}

/** A fix may be two minutes ahead of us; from half of that on, good ones are about to be turned down. */
const MAX_SKEW_MS = 60_000;

/** In words, where two clocks differ so much that it matters; null while they agree. `aheadMs`: ours minus the other. */
export function skewInWords(aheadMs: number): string | null {
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  if (seconds * 1000 <= MAX_SKEW_MS) return null;
  const amount = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return `${amount} ${aheadMs > 0 ? "ahead of" : "behind"}`;
}
