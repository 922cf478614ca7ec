/** Turns the status into problems for an operator: what is wrong, where, and what to do next. */

import type { BrokerStatus, PollerStatus, QueueStatus, SourceStatus } from "../../status.ts";
import { adviceForDeadLetter } from "./advice.ts";
import type { ClockOffender } from "./clocks.ts";
import { diagnoseDestination, diagnoseScopes } from "./destination.ts";
import { diagnoseBroker, diagnoseRedis } from "./outside.ts";
import { diagnosePoller } from "./poller.ts";
import { error, type Finding, listed, warning } from "./problem.ts";

/** What was set aside longer ago than this is in its list only, not a current problem. */
const RECENT_MS = 60 * 60_000;

/** Pure; errors come first, otherwise in the order of the pipeline. */
export function diagnose({
  queue,
  brokers,
  pollers,
  clocks,
}: {
  queue: QueueStatus;
  brokers: readonly BrokerStatus[];
  pollers: readonly PollerStatus[];
  clocks: readonly ClockOffender[];
}): Finding[] {
  const nowMs = Date.parse(queue.at);
  const problems = [
    ...diagnoseRedis(queue.redis),
    ...brokers.flatMap((broker) => diagnoseBroker(broker, nowMs)),
    ...pollers.flatMap((poller) => diagnosePoller(poller, nowMs)),
    ...queue.sources.flatMap(diagnoseSource),
    ...diagnoseScopes(queue.destinations, nowMs),
    ...queue.destinations.flatMap((destination) => diagnoseDestination(destination, nowMs)),
    ...queue.orphans.map(({ destination, waiting }) =>
      error("orphaned_pings", `destination ${destination}`, {
        what: `${waiting} pings wait for it, but the configuration no longer names it.`,
        doNext:
          "Put it back until they are delivered or have expired, or accept that they stay where they are.",
      }),
    ),
    ...diagnoseSetAside(queue, nowMs),
    ...diagnoseHeld(queue),
    ...diagnoseClocks(clocks),
  ];
  return [
    ...problems.filter(({ severity }) => severity === "error"),
    ...problems.filter(({ severity }) => severity === "warning"),
  ];
}

/** The equations of the accounting identity. */
const EQUATIONS = {
  messages: "messages = refused + ignored + handshakes + malformed + decoded",
  readings: "readings = rejected + duplicates + stored",
  stored: "stored = delivered + dead-lettered + expired + superseded + dropped + held + waiting + in flight",
} as const;

function diagnoseSource(source: SourceStatus): Finding[] {
  const found: Finding[] = [];
  const where = `source ${source.name}`;
  for (const term of ["messages", "readings", "stored"] as const) {
    const difference = source.identity[term];
    if (difference === 0) continue;
    const side = difference > 0 ? `${difference} unaccounted for` : `${-difference} counted twice`;
    found.push(
      error("accounting_mismatch", where, {
        what: `The accounting does not add up, ${side}: ${EQUATIONS[term]}.`,
        doNext:
          "This is a fault of the gateway or of somebody writing to its Redis. Keep the log around accountingMismatch and report it.",
      }),
    );
  }
  const { messages, refused, readings, rejected } = source.accounting;
  if (messages > 0 && refused === messages) {
    const [reason] = mostFrequent(source.refusedBy);
    const doNext =
      reason === "unauthenticated"
        ? "The secret configured here and the one at the vendor differ: compare source.auth with the vendor's webhook settings."
        : "Compare the vendor's webhook settings with docs/vendors.md.";
    found.push(
      warning("authentication_failing", where, {
        what: `Every one of ${messages} messages was refused (${reason}).`,
        doNext,
      }),
    );
  }
  if (readings > 0 && rejected === readings) {
    const [reason, count] = mostFrequent(source.rejectedBy);
    found.push(
      warning("readings_rejected", where, {
        what: `Every one of ${readings} positions was rejected, ${count} of them as ${reason}.`,
        doNext: "Take one message and run it through waypost decode; docs/reasons.md explains each reason.",
      }),
    );
  }
  return found;
}

function mostFrequent(counts: Record<string, number>): [string, number] {
  return Object.entries(counts).reduce((most, entry) => (entry[1] > most[1] ? entry : most), ["unknown", 0]);
}

function diagnoseSetAside({ quarantine, deadLetters }: QueueStatus, nowMs: number): Finding[] {
  const found: Finding[] = [];
  const isRecent = ({ at }: { at: string }) => nowMs - Date.parse(at) < RECENT_MS;
  const messages = quarantine.recent.filter(isRecent);
  const ownFault = messages.find(({ reason }) => reason === "internal_error");
  if (ownFault) {
    found.push(
      error("internal_error", "quarantine", {
        what: `A message of ${ownFault.source} met a fault of the gateway: ${ownFault.problem}.`,
        doNext:
          "It is in quarantine and loses nothing. Report the fault; after the fix, run it through waypost decode and send it again.",
      }),
    );
  }
  const malformed = messages.find(({ reason }) => reason !== "internal_error");
  if (malformed) {
    found.push(
      warning("quarantine_growing", "quarantine", {
        what: `Messages that cannot be decoded keep coming, ${quarantine.count} are in quarantine; the last from ${malformed.source}: ${malformed.problem}.`,
        doNext:
          "The vendor may have changed its format: take the message from /quarantine and run it through waypost decode.",
      }),
    );
  }
  const letters = deadLetters.recent.filter(isRecent);
  for (const reason of new Set(letters.map((letter) => letter.reason))) {
    const letter = letters.find((each) => each.reason === reason);
    if (!letter) continue;
    const { what, doNext } = adviceForDeadLetter(reason);
    found.push(
      warning("dead_letters", "dead letters", {
        what: `${what}, there are ${deadLetters.count} dead letters; the last for unit ${letter.unit} of ${letter.destination} (${reason}): ${letter.message}`,
        doNext,
      }),
    );
  }
  return found;
}

function diagnoseHeld({ unmapped }: QueueStatus): Finding[] {
  const held = unmapped.filter(({ policy }) => policy === "hold");
  if (held.length === 0) return [];
  const named = held.map(({ source, device }) => `${device} of ${source}`);
  return [
    warning("device_held", "mapping", {
      what: `Positions of ${held.length === 1 ? "a device" : `${held.length} devices`} are held because no mapping row names ${held.length === 1 ? "it" : "them"}: ${listed(named)}.`,
      doNext: "Add a row for each to the mapping file; it is read again when it changes.",
    }),
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
