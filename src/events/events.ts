/** Every event the gateway logs or counts, by name. */

import type { IngestEvents } from "../ingest/result.ts";
import type { GuessingEvents } from "../limits/guessing.ts";
import type { ConnectionEvents } from "../limits/ports.ts";
import type { Attempt, Outcome } from "../servicetitan/outcome.ts";
import type { SpoolEvents } from "../spool/events.ts";
import type { ReloadCause } from "../status/configuration.ts";
import type { OperatorEvent, OpsRefusal } from "../status/operators.ts";
import type { Incident, IncidentSubject } from "../status/process.ts";

/** One POST, told in one line: everything somebody asking about a batch wants to know. */
export interface AttemptEvent {
  destination: string;
  scope: string;
  batchId: string;
  lane: number;
  pings: number;
  bytes: number;
  outcome: Outcome["kind"];
  /** The outcome's own reason; null where it has none. */
  reason: string | null;
  status: Attempt["status"];
  tookMs: number;
  traceId: string | null;
  detail: string;
  /** Age of the fix at the moment of sending. */
  oldestPingAgeMs: number;
  newestPingAgeMs: number;
  /** What settle makes of it: `done`, `ask_again`, `bisect`, `return`, … */
  decision: string;
}

/** How a batch ended: where each of its pings went. */
export interface BatchSettledEvent {
  destination: string;
  batchId: string;
  lane: number;
  delivered: number;
  deadLettered: number;
  expired: number;
  superseded: number;
  /** Back in the buffer, to be cut again. */
  returned: number;
}

/** A throttle scope (destination null) or one destination may send now, or may not, and why. */
export interface GateEvent {
  scope: string;
  destination: string | null;
  state: "open" | "paused" | "probing" | "ramping" | "blocked";
  reason: string | null;
  /** UTC milliseconds since 1970. */
  untilMs: number | null;
}

/** What the embedded broker refuses a device. */
export interface DeviceRefusal {
  client: string;
  username?: string;
  reason: string;
  /** What it wanted to publish to, and the filters of what it may publish to. */
  topic?: string;
  allowed?: readonly string[];
}

/** What a problem is, where, whose to mend, and since when (ISO). */
export interface ProblemEvent {
  kind: string;
  where: string;
  whose: string;
  since: string;
}

/** `fixSeen` is not among them: it feeds the clock watch and is neither logged nor counted. */
export interface Events extends Omit<IngestEvents, "fixSeen">, SpoolEvents, GuessingEvents, ConnectionEvents {
  started(event: {
    version: string;
    ports: Record<string, number>;
    sources: number;
    destinations: number;
  }): void;
  stopping(event: { withinMs: number }): void;
  /** A part failed in an unforeseen way; the process goes on. */
  failed(event: { where: string; error: unknown }): void;
  loopDelay(event: { p99Ms: number; maxMs: number }): void;

  webhookAnswered(status: number, tookMs: number): void;
  /** A webhook for a source that is not configured. Its name is the sender's and never becomes a label. */
  sourceUnknown(event: { name: string; remoteAddress: string | null }): void;
  /** A vendor asked us to fetch an address of its own to show that the webhook is ours. */
  confirmationEnded(event: { source: string; host: string; ok: boolean; detail: string }): void;
  storeTook(tookMs: number): void;

  brokerConnected(event: { broker: string; sessionPresent: boolean }): void;
  brokerDisconnected(event: { broker: string; reason: string; error?: unknown }): void;
  /** The broker is there and says no: to the login, or to a subscription. */
  brokerRefused(event: { broker: string; reason: string }): void;
  /**
   * MQTT messages that no sender repeats (QoS 0) and that could not be stored until we left. `undecided` were with Redis,
   * or behind one that was, and may have been stored.
   */
  messagesGivenUp(event: { broker: string; messages: number; undecided: number }): void;
  /** The embedded broker says no to a device: to its login, its topic, or a subscription. */
  deviceRefused(event: DeviceRefusal): void;

  /** One request to a vendor that has to be asked. */
  pollMade(event: { source: string; outcome: string; status: number | null; tookMs: number }): void;
  /** Fixes of a pull source come in, or do not, and why. */
  pollStateChanged(event: {
    source: string;
    state: "starting" | "polling" | "throttled" | "failing" | "refused";
    reason: string | null;
    /** The vendor's word for it, or the system's. */
    detail: string;
  }): void;
  /** The vendor has forgotten the cursor: what was fixed in between is not fetched any more. */
  pollGap(event: { source: string; from: string; to: string }): void;

  configurationReloaded(event: {
    cause: ReloadCause;
    changes: readonly string[];
    restart: readonly string[];
  }): void;
  /** The configuration before stays in force. */
  configurationRefused(event: { cause: ReloadCause; problems: readonly string[] }): void;
  mappingReloaded(event: { file: string; rows: number }): void;
  /** The file could not be used; the last good mapping stays. */
  mappingProblem(event: { file: string; problems: string[] }): void;

  redisProblem(event: { problem: string; error?: unknown }): void;
  redisRecovered(event: { afterMs: number }): void;

  batchFormed(event: {
    destination: string;
    batchId: string;
    lane: number;
    pings: number;
    bytes: number;
  }): void;
  attemptMade(event: AttemptEvent): void;
  batchSettled(event: BatchSettledEvent): void;
  pingsDeadLettered(event: {
    destination: string;
    batchId: string;
    pings: number;
    reason: string;
    message: string;
  }): void;
  /** From a ping's arrival to ServiceTitan's yes. */
  deliveryLatency(destination: string, latencyMs: number): void;
  gateChanged(event: GateEvent): void;
  /** The sweep put right what a crash left: `job_lost`, `batch_orphaned`, … */
  sweepFound(event: { what: string; count: number }): void;
  /** A problem that the page names, and the end of it. */
  problemBegan(event: ProblemEvent & { severity: "error" | "warning"; what: string; doNext: string }): void;
  problemEnded(event: ProblemEvent): void;
  /** Something goes wrong at one of our doors, and somebody causes it. Hot in a flood. */
  incident(event: Incident): void;
  /** What caused an incident now does what it should. Hot: called where nothing was wrong, too. */
  incidentEnded(event: IncidentSubject): void;
  /** Somebody used the ops endpoint for more than looking at it: the trail. */
  operatorActed(event: OperatorEvent): void;
  /** The ops endpoint refused a request for its form or its role. */
  opsRefused(event: { reason: OpsRefusal; method: string; path: string; from: string }): void;
  /** The identity of a source no longer holds: left side minus right side of each line. */
  accountingMismatch(event: { source: string; messages: number; readings: number; stored: number }): void;
}
