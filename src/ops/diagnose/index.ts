/** Turns the status into problems for an operator: what is wrong, where, and what to do next. */

import type { BrokerStatus, PollerStatus } from "../../status/process.ts";
import type { QueueStatus } from "../../status/queue.ts";
import { type ClockOffender, isRollover } from "./clocks.ts";
import { diagnoseDestination, diagnoseScopes, diagnoseStale } from "./destination.ts";
import { diagnoseDevices } from "./devices.ts";
import { diagnoseMapping, type MappingFacts } from "./mapping.ts";
import { diagnoseBroker, diagnoseRedis } from "./outside.ts";
import { diagnosePoller } from "./poller.ts";
import { error, type Finding, listed, warning } from "./problem.ts";
import { diagnoseSetAside } from "./set-aside.ts";
import { diagnoseSource } from "./source.ts";

/** A vehicle in traffic is a kilometre further by then. */
const STALE_AFTER_MS = 120_000;

const NO_MAPPING: MappingFacts = { problem: null, form: null };

/** Pure; errors come first, otherwise in the order of the pipeline. */
export function diagnose({
  queue,
  brokers,
  pollers,
  clocks,
  mapping = null,
  staleAfterMs = STALE_AFTER_MS,
}: {
  queue: QueueStatus;
  brokers: readonly BrokerStatus[];
  pollers: readonly PollerStatus[];
  clocks: readonly ClockOffender[];
  mapping?: MappingFacts | null;
  /** Newest accepted positions older than this at half of the units are a problem, milliseconds. */
  staleAfterMs?: number | undefined;
}): Finding[] {
  const nowMs = Date.parse(queue.at);
  const ofPollers = pollers.flatMap((poller) => diagnosePoller(poller, nowMs));
  const notPolled = new Set(ofPollers.map(({ where }) => where));
  // A vendor that we cannot ask is not silent.
  const isNotExplained = ({ kind, where }: Finding) => kind !== "source_silent" || !notPolled.has(where);
  const troubled = new Set(
    queue.sources.flatMap(({ name, troubled }) => troubled.map(({ device }) => `${name}\0${device}`)),
  );
  // Their positions are rejected, and the offset is told with that.
  const isNotTroubled = ({ source, deviceId }: ClockOffender) => !troubled.has(`${source}\0${deviceId}`);
  const problems = [
    ...diagnoseRedis(queue.redis),
    ...brokers.flatMap((broker) => diagnoseBroker(broker, nowMs)),
    ...ofPollers,
    ...queue.sources.flatMap((source) => diagnoseSource(source, nowMs)).filter(isNotExplained),
    ...diagnoseScopes(queue.destinations, nowMs),
    ...queue.destinations.flatMap((destination) => diagnoseDestination(destination, nowMs)),
    ...diagnoseStale(queue, staleAfterMs),
    ...queue.orphans.map(({ destination, waiting }) =>
      error("orphaned_pings", `destination ${destination}`, {
        what: `${waiting} pings wait for it, but the configuration no longer names it.`,
        doNext:
          "Put it back until they are delivered or have expired, or accept that they stay where they are.",
      }),
    ),
    ...diagnoseSetAside(queue, nowMs),
    ...diagnoseMapping({ ...(mapping ?? NO_MAPPING), unmapped: queue.unmapped, nowMs }),
    ...queue.sources.flatMap(({ name, troubled }) => diagnoseDevices(name, troubled, nowMs)),
    ...diagnoseClocks(clocks.filter(({ offsetMs }) => !isRollover(offsetMs)).filter(isNotTroubled)),
    ...diagnoseRollovers(clocks.filter(({ offsetMs }) => isRollover(offsetMs))),
  ];
  return [
    ...problems.filter(({ severity }) => severity === "error"),
    ...problems.filter(({ severity }) => severity === "warning"),
  ];
}

function diagnoseClocks(clocks: readonly ClockOffender[]): Finding[] {
  const sources = new Set(clocks.map(({ source }) => source));
  return [...sources].map((source) => {
    const offenders = clocks.filter((clock) => clock.source === source);
    const named = offenders.map(({ deviceId, text }) => `${deviceId} is ${text}`);
    const zone = offenders.some(({ looksLikeTimeZone }) => looksLikeTimeZone);
    return warning("clock_wrong", `source ${source}`, {
      what: `Clocks are wrong by a constant: ${listed(named)}.`,
      doNext: zone
        ? "Whole hours mean local time sent as UTC: set the device or the vendor's account to UTC."
        : "Let these devices take their time from GPS or the network; above 2 min ahead their positions are rejected.",
    });
  });
}

function diagnoseRollovers(clocks: readonly ClockOffender[]): Finding[] {
  const sources = new Set(clocks.map(({ source }) => source));
  return [...sources].map((source) => {
    const devices = clocks.filter((clock) => clock.source === source).map(({ deviceId }) => deviceId);
    return warning("time_rolled_over", `source ${source}`, {
      what: `Dates are 1,024 or 2,048 weeks behind, because a receiver's count of GPS weeks began again: ${listed(devices)}. They are corrected where the position is current.`,
      doNext:
        "Update the receiver's firmware, or replace the device: a position that it sends late is taken for an old one.",
      subjects: devices,
    });
  });
}
