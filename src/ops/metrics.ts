/** Turns the status document into Prometheus metrics; they come from Redis, so every process exports the same. */

import { Counter, Gauge, Registry } from "prom-client";
import {
  ACCOUNTING_TERMS,
  type Accounting,
  type DestinationStatus,
  type GateStatus,
  type SourceStatus,
} from "../status.ts";
import type { NoStatus, StatusDocument } from "./status-document.ts";

/** Terms that only grow are counters; the last three are gauges of where positions are now. */
const TERMS: Record<keyof Accounting, { name: string; help: string }> = {
  messages: { name: "waypost_messages_total", help: "Messages that arrived." },
  refused: { name: "waypost_messages_refused_total", help: "Messages not authenticated or not acceptable." },
  ignored: { name: "waypost_messages_ignored_total", help: "Messages decoded that carry no position." },
  handshakes: { name: "waypost_messages_handshakes_total", help: "Vendors' handshakes with the gateway." },
  malformed: {
    name: "waypost_messages_malformed_total",
    help: "Authenticated messages that could not be decoded.",
  },
  decoded: { name: "waypost_messages_decoded_total", help: "Messages decoded." },
  readings: { name: "waypost_readings_total", help: "Raw readings found in messages." },
  rejected: { name: "waypost_readings_rejected_total", help: "Raw readings that failed validation." },
  duplicates: { name: "waypost_readings_duplicates_total", help: "Readings already stored before." },
  stored: { name: "waypost_readings_stored_total", help: "Readings stored." },
  delivered: { name: "waypost_pings_delivered_total", help: "Pings ServiceTitan accepted." },
  deadLettered: { name: "waypost_pings_dead_lettered_total", help: "Pings ServiceTitan refused for good." },
  expired: { name: "waypost_pings_expired_total", help: "Pings that became too old to send." },
  superseded: {
    name: "waypost_pings_superseded_total",
    help: "Pings older than one of their unit already accepted.",
  },
  dropped: { name: "waypost_pings_dropped_total", help: "Pings dropped by policy." },
  held: { name: "waypost_pings_held", help: "Readings held because no mapping row names their device." },
  waiting: { name: "waypost_pings_waiting", help: "Pings in the buffer." },
  inFlight: { name: "waypost_pings_in_flight", help: "Pings in batches being sent." },
};
const NOW_TERMS = new Set<keyof Accounting>(["held", "waiting", "inFlight"]);
const GATE_STATES: readonly GateStatus["state"][] = ["open", "paused", "probing", "ramping"];

/** One series: its labels, and its value; null leaves it out. */
type Row = [labels: Record<string, string>, value: number | boolean | null];

/** The text of one scrape. */
export function statusMetrics(status: StatusDocument | NoStatus): Promise<string> {
  const registry = new Registry();
  const write = {
    gauge(name: string, help: string, rows: Row[]): void {
      const metric = new Gauge({ name, help, labelNames: labelsOf(rows), registers: [registry] });
      for (const [labels, value] of rows) if (value !== null) metric.set(labels, Number(value));
    },
    counter(name: string, help: string, rows: Row[]): void {
      const metric = new Counter({ name, help, labelNames: labelsOf(rows), registers: [registry] });
      for (const [labels, value] of rows) if (value !== null) metric.inc(labels, Number(value));
    },
  };
  writeProcess(write, status);
  if ("sources" in status) {
    writeSources(write, status);
    writeDestinations(write, status);
    writeStores(write, status);
  }
  return registry.metrics();
}

function labelsOf(rows: readonly Row[]): string[] {
  return Object.keys(rows[0]?.[0] ?? {});
}

type Write = Record<"gauge" | "counter", (name: string, help: string, rows: Row[]) => void>;

