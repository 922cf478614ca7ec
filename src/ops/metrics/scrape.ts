/** Turns the status document into the metrics of one scrape: what this process has, and what Redis holds. */

import type { NoStatus, StatusDocument } from "../status-document.ts";
import { and, createExposition, type Exposition, labelled } from "./exposition.ts";
import { writeAccounting, writeDestinations, writeStores } from "./from-redis.ts";

export interface ScrapeOptions {
  /** Of several processes on one Redis, one exports what it holds, so that a sum counts it once. */
  exportsRedis: boolean;
  /** What this process does itself; the status has what all processes do. */
  own: Pick<StatusDocument, "brokers" | "pollers" | "clocks">;
}

/** The text of one scrape, without what events count. */
export function statusMetrics(
  status: StatusDocument | NoStatus,
  { exportsRedis, own }: ScrapeOptions,
): string {
  const exposition = createExposition();
  const known = "sources" in status;
  writeProcess(exposition, status);
  writeBrokers(exposition, own);
  writePollers(exposition, own);
  exposition.one(
    "waypost_status_exporter",
    "1 in the one process that exports what Redis holds: accounting, destinations, gates, quarantine, ledger, jobs.",
    exportsRedis && known,
  );
  if (known)
    exposition.one(
      "waypost_wrong_clocks",
      "Devices whose clock is off by a constant, as this process saw them.",
      own.clocks.length,
    );
  if (known && exportsRedis) {
    writeAccounting(exposition, status);
    writeDestinations(exposition, status);
    writeStores(exposition, status);
  }
  return exposition.text();
}

function writeProcess(exposition: Exposition, status: StatusDocument | NoStatus): void {
  const { process, problems } = status;
  const bad = (severity: string) => problems.filter((problem) => problem.severity === severity).length;
  exposition.one(
    "waypost_status_available",
    "1 when Redis answered this process's question.",
    "sources" in status,
  );
  exposition.gauge("waypost_build_info", "Always 1; version and Node version of this process.", [
    [and(labelled("version", process.version), "node", process.node), 1],
  ]);
  exposition.gauge(
    "waypost_problems",
    "Problems that this process's ops page shows now; take the maximum of several processes.",
    ["error", "warning"].map((severity) => [labelled("severity", severity), bad(severity)]),
  );
  writeSpool(exposition, status);
}

function writeSpool({ one, counter }: Exposition, { spool }: Pick<StatusDocument, "spool">): void {
  if (spool === null) return;
  one("waypost_spool_messages", "Messages on this process's disk, waiting for Redis.", spool.messages);
  one("waypost_spool_bytes", "Bytes of this process's spool in use.", spool.bytes);
  counter("waypost_spooled_messages_total", "Messages set aside on this process's disk.", [
    ["", spool.spooled],
  ]);
  counter("waypost_spool_replayed_messages_total", "Messages taken from the spool into the pipeline.", [
    ["", spool.replayed],
  ]);
}

function writeBrokers({ gauge }: Exposition, { brokers }: Pick<StatusDocument, "brokers">): void {
  gauge(
    "waypost_broker_connected",
    "1 while this process is connected to the broker, or is the embedded one and listens.",
    brokers.map(({ name, state }) => [labelled("broker", name), state === "connected"]),
  );
  gauge(
    "waypost_broker_unacked_messages",
    "Messages received from the broker and not acknowledged yet.",
    brokers.map(({ name, unacked }) => [labelled("broker", name), unacked]),
  );
  gauge(
    "waypost_broker_clients",
    "Devices connected to the embedded broker.",
    brokers.map(({ name, clients }) => [labelled("broker", name), clients]),
  );
}

function writePollers({ gauge }: Exposition, { pollers }: Pick<StatusDocument, "pollers">): void {
  gauge(
    "waypost_poller_working",
    "1 while this process polls the source's vendor and gets answers.",
    pollers.map(({ name, state }) => [
      labelled("source", name),
      state === "standby" ? null : state === "polling",
    ]),
  );
  gauge(
    "waypost_poller_last_success_timestamp_seconds",
    "When this process last fetched and stored a page of the source.",
    pollers.map(({ name, lastSuccessAt }) => [
      labelled("source", name),
      lastSuccessAt === null ? null : Date.parse(lastSuccessAt) / 1000,
    ]),
  );
}
