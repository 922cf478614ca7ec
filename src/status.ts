/** The status document: what the gateway says of itself, and the arithmetic over it that needs nothing else. */

/** Every term of the accounting identity of one source, as counted; nothing here is found by subtraction. */
export interface Accounting {
  messages: number;
  refused: number;
  ignored: number;
  handshakes: number;
  malformed: number;
  decoded: number;
  readings: number;
  rejected: number;
  duplicates: number;
  stored: number;
  delivered: number;
  deadLettered: number;
  expired: number;
  superseded: number;
  dropped: number;
  held: number;
  waiting: number;
  inFlight: number;
}

/** Left side minus right side of each line of the identity; 0 when it holds. */
export interface Identity {
  messages: number;
  readings: number;
  stored: number;
}

export interface SourceStatus {
  name: string;
  vendor: string;
  transport: "webhook" | "mqtt" | "broker" | "pull";
  destination: string;
  accounting: Accounting;
  rejectedBy: Record<string, number>;
  defects: Record<string, number>;
  refusedBy: Record<string, number>;
  conflictingFixes: number;
  /** Taken back from the quarantine and the dead letters: no longer counted as malformed or dead-lettered. */
  redriven: { messages: number; pings: number };
  lastMessageAt: string | null;
  pulse: SourcePulse;
  /** Devices whose readings are rejected; at most 50 for each scope it feeds. */
  troubled: readonly TroubledDevice[];
  identity: Identity;
}

/** A device whose readings are rejected. Times are UTC milliseconds since 1970. */
export interface TroubledDevice {
  device: string;
  /** When the first reading was rejected, and the last. */
  since: number;
  lastAt: number;
  /** Readings rejected since then, and in how many messages. */
  rejected: number;
  messages: number;
  /** Good readings since then, and of these in a row after the last rejection. */
  good: number;
  goodInARow: number;
  goodAt: number | null;
  /** Why the last one was rejected. */
  reason: string;
  /** Least and greatest receivedAt − fixTime, milliseconds, of those rejected for this reason; null where none is known. */
  offsetMs: { least: number; greatest: number } | null;
}

/** How a source has been sending lately, against its own usual. Times are ISO, UTC. */
export interface SourcePulse {
  /** When its last authenticated message was stored. */
  lastGoodAt: string | null;
  /** When it last took part in a handshake. */
  challengedAt: string | null;
  /** The pause that 19 of 20 of its pauses do not exceed; null while too little is known. */
  usualGapMs: number | null;
  /** When its silence becomes a problem, if no message comes; null while too little is known. */
  silentFrom: string | null;
  /** Messages refused; null where none was within the hour. */
  refusals: BadRun | null;
  /** Readings rejected, but for those that a filter of ours leaves out; null where none was within the hour. */
  rejections: BadRun | null;
  /** Every counter that moved within the last 5, 15 and 60 minutes. */
  last5Min: Readonly<Record<string, number>>;
  last15Min: Readonly<Record<string, number>>;
  last60Min: Readonly<Record<string, number>>;
}

export interface BadRun {
  /** In a row up to now; 0 when the last one was good. */
  run: number;
  /** When that row began; ISO. */
  since: string;
  lastAt: string;
  /** Share of the last few, 0 to 1. */
  share: number;
}

export interface LaneStatus {
  lane: number;
  waiting: number;
  inFlight: number;
  batchId: string | null;
  batchAgeMs: number | null;
  /** For how long the request of the batch has had no answer, while later ones had none either; null without a request. */
  unansweredMs: number | null;
}

export interface GateStatus {
  state: "open" | "paused" | "probing" | "ramping";
  reason: string | null;
  untilMs: number | null;
  ratePerSecond: number;
}

export interface SilentUnit {
  unit: string;
  lastFixAt: string;
  ageMs: number;
}

/** Age of the newest accepted position of each unit that has reported within the last hour: 1 unit in 2, 19 in 20, all. */
export interface Freshness {
  units: number;
  p50AgeMs: number;
  p95AgeMs: number;
  maxAgeMs: number;
  /** Of units whose devices have sent within 5 minutes: the age at that moment. Null where all is fresh, and none was asked. */
  sending: { units: number; p50AgeMs: number } | null;
}

export interface DestinationStatus {
  name: string;
  scope: string;
  tenant: string;
  provider: string;
  scopeGate: GateStatus;
  gate: GateStatus;
  waiting: number;
  inFlight: number;
  held: number;
  oldestWaitingAgeMs: number | null;
  newestAcceptedAgeMs: number | null;
  /** As of the last quarter of a minute; null when no unit has reported within the hour. */
  freshness: Freshness | null;
  bufferBytes: number;
  bufferLimitBytes: number;
  unitsKnown: number;
  silentUnits: SilentUnit[];
  lanes: LaneStatus[];
  deadLetters: number;
  lastOutcome: string | null;
  lastOutcomeAt: string | null;
}

