/** What only one process knows: its brokers, pollers, spool and clocks, its mapping file, and what goes wrong at its doors. */

import type { OwnProcess } from "./configuration.ts";

/** What only one process knows, as it tells the others. */
export interface ProcessReport {
  process: string;
  /** UTC milliseconds since 1970. */
  at: number;
  brokers: readonly BrokerStatus[];
  pollers: readonly PollerStatus[];
  incidents: readonly IncidentState[];
  clocks: readonly ClockState[];
  mapping: MappingProblem | null;
  spool: SpoolStatus | null;
  /** Absent in the report of an older version. */
  self?: OwnProcess | undefined;
}

/** What this process has on its local disk because Redis was away. */
export interface SpoolStatus {
  messages: number;
  bytes: number;
  maxBytes: number;
  oldestAt: string | null;
  /** Since the start of this process. */
  spooled: number;
  replayed: number;
}

/** One broker this process is connected to, or the embedded one. Times are UTC milliseconds since 1970. */
export interface BrokerState {
  name: string;
  kind: "client" | "embedded";
  /** `standby`: another process holds the lease of this broker's sources. */
  state: "connected" | "connecting" | "disconnected" | "refused" | "standby";
  sinceMs: number;
  /** Why it is not connected, in words; null while connected. */
  reason: string | null;
  /** Messages received and not yet stored. */
  unacked: number;
  /** Embedded: devices connected now. */
  clients: number | null;
}

/** As the status document has it: times as ISO text. */
export type BrokerStatus = Omit<BrokerState, "sinceMs"> & { since: string };

/** One pull source, as this process sees it. Times are UTC milliseconds since 1970. */
export interface PollerState {
  /** The source's. */
  name: string;
  /** `standby`: another process holds the lease and asks. */
  state: "starting" | "polling" | "throttled" | "failing" | "refused" | "standby";
  sinceMs: number;
  /** Why fixes do not come in; null while they do. */
  reason: string | null;
  /** The vendor's word for the reason, or the system's; never a text of theirs. */
  detail: string;
  /** When a page was last fetched and stored. */
  lastSuccessAtMs: number | null;
  /** When the vendor last answered where the cursor stands. */
  cursorAtMs: number | null;
  /** The last stretch of time whose fixes were not fetched and cannot be any more. */
  gap: { fromMs: number; toMs: number } | null;
  /** What was fetched since this process began to ask. */
  reads: {
    pages: number;
    rows: number;
    /** Rows that said nothing new and were not sent on. */
    unchanged: number;
    /** Rounds in a row without any vehicle, where a vendor shows all of them in each round. */
    emptyRounds: number;
  };
}

/** As the status document has it: times as ISO text. */
export type PollerStatus = Omit<PollerState, "sinceMs" | "lastSuccessAtMs" | "cursorAtMs" | "gap"> & {
  since: string;
  lastSuccessAt: string | null;
  cursorAt: string | null;
  gap: { from: string; to: string } | null;
};

/** What goes wrong at our own doors. Closed: each is a metric label and has its words in ops/diagnose/incidents.ts. */
export const INCIDENT_KINDS = [
  "foreign_device",
  "guessing",
  "connections_refused",
  "device_login_refused",
  "topic_refused",
  "topic_unread",
  "subscription_refused",
  "device_cut_off",
  "share_used_up",
] as const;
export type IncidentKind = (typeof INCIDENT_KINDS)[number];

/** Which trouble it is: what, where, and who or what causes it. */
export interface IncidentSubject {
  kind: IncidentKind;
  /** The door, source or login it happens at; with the kind it tells one incident from another. */
  where: string;
  /** Who or what causes it, in a few words: an address, a device id, a topic. */
  subject: string;
}

/** One thing that went wrong, as the part that noticed it reports it. */
export interface Incident extends IncidentSubject {
  /** What else is known of it, by a name that ops/diagnose/incidents.ts reads; the last ones are shown. */
  facts?: Readonly<Record<string, string>>;
}

/** One of those who cause an incident. Times are ISO. */
export interface IncidentCause {
  name: string;
  since: string;
  lastAt: string;
  /** It counts as over then, unless it happens again. */
  until: string;
  count: number;
  facts: Readonly<Record<string, string>>;
}

/** One kind of trouble at one place, as one process saw it within the last hour. Times are ISO. */
export interface IncidentState {
  kind: IncidentKind;
  /** `source vans`, `webhook port`. */
  where: string;
  since: string;
  lastAt: string;
  count: number;
  /** The last of those who caused it, the latest first. */
  subjects: IncidentCause[];
}

/** A device whose clock is wrong by a constant. */
export interface ClockState {
  source: string;
  deviceId: string;
  /** Arrival minus fix: negative when the clock is ahead. */
  offsetMs: number;
  /** `ahead by about 90 s`. */
  text: string;
  /** Off by whole half hours: local time sent as if it were UTC. */
  looksLikeTimeZone: boolean;
}

/** Why the mapping file as it is now is not used. Times are UTC milliseconds since 1970. */
export interface MappingProblem {
  file: string;
  /** Since when no state of the file could be used. */
  sinceMs: number;
  /** Each with its line, where it has one. */
  problems: string[];
  /** When the rows that stay in use were read. */
  rowsReadAtMs: number;
}
