/** How a process stands to its configuration: which one is in force, what was refused, what waits. */

/** A destination that is to go, with what still waits for it. */
export interface LeavingDestination {
  destination: string;
  /** ISO, UTC. */
  since: string;
  /** Null: not known yet. */
  waiting: number | null;
}

/** What a process tells of itself. */
export interface OwnProcess {
  version: string;
  /** ISO, UTC. */
  startedAt: string;
  configuration: ConfigurationState;
  leaving: readonly LeavingDestination[];
}

/** One process as every process shows it. */
export interface ProcessRow extends OwnProcess {
  /** Host, process id, and a random part. */
  name: string;
  /** The one that was asked. */
  isThis: boolean;
}

/** Why the configuration was read again. */
export type ReloadCause = "signal" | "file" | "request" | "tenants";

export interface ConfigurationState {
  /** The same in processes that have the same sources, destinations, brokers, devices, mapping and tenants. */
  fingerprint: string;
  /** Since when it is in force; ISO, UTC. */
  appliedAt: string;
  /** Why the files as they are now are not in force; null while they are. */
  refused: { since: string; problems: string[] } | null;
  /** Settings that differ in the files and wait for a restart. */
  restart: readonly string[];
  /** Tenants of the API that are left out, each with its problem. */
  leftOut: readonly string[];
}