function writeProcess({ gauge, counter }: Write, status: StatusDocument | NoStatus): void {
  const { brokers, pollers, problems } = status;
  const bad = (severity: string) => problems.filter((problem) => problem.severity === severity).length;
  gauge("waypost_status_available", "1 when the queue answered.", [[{}, "sources" in status]]);
  gauge("waypost_info", "Always 1; the version of this process.", [[{ version: status.process.version }, 1]]);
  gauge(
    "waypost_problems",
    "Problems the ops page shows now.",
    ["error", "warning"].map((severity) => [{ severity }, bad(severity)]),
  );
  const { spool } = status;
  if (spool !== null) {
    gauge("waypost_spool_messages", "Messages on the local disk, waiting for Redis.", [[{}, spool.messages]]);
    gauge("waypost_spool_bytes", "Bytes of the spool in use.", [[{}, spool.bytes]]);
    counter("waypost_spooled_messages_total", "Messages set aside on the local disk.", [[{}, spool.spooled]]);
    counter("waypost_spool_replayed_messages_total", "Messages replayed from the spool.", [
      [{}, spool.replayed],
    ]);
  }
  gauge(
    "waypost_broker_connected",
    "1 while this process is connected to the broker, or is the embedded one and listens.",
    brokers.map(({ name, state }) => [{ broker: name }, state === "connected"]),
  );
  gauge(
    "waypost_poller_working",
    "1 while this process polls the source's vendor and gets answers.",
    pollers.map(({ name, state }) => [{ source: name }, state === "standby" ? null : state === "polling"]),
  );
  gauge(
    "waypost_poller_last_success_timestamp_seconds",
    "When this process last fetched and stored a page of the source.",
    pollers.map(({ name, lastSuccessAt }) => [
      { source: name },
      lastSuccessAt === null ? null : Date.parse(lastSuccessAt) / 1000,
    ]),
  );
  gauge(
    "waypost_broker_unacked_messages",
    "Messages received from the broker and not acknowledged yet.",
    brokers.map(({ name, unacked }) => [{ broker: name }, unacked]),
  );
  gauge(
    "waypost_broker_clients",
    "Devices connected to the embedded broker.",
    brokers.map(({ name, clients }) => [{ broker: name }, clients]),
  );
}

function writeSources({ gauge, counter }: Write, { sources, clocks, unmapped }: StatusDocument): void {
  for (const term of ACCOUNTING_TERMS) {
    const { name, help } = TERMS[term];
    const write = NOW_TERMS.has(term) ? gauge : counter;
    write(
      name,
      help,
      sources.map((source) => [
        { source: source.name },
        source.accounting[term] + subtractedByRedrive(term, source),
      ]),
    );
  }
  counter(
    "waypost_redriven_messages_total",
    "Messages redriven from the quarantine; they count as messages a second time.",
    sources.map(({ name, redriven }) => [{ source: name }, redriven.messages]),
  );
  counter(
    "waypost_redriven_pings_total",
    "Dead letters sent on their way again.",
    sources.map(({ name, redriven }) => [{ source: name }, redriven.pings]),
  );
  gauge(
    "waypost_accounting_mismatch",
    "Left side minus right side of each line of the accounting identity; anything but 0 is a fault.",
    sources.flatMap((source) =>
      Object.entries(source.identity).map(
        ([line, difference]): Row => [{ source: source.name, line }, difference],
      ),
    ),
  );
  const byReason = (counts: "rejectedBy" | "refusedBy" | "defects", label: string) =>
    sources.flatMap((source) =>
      Object.entries(source[counts]).map(
        ([word, count]): Row => [{ source: source.name, [label]: word }, count],
      ),
    );
  counter("waypost_rejections_total", "Rejected readings by reason.", byReason("rejectedBy", "reason"));
  counter("waypost_refusals_total", "Refused messages by reason.", byReason("refusedBy", "reason"));
  counter("waypost_field_defects_total", "Fields that became null.", byReason("defects", "defect"));
  counter(
    "waypost_conflicting_fixes_total",
    "Duplicates whose place differs from the first.",
    sources.map(({ name, conflictingFixes }) => [{ source: name }, conflictingFixes]),
  );
  gauge(
    "waypost_source_last_message_timestamp_seconds",
    "When the source's last message arrived.",
    sources.map(({ name, lastMessageAt }) => [
      { source: name },
      lastMessageAt === null ? null : Date.parse(lastMessageAt) / 1000,
    ]),
  );
  gauge("waypost_wrong_clocks", "Devices with a constant clock offset.", [[{}, clocks.length]]);
  gauge("waypost_unmapped_devices", "Devices that no mapping row names.", [[{}, unmapped.length]]);
}

/** What redriving subtracted from a term, to be added again: a falling counter looks like a restart to Prometheus. */
function subtractedByRedrive(term: keyof Accounting, { redriven }: SourceStatus): number {
  if (term === "deadLettered") return redriven.pings;
  return term === "messages" || term === "malformed" ? redriven.messages : 0;
}

