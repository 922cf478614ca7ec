/** The metrics that events move, beside the log. What Redis holds is counted in ops/metrics.ts. */

import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { DOORS } from "../limits/guess-policies.ts";
import { SPOOL_PROBLEMS } from "../spool/events.ts";
import { OPS_REFUSALS } from "../status/operators.ts";
import { INCIDENT_KINDS } from "../status/process.ts";

/** Answers a vendor waits for; 2.5 s is the default deadline, 3 s is where Motive gives up. */
const ANSWER_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 3, 5];
/** One POST, up to the default timeout of 20 s. */
const ATTEMPT_BUCKETS_S = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];
/** Arrival to yes: a batch waits up to 1 s by default; after 600 s a ping expires. */
const LATENCY_BUCKETS_S = [0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600];
/** Up to the largest batch the configuration allows. */
const BATCH_BUCKETS_PINGS = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000];

export type EventMetrics = ReturnType<typeof createEventMetrics>;

export interface MetricOptions {
  /** Whether histograms have a series for each destination: 45 lines of a scrape each. */
  perDestination: boolean;
}

export function createEventMetrics(registry: Registry, { perDestination }: MetricOptions) {
  const metrics = {
    ...generalMetrics(registry),
    ...inputMetrics(registry),
    ...deliveryMetrics(registry, perDestination),
    ...operatorMetrics(registry),
  };
  // There from the start: the first one is to raise an alarm, and an increase is not seen without a value before it.
  for (const what of SPOOL_PROBLEMS) metrics.spoolProblems.inc({ what }, 0);
  for (const kind of INCIDENT_KINDS) metrics.incidents.inc({ kind }, 0);
  for (const reason of OPS_REFUSALS) metrics.opsRefusals.inc({ reason }, 0);
  for (const door of DOORS) metrics.authFailures.inc({ door }, 0);
  return metrics;
}

function generalMetrics(registry: Registry) {
  const { counter, gauge } = makers(registry);
  return {
    events: counter(
      "waypost_events_total",
      "Events of this process by name, whether or not their line was suppressed.",
      ["event"],
    ),
    mappingRows: gauge("waypost_mapping_rows", "Rows of the mapping in use."),
    incidents: counter("waypost_incidents_total", "What went wrong at the doors of this process, by kind.", [
      "kind",
    ]),
  };
}

function inputMetrics(registry: Registry) {
  const { counter, histogram } = makers(registry);
  return {
    deferred: counter(
      "waypost_deferred_messages_total",
      "Messages answered 503 or not acknowledged, by source and reason.",
      ["source", "reason"],
    ),
    answers: histogram(
      "waypost_webhook_answer_seconds",
      "Arrival of a webhook to our answer.",
      ANSWER_BUCKETS_S,
      ["status"],
    ),
    stores: histogram(
      "waypost_store_seconds",
      "Storing one message, duplicates checked.",
      ANSWER_BUCKETS_S,
      [],
    ),
    spoolProblems: counter("waypost_spool_problems_total", "What went wrong on the local disk.", ["what"]),
    authFailures: counter(
      "waypost_auth_failures_total",
      "Wrong credentials, and those that were not looked at since their sender was wrong too often.",
      ["door"],
    ),
    refusedConnections: counter(
      "waypost_connections_refused_total",
      "Connections not accepted, or closed so that another could be.",
      ["port", "reason"],
    ),
    polls: counter("waypost_polls_total", "Requests to vendors that have to be asked.", [
      "source",
      "outcome",
    ]),
  };
}

function deliveryMetrics(registry: Registry, perDestination: boolean) {
  const { counter, histogram } = makers(registry);
  const each = (name: string, help: string, buckets: number[]) => {
    if (perDestination) {
      const metric = histogram(name, `${help}, by destination.`, buckets, ["destination"]);
      return (destination: string, value: number) => metric.observe({ destination }, value);
    }
    const metric = histogram(name, `${help}, of all destinations together.`, buckets, []);
    return (_destination: string, value: number) => metric.observe(value);
  };
  return {
    batches: counter("waypost_batches_formed_total", "Batches that this process formed.", ["destination"]),
    batchPings: each("waypost_batch_pings", "Pings in a batch when it is formed", BATCH_BUCKETS_PINGS),
    attempts: counter(
      "waypost_attempts_total",
      "POSTs of this process to ServiceTitan, by outcome and status.",
      ["destination", "outcome", "status"],
    ),
    attemptTook: each("waypost_attempt_seconds", "One POST, first byte to whole answer", ATTEMPT_BUCKETS_S),
    sentBytes: counter("waypost_attempt_bytes_total", "Bytes of request bodies sent.", ["destination"]),
    settled: counter(
      "waypost_settled_pings_total",
      "Pings of batches that this process settled, by destination and where they went; dead letters by reason.",
      ["destination", "end", "reason"],
    ),
    latency: each(
      "waypost_delivery_latency_seconds",
      "Arrival of a ping to ServiceTitan's yes",
      LATENCY_BUCKETS_S,
    ),
    gates: counter("waypost_gate_changes_total", "Changes of what a scope or destination may do.", [
      "scope",
      "state",
    ]),
    swept: counter("waypost_swept_total", "What the sweep put right after a crash.", ["what"]),
  };
}

function operatorMetrics(registry: Registry) {
  const { counter } = makers(registry);
  return {
    actions: counter("waypost_operator_actions_total", "What operators did, by action and outcome.", [
      "action",
      "outcome",
    ]),
    opsRefusals: counter("waypost_ops_refusals_total", "Requests the ops endpoint turned down.", ["reason"]),
  };
}

function makers(registry: Registry) {
  const registers = [registry];
  return {
    counter: <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
      new Counter({ name, help, labelNames, registers }),
    gauge: (name: string, help: string) => new Gauge({ name, help, registers }),
    histogram: <L extends string>(name: string, help: string, buckets: number[], labelNames: readonly L[]) =>
      new Histogram({ name, help, buckets, labelNames, registers }),
  };
}
