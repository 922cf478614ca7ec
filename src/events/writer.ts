/** Writes every event to the log, and counts it. */

import type { Logger } from "pino";
import type { Registry } from "prom-client";
import type { IngestEvents } from "../ingest/result.ts";
import type { SpoolEvents, SpoolProblem } from "../spool/events.ts";
import type { Events } from "./events.ts";
import { createLines, type Lines } from "./lines.ts";
import { createEventMetrics, type EventMetrics } from "./metrics.ts";

/** A stall of this length can cost a batch its lock (`queue.toleratedStallMs`). */
const STALL_MS = 1000;

export interface WriterOptions {
  logger: Logger;
  registry: Registry;
  /** Whether histograms have a series for each destination. Default: yes. */
  perDestination?: boolean;
  /** Of an error that follows from what another line says, such as Redis being away: it is counted only. */
  isSaidAlready?: (error: unknown) => boolean;
}

/** Builds the events over one logger and one registry. */
export function createEvents({
  logger,
  registry,
  perDestination = true,
  isSaidAlready = () => false,
}: WriterOptions): Events {
  const metrics = createEventMetrics(registry, { perDestination });
  const lines = createLines(logger, metrics, isSaidAlready);
  return {
    ...processEvents(lines, metrics),
    ...ingestEvents(lines, metrics),
    ...mqttEvents(lines),
    ...pollEvents(lines, metrics),
    ...storageEvents(lines, metrics),
    ...deliveryEvents(lines, metrics),
    ...operatorEvents(lines, metrics),
  };
}

/** The named events of the whole; each group leaves the others to their own function. */
type Group<Name extends keyof Events> = Pick<Events, Name>;

function processEvents(
  { write, writeLimited, writeError }: Lines,
  { mappingRows, incidents }: EventMetrics,
): Group<
  | "started"
  | "stopping"
  | "failed"
  | "loopDelay"
  | "configurationReloaded"
  | "configurationRefused"
  | "mappingReloaded"
  | "mappingProblem"
  | "incident"
  | "incidentEnded"
  | "problemBegan"
  | "problemEnded"
> {
  return {
    started: (event) => write("info", "started", event),
    stopping: (event) => write("info", "stopping", event),
    failed: ({ where, error }) => writeError("failed", where, { where }, error),
    loopDelay(event) {
      if (event.maxMs >= STALL_MS) writeLimited("warn", "loopDelay", "", event);
    },
    configurationReloaded: (event) => write("info", "configurationReloaded", event),
    configurationRefused: (event) => write("error", "configurationRefused", event),
    mappingReloaded(event) {
      mappingRows.set(event.rows);
      write("info", "mappingReloaded", event);
    },
    mappingProblem: (event) => writeLimited("error", "mappingProblem", event.file, event),
    incident(event) {
      incidents.inc({ kind: event.kind });
      const subject = event.subject.slice(0, MAX_SENDER_CHARS);
      writeLimited("warn", "incident", `${event.kind} ${event.where}`, { ...event, subject });
    },
    incidentEnded: (event) => writeLimited("info", "incidentEnded", `${event.kind} ${event.where}`, event),
    problemBegan({ severity, ...event }) {
      const level = severity === "error" ? "error" : "warn";
      writeLimited(level, "problemBegan", `${event.kind} ${event.where}`, event);
    },
    problemEnded: (event) => writeLimited("info", "problemEnded", `${event.kind} ${event.where}`, event),
  };
}

function ingestEvents(
  { writeLimited, writeError }: Lines,
  { deferred, answers, stores, authFailures, refusedConnections }: EventMetrics,
): Group<
  | Exclude<keyof IngestEvents, "fixSeen" | "incident">
  | "authFailed"
  | "webhookAnswered"
  | "sourceUnknown"
  | "confirmationEnded"
  | "storeTook"
  | "connectionRefused"
> {
  return {
    messageRefused: (event) => writeLimited("warn", "messageRefused", event.source, event),
    messageMalformed: (event) => writeLimited("warn", "messageMalformed", event.source, event),
    readingRejected: (event) => writeLimited("info", "readingRejected", event.source, event),
    messageDeferred({ source, reason, error }) {
      deferred.inc({ source, reason });
      writeError("messageDeferred", source, { source, reason }, error);
    },
    ingestFailed: ({ error, ...event }) =>
      writeLimited("error", "ingestFailed", event.source, { ...event, err: error }),
    webhookAnswered: (status, tookMs) => answers.observe({ status }, tookMs / 1000),
    sourceUnknown: ({ name, remoteAddress }) =>
      writeLimited("warn", "sourceUnknown", "", { name: name.slice(0, MAX_SENDER_CHARS), remoteAddress }),
    confirmationEnded: (event) =>
      writeLimited(event.ok ? "info" : "error", "confirmationEnded", event.source, event),
    storeTook: (tookMs) => stores.observe(tookMs / 1000),
    authFailed(event) {
      authFailures.inc({ door: event.door });
      writeLimited("warn", "authFailed", event.door, event);
    },
    connectionRefused: (event) => refusedConnections.inc(event),
  };
}

function mqttEvents({
  write,
  writeLimited,
}: Lines): Group<
  "brokerConnected" | "brokerDisconnected" | "brokerRefused" | "messagesGivenUp" | "deviceRefused"
