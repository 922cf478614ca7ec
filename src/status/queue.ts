/** What the queue says of itself when asked: of every source and destination, and of what was set aside. */

import type { Accounting, Identity } from "./accounting.ts";

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

/** Age of the newest accepted position of each unit that has reported within the last hour: 1 unit in 2, 19 in 20, all. */
export interface Freshness {
  units: number;
  p50AgeMs: number;
  p95AgeMs: number;
  maxAgeMs: number;
  /** Of units whose devices have sent within 5 minutes: the age at that moment. Null where all is fresh, and none was asked. */
  sending: { units: number; p50AgeMs: number } | null;
}

export interface SilentUnit {
  unit: string;
  lastFixAt: string;
  ageMs: number;
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
