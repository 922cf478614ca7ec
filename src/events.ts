/** Every event the gateway logs or counts, by name. */

import type { Logger } from "pino";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { IngestEvents } from "./ingest/ingest.ts";
import { DOORS, type GuessingEvents } from "./limits/guessing.ts";
import { createFloodGate } from "./log.ts";
import type { Attempt, Outcome } from "./servicetitan/outcome.ts";
import type { SpoolEvents, SpoolProblem } from "./spool/events.ts";
import type { Incident } from "./status.ts";
import { INCIDENT_KINDS, OPS_REFUSALS, type OperatorEvent, type OpsRefusal } from "./status.ts";

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

/** Why a connection was not taken, or was closed so that another could be. Closed: each is a metric label. */
export type ConnectionRefusal = "address_full" | "port_full" | "made_room" | "holder_full";

/** `fixSeen` is not among them: it feeds the clock watch and is neither logged nor counted. */
export interface Events extends Omit<IngestEvents, "fixSeen">, SpoolEvents, GuessingEvents {
  started(event: {
    version: string;
    ports: Record<string, number>;
    sources: number;
    destinations: number;
  }): void;
  stopping(event: { withinMs: number }): void;
  /** A part failed in a way nobody foresaw; the process goes on. */
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
   * MQTT messages that nobody sends again (QoS 0) and that could not be stored until we left. `undecided` were with Redis,
   * or behind one that was, and may have been stored.
   */
  messagesGivenUp(event: { broker: string; messages: number; undecided: number }): void;
  /** The embedded broker says no to a device: to its login, its topic, or a subscription. */
  deviceRefused(event: { client: string; username?: string; reason: string }): void;

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
  /** Something goes wrong at one of our doors, and somebody causes it. Hot in a flood. */
  incident(event: Incident): void;
  /** Somebody used the ops endpoint for more than looking at it: the trail. */
  operatorActed(event: OperatorEvent): void;
  /** The ops endpoint turned a request down, whoever it was from. */
  opsRefused(event: { reason: OpsRefusal; method: string; path: string; from: string }): void;
  /** Only counted: the incident tells it. Hot in a flood. */
  connectionRefused(event: { port: "webhook" | "mqtt" | "ops"; reason: ConnectionRefusal }): void;
  /** The identity of a source no longer holds: left side minus right side of each line. */
  accountingMismatch(event: { source: string; messages: number; readings: number; stored: number }): void;
}

/** Answers a vendor waits for; 2.5 s is the default deadline, 3 s is where Motive gives up. */
const ANSWER_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 3, 5];
/** One POST, up to the default timeout of 20 s. */
const ATTEMPT_BUCKETS_S = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];
/** Arrival to yes: a batch waits up to 1 s by default; after 600 s a ping expires. */
const LATENCY_BUCKETS_S = [0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600];
/** Up to the largest batch the configuration allows. */
const BATCH_BUCKETS_PINGS = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000];
/** A stall of this length can cost a batch its lock (`queue.toleratedStallMs`). */
const STALL_MS = 1000;

