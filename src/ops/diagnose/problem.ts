/** One problem as an operator reads it: what is wrong, since when, whose to mend, and what to do next. */

/** Who has to act: `machines` are ours, `configuration` is ours, `waypost` is a fault of the gateway itself. */
export type Whose = "vendor" | "device" | "configuration" | "servicetitan" | "machines" | "waypost";

/** Every kind of problem, with who usually has to act. Closed: each has its heading in docs/problems.md. */
export const PROBLEM_KINDS = {
  // What the gateway depends on
  redis_unreachable: "machines",
  redis_slow: "machines",
  redis_refuses_writes: "machines",
  redis_settings: "machines",
  redis_memory: "machines",
  spool_in_use: "machines",
  broker_refused: "configuration",
  broker_disconnected: "machines",
  broker_connecting: "machines",
  configuration_refused: "configuration",
  configurations_differ: "configuration",
  restart_needed: "configuration",
  tenant_left_out: "configuration",
  destination_leaving: "servicetitan",
  // Before store
  poll_failing: "vendor",
  poll_refused: "configuration",
  poll_empty: "configuration",
  poll_gap: "vendor",
  authentication_failing: "configuration",
  authentication_partly_failing: "vendor",
  readings_rejected: "vendor",
  device_rejected: "device",
  clock_wrong: "device",
  time_rolled_over: "device",
  source_silent: "vendor",
  device_silent: "device",
  device_login_refused: "device",
  topic_refused: "device",
  topic_unread: "configuration",
  subscription_refused: "device",
  foreign_device: "configuration",
  mapping_unusable: "configuration",
  device_unmapped: "configuration",
  device_held: "configuration",
  quarantine_growing: "vendor",
  internal_error: "waypost",
  share_used_up: "vendor",
  guessing: "configuration",
  connections_refused: "machines",
  device_cut_off: "device",
  // After store
  accounting_mismatch: "waypost",
  sending_blocked: "configuration",
  sending_paused: "servicetitan",
  servicetitan_silent: "servicetitan",
  sending_behind: "machines",
  positions_stale: "machines",
  buffer_full: "servicetitan",
  orphaned_pings: "configuration",
  dead_letters: "configuration",
} as const satisfies Record<string, Whose>;

export type ProblemKind = keyof typeof PROBLEM_KINDS;

/** What diagnosis finds at one moment. */
export interface Finding {
  kind: ProblemKind;
  severity: "error" | "warning";
  /** What it is about, by the name people know: `source vans`, `tenant 1000001 (acme)`, `Redis`. */
  where: string;
  whose: Whose;
  what: string;
  doNext: string;
  /** When it began, UTC milliseconds since 1970; absent where nothing recorded it. */
  sinceMs?: number;
  /** The devices, units, logins or topics concerned. */
  subjects?: readonly string[];
}

/** A finding that lasts. */
export interface Problem extends Omit<Finding, "sinceMs" | "subjects"> {
  /** The same as long as it lasts. */
  id: string;
  /** ISO, UTC. */
  since: string;
  subjects: readonly string[];
}

type Said = Pick<Finding, "what" | "doNext"> & Partial<Pick<Finding, "whose" | "sinceMs" | "subjects">>;

export function error(kind: ProblemKind, where: string, said: Said): Finding {
  return { kind, severity: "error", where, whose: PROBLEM_KINDS[kind], ...said };
}

export function warning(kind: ProblemKind, where: string, said: Said): Finding {
  return { kind, severity: "warning", where, whose: PROBLEM_KINDS[kind], ...said };
}

/** One sentence names at most this many units or devices. */
const MAX_NAMED = 4;

export function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return more > 0 ? `${names.slice(0, MAX_NAMED).join(", ")} and ${more} more` : names.join(", ");
}