export interface RedisStatus {
  reachable: boolean;
  version: string | null;
  aof: "off" | "everysec" | "always" | "no" | "unknown";
  maxmemoryPolicy: string | null;
  usedMemoryBytes: number | null;
  maxMemoryBytes: number | null;
  writable: boolean;
  problems: string[];
}

export interface QuarantineStatus {
  count: number;
  bytes: number;
  oldestAt: string | null;
  recent: { id: string; at: string; source: string; reason: string; problem: string }[];
}

export interface DeadLettersStatus {
  count: number;
  bytes: number;
  recent: {
    id: string;
    at: string;
    destination: string;
    unit: string;
    externalId: string;
    reason: string;
    message: string;
  }[];
}

export interface LedgerStatus {
  batches: number;
  bytes: number;
  reachesBackTo: string | null;
  recent: {
    at: string;
    destination: string;
    batchId: string;
    pings: number;
    outcome: string;
    status: number | null;
    tookMs: number;
  }[];
}

/** What the queue hands over when asked; the same in every process, because all of it comes from Redis. */
export interface QueueStatus {
  at: string;
  sources: SourceStatus[];
  destinations: DestinationStatus[];
  redis: RedisStatus;
  jobs: { waiting: number; active: number; delayed: number; failed: number };
  quarantine: QuarantineStatus;
  deadLetters: DeadLettersStatus;
  ledger: LedgerStatus;
  /** Pings that wait for a destination that the configuration no longer names: they are not sent. */
  orphans: { destination: string; waiting: number }[];
  unmapped: { source: string; device: string; lastFixAt: string | null; policy: "forward" | "hold" }[];
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
}

/** What operators do, and what is done to the gateway's configuration. Closed: each is a metric label. */
export const OPERATOR_ACTIONS = [
  "login",
  "login_failed",
  "logout",
  /** What was set aside is sent on its way again, or looked at in a dry run. */
  "redrive",
  /** Everything that was set aside and fits a filter, taken out of the gateway. */
  "export",
  /** What was delivered for one technician, the pings of one unit, one message of the quarantine. */
  "gps_pings",
  "unit_pings",
  "quarantined_message",
  /** What happened to one device. */
  "timeline",
  "log_level",
  "configuration_loaded",
  "mapping_reloaded",
] as const;
export type OperatorAction = (typeof OPERATOR_ACTIONS)[number];

/** `cut_off`: the client went away before the end. */
export type OperatorOutcome = "done" | "refused" | "failed" | "cut_off";

/** One entry of the trail: who did what, to what, from where. */
export interface OperatorEvent {
  action: OperatorAction;
  /** The token's name; null where none of ours was shown. */
  by: string | null;
  /** The address asked from; null for what the gateway did by itself. */
  from: string | null;
  filter: Readonly<Record<string, string>>;
  /** How many came out of it or were concerned; null where there is nothing to count. */
  count: number | null;
  outcome: OperatorOutcome;
}

/** Why the ops endpoint refuses a request, whatever its token. Closed: each is a metric label. */
export const OPS_REFUSALS = ["wrong_host", "cross_site", "not_json", "role"] as const;
export type OpsRefusal = (typeof OPS_REFUSALS)[number];

/** Each line of the identity, left side minus right side. */
export function identityOf(accounting: Accounting): Identity {
  const a = accounting;
  return {
    messages: a.messages - (a.refused + a.ignored + a.handshakes + a.malformed + a.decoded),
    readings: a.readings - (a.rejected + a.duplicates + a.stored),
    stored:
      a.stored -
      (a.delivered + a.deadLettered + a.expired + a.superseded + a.dropped + a.held + a.waiting + a.inFlight),
  };
}

/** The accounting of all sources together. */
export function sumAccounting(sources: readonly SourceStatus[]): Accounting {
  const sum = { ...NOTHING };
  for (const { accounting } of sources) {
    for (const term of ACCOUNTING_TERMS) sum[term] += accounting[term];
  }
  return sum;
}

const NOTHING: Accounting = {
  messages: 0,
  refused: 0,
  ignored: 0,
  handshakes: 0,
  malformed: 0,
  decoded: 0,
  readings: 0,
  rejected: 0,
  duplicates: 0,
  stored: 0,
  delivered: 0,
  deadLettered: 0,
  expired: 0,
  superseded: 0,
  dropped: 0,
  held: 0,
  waiting: 0,
  inFlight: 0,
};

/** The terms in the order of the identity. */
export const ACCOUNTING_TERMS = Object.keys(NOTHING) as (keyof Accounting)[];