/** Builds the events over one logger and one registry. */
export function createEvents({ logger, registry }: { logger: Logger; registry: Registry }): Events {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name, help, labelNames, registers: [registry] });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] });
  const histogram = <L extends string>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: readonly L[],
  ) => new Histogram({ name, help, buckets, labelNames, registers: [registry] });

  const seen = counter("waypost_events_total", "Events by name, whether or not their line was suppressed.", [
    "event",
  ]);
  const deferred = counter("waypost_deferred_messages_total", "Messages answered 503 or not acknowledged.", [
    "source",
    "reason",
  ]);
  const answers = histogram(
    "waypost_webhook_answer_seconds",
    "Arrival of a webhook to our answer.",
    ANSWER_BUCKETS_S,
    ["status"],
  );
  const stores = histogram(
    "waypost_store_seconds",
    "Storing one message, duplicates checked.",
    ANSWER_BUCKETS_S,
    [],
  );
  const spoolProblems = counter("waypost_spool_problems_total", "What went wrong on the local disk.", [
    "what",
  ]);
  // There from the start: the first one is to raise an alarm, and an increase is not seen without a value before it.
  for (const what of Object.keys(SPOOL_LEVELS)) spoolProblems.inc({ what }, 0);
  const cuts = counter("waypost_batches_formed_total", "Batches cut.", ["destination"]);
  const batchPings = histogram(
    "waypost_batch_pings",
    "Pings in a batch when it is cut.",
    BATCH_BUCKETS_PINGS,
    ["destination"],
  );
  const attempts = counter("waypost_attempts_total", "POSTs to ServiceTitan.", [
    "destination",
    "outcome",
    "status",
  ]);
  const attemptTook = histogram(
    "waypost_attempt_seconds",
    "One POST, first byte to whole answer.",
    ATTEMPT_BUCKETS_S,
    ["destination"],
  );
  const sentBytes = counter("waypost_attempt_bytes_total", "Bytes of request bodies sent.", ["destination"]);
  const settled = counter("waypost_settled_pings_total", "Pings of settled batches by where they went.", [
    "destination",
    "end",
  ]);
  const deadLettered = counter("waypost_dead_lettered_pings_total", "Pings ServiceTitan refused for good.", [
    "destination",
    "reason",
  ]);
  const latency = histogram(
    "waypost_delivery_latency_seconds",
    "Arrival of a ping to ServiceTitan's yes.",
    LATENCY_BUCKETS_S,
    ["destination"],
  );
  const gates = counter("waypost_gate_changes_total", "Changes of what a scope or destination may do.", [
    "scope",
    "state",
  ]);
  const incidents = counter("waypost_incidents_total", "What went wrong at our own doors, by kind.", [
    "kind",
  ]);
  for (const kind of INCIDENT_KINDS) incidents.inc({ kind }, 0);
  const acted = counter("waypost_operator_actions_total", "What operators did, by action and outcome.", [
    "action",
    "outcome",
  ]);
  const opsRefusals = counter("waypost_ops_refusals_total", "Requests the ops endpoint turned down.", [
    "reason",
  ]);
  for (const reason of OPS_REFUSALS) opsRefusals.inc({ reason }, 0);
  const authFailures = counter(
    "waypost_auth_failures_total",
    "Wrong credentials, and those nobody looked at since their sender was wrong too often.",
    ["door"],
  );
  for (const door of DOORS) authFailures.inc({ door }, 0);
  const refusedConnections = counter(
    "waypost_connections_refused_total",
    "Connections not taken, or closed so that another could be.",
    ["port", "reason"],
  );
  const swept = counter("waypost_swept_total", "What the sweep put right after a crash.", ["what"]);
  const polls = counter("waypost_polls_total", "Requests to vendors that have to be asked.", [
    "source",
    "outcome",
  ]);
  const rows = gauge("waypost_mapping_rows", "Rows of the mapping in use.");
  const loopP99 = gauge("waypost_event_loop_delay_p99_seconds", "Event loop delay, 99th percentile.");
  const loopMax = gauge("waypost_event_loop_delay_max_seconds", "Event loop delay, longest.");

  const mayWrite = createFloodGate();
  type Level = "debug" | "info" | "warn" | "error";

  function tell(level: Level, event: keyof Events, fields: object): void {
    seen.inc({ event });
    logger[level]({ event, ...fields });
  }

  /** For what strangers or a broken vendor can repeat at will: at most a line per second and cause. */
  function tellSometimes(level: Level, event: keyof Events, about: string, fields: object): void {
    seen.inc({ event });
    const suppressed = mayWrite(`${event} ${about}`);
    if (suppressed === null) return;
    logger[level](suppressed === 0 ? { event, ...fields } : { event, ...fields, suppressed });
  }

  return {
    started: (event) => tell("info", "started", event),
    stopping: (event) => tell("info", "stopping", event),
    failed: ({ where, error }) => tellSometimes("error", "failed", where, { where, err: error }),
    loopDelay(event) {
      loopP99.set(event.p99Ms / 1000);
      loopMax.set(event.maxMs / 1000);
      if (event.maxMs >= STALL_MS) tellSometimes("warn", "loopDelay", "", event);
    },

    messageRefused: (event) => tellSometimes("warn", "messageRefused", event.source, event),
    messageMalformed: (event) => tellSometimes("warn", "messageMalformed", event.source, event),
    readingRejected: (event) => tellSometimes("info", "readingRejected", event.source, event),
    messageDeferred({ source, reason, error }) {
      deferred.inc({ source, reason });
      tellSometimes("error", "messageDeferred", source, { source, reason, err: error });
    },
    ingestFailed: ({ error, ...event }) =>
      tellSometimes("error", "ingestFailed", event.source, { ...event, err: error }),

    webhookAnswered: (status, tookMs) => answers.observe({ status }, tookMs / 1000),
    sourceUnknown: ({ name, remoteAddress }) =>
      tellSometimes("warn", "sourceUnknown", "", { name: name.slice(0, MAX_STRANGER_CHARS), remoteAddress }),
    confirmationEnded: (event) =>
      tellSometimes(event.ok ? "info" : "error", "confirmationEnded", event.source, event),
    storeTook: (tookMs) => stores.observe(tookMs / 1000),

    brokerConnected: (event) => tell("info", "brokerConnected", event),
    brokerDisconnected: ({ error, ...event }) =>
      tellSometimes(
        "warn",
        "brokerDisconnected",
        event.broker,
        error === undefined ? event : { ...event, err: error },
      ),
    messagesGivenUp: (event) => tell("error", "messagesGivenUp", event),
    brokerRefused: (event) => tellSometimes("error", "brokerRefused", event.broker, event),
    deviceRefused: ({ client, username, reason }) =>
      tellSometimes("warn", "deviceRefused", "", {
        client: client.slice(0, MAX_STRANGER_CHARS),
        ...(username === undefined
          ? {}
          : { username: username.slice(0, MAX_STRANGER_CHARS).replace(/\p{C}/gu, "\uFFFD") }),
        reason,
      }),
    authFailed(event) {
      authFailures.inc({ door: event.door });
      tellSometimes("warn", "authFailed", event.door, event);
    },

    pollMade(event) {
      const { source, outcome } = event;
      polls.inc({ source, outcome });
      tell("debug", "pollMade", event);
    },
    pollStateChanged: (event) =>
      tellSometimes(
        event.state === "refused" ? "error" : event.state === "polling" ? "info" : "warn",
        "pollStateChanged",
        event.source,
        event,
      ),
    pollGap: (event) => tell("error", "pollGap", event),

    mappingReloaded(event) {
      rows.set(event.rows);
      tell("info", "mappingReloaded", event);
    },
    mappingProblem: (event) => tellSometimes("error", "mappingProblem", event.file, event),

    redisProblem: ({ problem, error }) =>
      tellSometimes(
        "error",
        "redisProblem",
        problem,
        error === undefined ? { problem } : { problem, err: error },
      ),
    spoolAwaited: (event) => tell("warn", "spoolAwaited", event),
    spoolOpened: (event) => tell("warn", "spoolOpened", event),
    spoolReplayed: (event) => tell("info", "spoolReplayed", event),
    spoolProblem({ error, ...event }) {
      const { what } = event;
      spoolProblems.inc({ what });
      tellSometimes(
        SPOOL_LEVELS[what],
        "spoolProblem",
        what,
        error === undefined ? event : { ...event, err: error },
      );
    },
    redisRecovered: (event) => tell("info", "redisRecovered", event),

    batchFormed(event) {
      const { destination } = event;
      cuts.inc({ destination });
      batchPings.observe({ destination }, event.pings);
      tell("debug", "batchFormed", event);
    },
    attemptMade(event) {
      const { destination, outcome, status } = event;
      attempts.inc({ destination, outcome, status: status ?? "none" });
      attemptTook.observe({ destination }, event.tookMs / 1000);
      sentBytes.inc({ destination }, event.bytes);
      tell(outcome === "delivered" ? "info" : "warn", "attemptMade", event);
    },
    batchSettled(event) {
      const { destination } = event;
      for (const end of SETTLED_ENDS) {
        if (event[end] > 0) settled.inc({ destination, end }, event[end]);
      }
      tell("debug", "batchSettled", event);
    },
    pingsDeadLettered(event) {
      deadLettered.inc({ destination: event.destination, reason: word(event.reason) }, event.pings);
      tellSometimes("warn", "pingsDeadLettered", event.destination, event);
    },
    deliveryLatency: (destination, latencyMs) => latency.observe({ destination }, latencyMs / 1000),
    gateChanged(event) {
      gates.inc({ scope: event.scope, state: event.state });
      tell(
        event.state === "blocked" ? "error" : event.state === "paused" ? "warn" : "info",
        "gateChanged",
        event,
      );
    },
    sweepFound(event) {
      swept.inc({ what: word(event.what) }, event.count);
      tellSometimes("warn", "sweepFound", event.what, event);
    },
    incident(event) {
      incidents.inc({ kind: event.kind });
      tellSometimes("warn", "incident", `${event.kind} ${event.where}`, {
        ...event,
        subject: event.subject.slice(0, MAX_STRANGER_CHARS),
      });
    },
    operatorActed(event) {
      const { action, outcome, count } = event;
      // Of failed logins many are one entry.
      acted.inc({ action, outcome }, action === "login_failed" ? (count ?? 1) : 1);
      tell(outcome === "done" ? "info" : "warn", "operatorActed", event);
    },
    opsRefused({ reason, method, path, from }) {
      opsRefusals.inc({ reason });
      tellSometimes("warn", "opsRefused", reason, {
        reason,
        method,
        path: path.slice(0, MAX_STRANGER_CHARS),
        from,
      });
    },
    connectionRefused: (event) => refusedConnections.inc(event),
    accountingMismatch: (event) => tellSometimes("error", "accountingMismatch", event.source, event),
  };
}

const SPOOL_LEVELS: Record<SpoolProblem, "warn" | "error"> = {
  full: "error",
  write: "error",
  read: "error",
  damaged: "warn",
  no_source: "error",
  lock_lost: "error",
};
const SETTLED_ENDS = ["delivered", "deadLettered", "expired", "superseded", "returned"] as const;
/** What a stranger calls itself is not ours to store at length. */
const MAX_STRANGER_CHARS = 80;

/** Keeps a label a word: a text that is none would make a new time series each time. */
function word(text: string): string {
  return /^[a-z][a-z0-9_]{0,39}$/.test(text) ? text : "other";
}
