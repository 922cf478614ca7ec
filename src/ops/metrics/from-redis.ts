/** The metrics of what Redis holds: the accounting by source, the destinations and their gates, and the stores. */

import { ACCOUNTING_TERMS, type Accounting } from "../../status/accounting.ts";
import type { DestinationStatus, GateStatus, SourceStatus } from "../../status/queue.ts";
import type { StatusDocument } from "../status-document.ts";
import { and, type Exposition, labelled, type Row } from "./exposition.ts";

/** Terms that only grow are counters; the last three are gauges of where positions are now. */
const TERMS: Record<keyof Accounting, { name: string; help: string }> = {
  messages: { name: "waypost_messages_total", help: "Messages that arrived, by source." },
  refused: {
    name: "waypost_messages_refused_total",
    help: "Messages not authenticated or not acceptable, by source and reason.",
  },
  ignored: { name: "waypost_messages_ignored_total", help: "Messages decoded that carry no position." },
  handshakes: { name: "waypost_messages_handshakes_total", help: "Vendors' handshakes with the gateway." },
  malformed: {
    name: "waypost_messages_malformed_total",
    help: "Authenticated messages that could not be decoded.",
  },
  decoded: { name: "waypost_messages_decoded_total", help: "Messages decoded into raw readings." },
  readings: { name: "waypost_readings_total", help: "Raw readings found in messages." },
  rejected: {
    name: "waypost_readings_rejected_total",
    help: "Raw readings that failed validation, by source and reason.",
  },
  duplicates: { name: "waypost_readings_duplicates_total", help: "Readings already stored before." },
  stored: { name: "waypost_readings_stored_total", help: "Readings stored." },
  delivered: { name: "waypost_pings_delivered_total", help: "Pings ServiceTitan accepted, by source." },
  deadLettered: {
    name: "waypost_pings_dead_lettered_total",
    help: "Pings ServiceTitan refused for good, by source.",
  },
  expired: { name: "waypost_pings_expired_total", help: "Pings that became too old to send." },
  superseded: {
    name: "waypost_pings_superseded_total",
    help: "Pings older than one of their unit already accepted.",
  },
  dropped: { name: "waypost_pings_dropped_total", help: "Pings dropped by policy." },
  held: {
    name: "waypost_pings_held",
    help: "Readings of the source held because no row names their device.",
  },
  waiting: { name: "waypost_pings_waiting", help: "Pings of the source in the buffer." },
  inFlight: { name: "waypost_pings_in_flight", help: "Pings of the source in batches being sent." },
};
const NOW_TERMS = new Set<keyof Accounting>(["held", "waiting", "inFlight"]);
/** These are counted by reason, so their sum is the term. */
const BY_REASON: ReadonlyMap<keyof Accounting, "refusedBy" | "rejectedBy"> = new Map([
  ["refused", "refusedBy"],
  ["rejected", "rejectedBy"],
]);
const GATE_STATES: readonly GateStatus["state"][] = ["open", "paused", "probing", "ramping"];

export function writeAccounting(exposition: Exposition, { sources, unmapped }: StatusDocument): void {
  const { gauge, counter } = exposition;
  // Escaped once, and not again for each of two dozen metrics.
  const labels = new Map(sources.map((source) => [source, labelled("source", source.name)]));
  const each = (value: (source: SourceStatus) => number | null) =>
    sources.map((source): Row => [labels.get(source) ?? "", value(source)]);
  for (const term of ACCOUNTING_TERMS) {
    const { name, help } = TERMS[term];
    const reasons = BY_REASON.get(term);
    if (reasons !== undefined) counter(name, help, byWord(sources, reasons, "reason"));
    else if (NOW_TERMS.has(term))
      gauge(
        name,
        help,
        each(({ accounting }) => accounting[term]),
      );
    else
      counter(
        name,
        help,
        each((source) => source.accounting[term] + subtractedByRedrive(term, source)),
      );
  }
  counter(
    "waypost_redriven_messages_total",
    "Messages redriven from the quarantine; they count as messages a second time.",
    each(({ redriven }) => redriven.messages),
  );
  counter(
    "waypost_redriven_pings_total",
    "Dead letters sent on their way again.",
    each(({ redriven }) => redriven.pings),
  );
  gauge(
    "waypost_accounting_mismatch",
    "Left side minus right side of each line of the accounting identity; anything but 0 is a fault.",
    sources.flatMap((source) =>
      Object.entries(source.identity).map(
        ([line, difference]): Row => [and(labels.get(source) ?? "", "line", line), difference],
      ),
    ),
  );
  counter(
    "waypost_field_defects_total",
    "Fields of readings that became null, and times that were corrected, by source and defect.",
    byWord(sources, "defects", "defect"),
  );
  counter(
    "waypost_conflicting_fixes_total",
    "Duplicates whose place differs from the first.",
    each(({ conflictingFixes }) => conflictingFixes),
  );
  gauge(
    "waypost_source_last_message_timestamp_seconds",
    "When the source's last message arrived at any process.",
    each(({ lastMessageAt }) => (lastMessageAt === null ? null : Date.parse(lastMessageAt) / 1000)),
  );
  exposition.one("waypost_unmapped_devices", "Devices that no mapping row names.", unmapped.length);
}