function writeDestinations({ gauge }: Write, { destinations }: StatusDocument): void {
  const each = (name: string, help: string, value: (destination: DestinationStatus) => number | null) =>
    gauge(
      `waypost_destination_${name}`,
      help,
      destinations.map((destination) => [{ destination: destination.name }, value(destination)]),
    );
  const seconds = (ms: number | null) => (ms === null ? null : ms / 1000);
  each("waiting_pings", "Pings in the destination's buffer.", ({ waiting }) => waiting);
  each("in_flight_pings", "Pings in batches being sent.", ({ inFlight }) => inFlight);
  each("held_pings", "Readings held because their device is not mapped.", ({ held }) => held);
  each("oldest_waiting_age_seconds", "Age of the oldest waiting ping; 0 when none waits.", (destination) =>
    seconds(destination.oldestWaitingAgeMs ?? 0),
  );
  each("newest_accepted_age_seconds", "Age of the newest accepted ping of any unit.", (destination) =>
    seconds(destination.newestAcceptedAgeMs),
  );
  gauge(
    "waypost_freshness_seconds",
    "Age of the newest accepted ping of each unit that has reported within the hour; quantile 1 is the oldest.",
    destinations.flatMap(({ name, freshness }): Row[] =>
      freshness === null
        ? []
        : [
            [{ destination: name, quantile: "0.5" }, freshness.p50AgeMs / 1000],
            [{ destination: name, quantile: "0.95" }, freshness.p95AgeMs / 1000],
            [{ destination: name, quantile: "1" }, freshness.maxAgeMs / 1000],
          ],
    ),
  );
  each("buffer_bytes", "Size of the buffer.", ({ bufferBytes }) => bufferBytes);
  each("buffer_limit_bytes", "Size at which senders get 503.", ({ bufferLimitBytes }) => bufferLimitBytes);
  each("units", "Units ever seen.", ({ unitsKnown }) => unitsKnown);
  each("silent_units", "Units silent while others report.", ({ silentUnits }) => silentUnits.length);
  each("dead_letters", "Dead letters stored.", ({ deadLetters }) => deadLetters);
  each("rate_limit", "Requests per second its gate lets through now.", ({ scopeGate, gate: own }) =>
    Math.min(scopeGate.ratePerSecond, own.ratePerSecond),
  );
  gauge(
    "waypost_gate_state",
    "1 for the state a gate is in; gate is the tenant scope's or the destination's own.",
    destinations.flatMap(({ name, scopeGate, gate: own }) =>
      GATE_STATES.flatMap((state): Row[] => [
        [{ destination: name, gate: "scope", state }, scopeGate.state === state],
        [{ destination: name, gate: "destination", state }, own.state === state],
      ]),
    ),
  );
}

function writeStores(
  { gauge }: Write,
  { redis, jobs, quarantine, deadLetters, ledger }: StatusDocument,
): void {
  const one = (name: string, help: string, value: number | boolean | null) =>
    gauge(`waypost_${name}`, help, value === null ? [] : [[{}, value]]);
  one("redis_reachable", "1 while Redis answers.", redis.reachable);
  one("redis_writable", "1 while Redis takes writes.", redis.writable);
  one(
    "redis_append_only",
    "1 when the append-only file is on.",
    redis.aof !== "off" && redis.aof !== "unknown",
  );
  one(
    "redis_noeviction",
    "1 when the eviction policy is noeviction.",
    redis.maxmemoryPolicy === "noeviction",
  );
  one("redis_used_memory_bytes", "Memory Redis uses.", redis.usedMemoryBytes);
  one("redis_max_memory_bytes", "Redis' maxmemory; 0 is no limit.", redis.maxMemoryBytes);
  gauge(
    "waypost_jobs",
    "Jobs by state; each is the wake-up of one batch.",
    Object.entries(jobs).map(([state, count]) => [{ state }, count]),
  );
  one("quarantine_messages", "Messages in quarantine.", quarantine.count);
  one("quarantine_bytes", "Size of the quarantine.", quarantine.bytes);
  one("dead_letters", "Dead letters stored.", deadLetters.count);
  one("dead_letter_bytes", "Size of the dead letters.", deadLetters.bytes);
  one("ledger_batches", "Batches in the ledger.", ledger.batches);
  one("ledger_bytes", "Size of the ledger.", ledger.bytes);
}
