/** Finds problems of sending: gates that are not open, backlogs, full buffers, silent units. */

import type { DestinationStatus, GateStatus, QueueStatus } from "../../status/queue.ts";
import { adviceFor, needsAPerson } from "./advice.ts";
import { durationText } from "./duration.ts";
import { error, type Finding, listed, warning } from "./problem.ts";

/** Ten times the default batch age, and long enough for a probe (at least every 4 s) to have gone out. */
const WAITING_WARN_MS = 30_000;
/** Half of the age at which a ping expires by default. */
const WAITING_ERROR_MS = 5 * 60_000;
const BUFFER_WARN_SHARE = 0.8;
/** ServiceTitan answers well within a second; a request is given up only after `requestTimeoutMs`. */
const UNANSWERED_WARN_MS = 5000;

/** A scope's gate is reported once, however many destinations share it. */
export function diagnoseScopes(destinations: readonly DestinationStatus[], nowMs: number): Finding[] {
  const scopes = new Map<string, DestinationStatus[]>();
  for (const destination of destinations) {
    if (destination.scopeGate.state === "open") continue;
    scopes.set(destination.scope, [...(scopes.get(destination.scope) ?? []), destination]);
  }
  return [...scopes.values()].flatMap((members) => {
    const [first] = members;
    if (!first) return [];
    const where = `tenant ${first.tenant} (${listed(members.map(({ name }) => name))})`;
    return diagnoseGate(where, first.scopeGate, nowMs, "");
  });
}

/** Stale while their devices send: whatever the cause, dispatchers see vehicles where they no longer are. */
export function diagnoseStale({ destinations }: QueueStatus, staleAfterMs: number): Finding[] {
  return destinations.flatMap(({ name, freshness }) => {
    const sending = freshness?.sending ?? null;
    if (sending === null || sending.p50AgeMs <= staleAfterMs) return [];
    return warning("positions_stale", `destination ${name}`, {
      what: `At half of the ${sending.units} units whose devices are sending, the newest position that ServiceTitan accepted was ${durationText(sending.p50AgeMs)} old or more when the device last sent.`,
      doNext:
        "Where sending is paused or behind, that is the cause. Otherwise compare arrival and fix of one unit in its timeline: the vendor delivers late, or its positions are rejected.",
    });
  });
}

function diagnoseGate(where: string, gate: GateStatus, nowMs: number, backlog: string): Finding[] {
  if (gate.state === "open" || gate.state === "ramping") return [];
  const { meaning, doNext } = adviceFor(gate.reason);
  if (gate.reason !== null && needsAPerson(gate.reason)) {
    const what = `Sending has stopped because ${meaning}. Positions are kept until they are too old.${backlog}`;
    return [error("sending_blocked", where, { what, doNext })];
  }
  const left = gate.untilMs === null ? 0 : gate.untilMs - nowMs;
  const until =
    gate.state === "probing"
      ? " One request is out to try."
      : left > 0
        ? ` Next try in ${durationText(left)}.`
        : "";
  return [
    warning("sending_paused", where, {
      what: `Sending is paused because ${meaning}.${until}${backlog}`,
      doNext,
    }),
  ];
}

export function diagnoseDestination(destination: DestinationStatus, nowMs: number): Finding[] {
  const where = `destination ${destination.name}`;
  const found: Finding[] = [];
  const oldest = destination.oldestWaitingAgeMs;
  const backlog =
    oldest === null
      ? ""
      : ` ${positions(destination.waiting)} waiting, the oldest for ${durationText(oldest)}.`;
  found.push(...diagnoseGate(where, destination.gate, nowMs, backlog));
  const unanswered = Math.max(0, ...destination.lanes.map((lane) => lane.unansweredMs ?? 0));
  if (unanswered > UNANSWERED_WARN_MS) {
    found.push(
      warning("servicetitan_silent", where, {
        what: `ServiceTitan has given no answer for ${durationText(unanswered)}; ${positions(destination.inFlight)} in flight.${backlog}`,
        doNext:
          "Nothing yet: the request is given up after requestTimeoutMs and sent again. If it lasts, see status.servicetitan.com and whether the network or a proxy holds connections without an answer.",
      }),
    );
  }
  if (found.length === 0 && oldest !== null && oldest > WAITING_WARN_MS) {
    const problem = oldest > WAITING_ERROR_MS ? error : warning;
    const doNext =
      destination.scopeGate.state === "open"
        ? "See that a gateway process is running and not overloaded (event loop, Redis); compare what arrives with ratePerSecond × maxBatchPings."
        : "It goes down by itself once the tenant scope may send again; the newest position of each unit goes first.";
    found.push(problem("sending_behind", where, { what: `Sending is behind:${backlog}`, doNext }));
  }
  const share = destination.bufferBytes / destination.bufferLimitBytes;
  if (share >= 1) {
    found.push(
      error("buffer_full", where, {
        what: "The buffer is full: senders get 503 and MQTT messages are not acknowledged.",
        doNext: "Make the destination send again (see above), or raise bufferBytes if Redis has the memory.",
      }),
    );
  } else if (share > BUFFER_WARN_SHARE) {
    found.push(
      warning("buffer_full", where, {
        what: `The buffer is ${Math.round(share * 100)} % full.`,
        doNext: "At 100 % senders get 503. Make the destination send again, or raise bufferBytes.",
      }),
    );
  }
  const silent = destination.silentUnits;
  if (silent.length > 0 && silent.length < destination.unitsKnown) {
    const named = silent.map(({ unit, ageMs }) => `${unit} (${durationText(ageMs)})`);
    found.push(
      warning("device_silent", where, {
        what: `${silent.length} of ${destination.unitsKnown} units are silent while others report: ${listed(named)}.`,
        doNext:
          "Look at the device: power, antenna, SIM. If it reports at the vendor, see the source's rejections.",
      }),
    );
  }
  return found;
}

function positions(count: number): string {
  return count === 1 ? "1 position is" : `${count.toLocaleString("en-US")} positions are`;
}