> {
  return {
    brokerConnected: (event) => write("info", "brokerConnected", event),
    brokerDisconnected: ({ error, ...event }) =>
      writeLimited("warn", "brokerDisconnected", event.broker, withError(event, error)),
    brokerRefused: (event) => writeLimited("error", "brokerRefused", event.broker, event),
    messagesGivenUp: (event) => write("error", "messagesGivenUp", event),
    deviceRefused: ({ client, username, reason, topic, allowed }) =>
      writeLimited("warn", "deviceRefused", "", {
        client: client.slice(0, MAX_SENDER_CHARS),
        ...(username === undefined ? {} : { username: printable(username, MAX_SENDER_CHARS) }),
        reason,
        ...(topic === undefined ? {} : { topic: printable(topic, MAX_TOPIC_CHARS) }),
        ...(allowed === undefined ? {} : { allowed: allowed.slice(0, MAX_ALLOWED_FILTERS) }),
      }),
  };
}

const POLL_LEVELS = {
  starting: "warn",
  polling: "info",
  throttled: "warn",
  failing: "warn",
  refused: "error",
} as const;

function pollEvents(
  { write, writeLimited }: Lines,
  { polls }: EventMetrics,
): Group<"pollMade" | "pollStateChanged" | "pollGap"> {
  return {
    pollMade(event) {
      const { source, outcome } = event;
      polls.inc({ source, outcome });
      write("debug", "pollMade", event);
    },
    pollStateChanged: (event) =>
      writeLimited(POLL_LEVELS[event.state], "pollStateChanged", event.source, event),
    pollGap: (event) => write("error", "pollGap", event),
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

function storageEvents(
  { write, writeLimited }: Lines,
  { spoolProblems }: EventMetrics,
): Group<keyof SpoolEvents | "redisProblem" | "redisRecovered" | "accountingMismatch"> {
  return {
    redisProblem: ({ problem, error }) =>
      writeLimited("error", "redisProblem", problem, withError({ problem }, error)),
    redisRecovered: (event) => write("info", "redisRecovered", event),
    spoolAwaited: (event) => write("warn", "spoolAwaited", event),
    spoolOpened: (event) => write("warn", "spoolOpened", event),
    spoolReplayed: (event) => write("info", "spoolReplayed", event),
    spoolProblem({ error, ...event }) {
      const { what } = event;
      spoolProblems.inc({ what });
      writeLimited(SPOOL_LEVELS[what], "spoolProblem", what, withError(event, error));
    },
    accountingMismatch: (event) => writeLimited("error", "accountingMismatch", event.source, event),
  };
}

/** Dead letters have an event of their own, which knows the reason. */
const SETTLED_ENDS = ["delivered", "expired", "superseded", "returned"] as const;
const GATE_LEVELS = {
  open: "info",
  paused: "warn",
  probing: "info",
  ramping: "info",
  blocked: "error",
} as const;

function deliveryEvents(
  { write, writeLimited }: Lines,
  metrics: EventMetrics,
): Group<
  | "batchFormed"
  | "attemptMade"
  | "batchSettled"
  | "pingsDeadLettered"
  | "deliveryLatency"
  | "gateChanged"
  | "sweepFound"
> {
  return {
    batchFormed(event) {
      const { destination } = event;
      metrics.batches.inc({ destination });
      metrics.batchPings(destination, event.pings);
      write("debug", "batchFormed", event);
    },
    attemptMade(event) {
      const { destination, outcome, status } = event;
      metrics.attempts.inc({ destination, outcome, status: status ?? "none" });
      metrics.attemptTook(destination, event.tookMs / 1000);
      metrics.sentBytes.inc({ destination }, event.bytes);
      write(outcome === "delivered" ? "info" : "warn", "attemptMade", event);
    },
    batchSettled(event) {
      const { destination } = event;
      for (const end of SETTLED_ENDS) {
        if (event[end] > 0) metrics.settled.inc({ destination, end }, event[end]);
      }
      write("debug", "batchSettled", event);
    },
    pingsDeadLettered(event) {
      const { destination, reason, pings } = event;
      metrics.settled.inc({ destination, end: "deadLettered", reason: word(reason) }, pings);
      writeLimited("warn", "pingsDeadLettered", destination, event);
    },
    deliveryLatency: (destination, latencyMs) => metrics.latency(destination, latencyMs / 1000),
    gateChanged(event) {
      metrics.gates.inc({ scope: event.scope, state: event.state });
      write(GATE_LEVELS[event.state], "gateChanged", event);
    },
    sweepFound(event) {
      metrics.swept.inc({ what: word(event.what) }, event.count);
      writeLimited("warn", "sweepFound", event.what, event);
    },
  };
}

function operatorEvents(
  { write, writeLimited }: Lines,
  { actions, opsRefusals }: EventMetrics,
): Group<"operatorActed" | "opsRefused"> {
  return {
    operatorActed(event) {
      const { action, outcome, count } = event;
      // Many failed logins are one entry.
      actions.inc({ action, outcome }, action === "login_failed" ? (count ?? 1) : 1);
      write(outcome === "done" ? "info" : "warn", "operatorActed", event);
    },
    opsRefused({ reason, method, path, from }) {
      opsRefusals.inc({ reason });
      const fields = { reason, method, path: path.slice(0, MAX_SENDER_CHARS), from };
      writeLimited("warn", "opsRefused", reason, fields);
    },
  };
}

/** What a sender calls itself is stored up to this length. */
const MAX_SENDER_CHARS = 80;
/** A real topic is shorter, and MQTT allows 64 kB. */
const MAX_TOPIC_CHARS = 200;
/** A device that may publish under more filters has them listed in the configuration. */
const MAX_ALLOWED_FILTERS = 10;

function printable(text: string, maxChars: number): string {
  return text.slice(0, maxChars).replace(/\p{C}/gu, "\uFFFD");
}

function withError(fields: object, error: unknown): object {
  return error === undefined ? fields : { ...fields, err: error };
}

/** Keeps a label a word: any other text would make a new time series each time. */
function word(text: string): string {
  return /^[a-z][a-z0-9_]{0,39}$/.test(text) ? text : "other";
}