function byWord(
  sources: readonly SourceStatus[],
  counts: "rejectedBy" | "refusedBy" | "defects",
  label: string,
): Row[] {
  return sources.flatMap((source) => {
    const labels = labelled("source", source.name);
    return Object.entries(source[counts]).map(([word, count]): Row => [and(labels, label, word), count]);
  });
}

/** What redriving subtracted from a term, to be added again: a falling counter looks like a restart to Prometheus. */
function subtractedByRedrive(term: keyof Accounting, { redriven }: SourceStatus): number {
  if (term === "deadLettered") return redriven.pings;
  return term === "messages" || term === "malformed" ? redriven.messages : 0;
}

export function writeDestinations({ gauge, summary }: Exposition, { destinations }: StatusDocument): void {
  const labels = new Map(destinations.map((each) => [each, labelled("destination", each.name)]));
  const each = (name: string, help: string, value: (destination: DestinationStatus) => number | null) =>
    gauge(
      `waypost_destination_${name}`,
      help,
      destinations.map((destination) => [labels.get(destination) ?? "", value(destination)]),
    );
  const seconds = (ms: number | null) => (ms === null ? null : ms / 1000);
  each("waiting_pings", "Pings in the destination's buffer.", ({ waiting }) => waiting);
  each("in_flight_pings", "Pings of the destination in batches being sent.", ({ inFlight }) => inFlight);
  each(
    "held_pings",
    "Readings held for the destination, since their device is not mapped.",
    ({ held }) => held,
  );
  each("oldest_waiting_age_seconds", "Age of the oldest waiting ping; 0 when none waits.", (destination) =>
    seconds(destination.oldestWaitingAgeMs ?? 0),
  );
  each(
    "newest_accepted_age_seconds",
    "Time since the last of the pings that ServiceTitan accepted came in here.",
    (destination) => seconds(destination.newestAcceptedAgeMs),
  );
  summary(
    "waypost_freshness_seconds",
    "Age of the newest accepted ping of each unit that has reported within the hour; quantile 1 is the oldest.",
    destinations.flatMap((destination): Row[] => {
      const { freshness } = destination;
      if (freshness === null) return [];
      const quantile = (of: string) => and(labels.get(destination) ?? "", "quantile", of);
      return [
        [quantile("0.5"), freshness.p50AgeMs / 1000],
        [quantile("0.95"), freshness.p95AgeMs / 1000],
        [quantile("1"), freshness.maxAgeMs / 1000],
      ];
    }),
  );
  each("buffer_bytes", "Size of the destination's buffer.", ({ bufferBytes }) => bufferBytes);
  each("buffer_limit_bytes", "Size at which senders get 503.", ({ bufferLimitBytes }) => bufferLimitBytes);
  each("units", "Units ever seen.", ({ unitsKnown }) => unitsKnown);
  each("silent_units", "Units silent while others report.", ({ silentUnits }) => silentUnits.length);
  each("dead_letters", "Dead letters stored.", ({ deadLetters }) => deadLetters);
  each("rate_limit", "Requests per second that its gates let through now.", ({ scopeGate, gate: own }) =>
    Math.min(scopeGate.ratePerSecond, own.ratePerSecond),
  );
  gauge(
    "waypost_gate_state",
    "1 for the state a gate is in; gate is the tenant scope's or the destination's own.",
    destinations.flatMap((destination) => {
      const { scopeGate, gate: own } = destination;
      const gateOf = (gate: string) => and(labels.get(destination) ?? "", "gate", gate);
      const [scope, itself] = [gateOf("scope"), gateOf("destination")];
      return GATE_STATES.flatMap((state): Row[] => [
        [and(scope, "state", state), scopeGate.state === state],
        [and(itself, "state", state), own.state === state],
      ]);
    }),
  );
}

export function writeStores(
  { one: write, gauge }: Exposition,
  { redis, jobs, quarantine, deadLetters, ledger }: StatusDocument,
): void {
  const one = (name: string, help: string, value: number | boolean | null) =>
    write(`waypost_${name}`, help, value);
  one("redis_reachable", "1 while Redis answers the process that exports this.", redis.reachable);
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
  one("redis_max_memory_bytes", "Redis' maxmemory; absent where there is no limit.", redis.maxMemoryBytes);
  gauge(
    "waypost_jobs",
    "Jobs by state; each is the wake-up of one batch.",
    Object.entries(jobs).map(([state, count]) => [labelled("state", state), count]),
  );
  one("quarantine_messages", "Messages in quarantine.", quarantine.count);
  one("quarantine_bytes", "Size of the quarantine.", quarantine.bytes);
  one("dead_letter_bytes", "Size of all dead letters stored.", deadLetters.bytes);
  one("ledger_batches", "Batches in the ledger.", ledger.batches);
  one("ledger_bytes", "Size of the ledger.", ledger.bytes);
}
