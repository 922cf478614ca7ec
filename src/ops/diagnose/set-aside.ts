/** Finds problems in what was set aside: messages that cannot be decoded, and pings that ServiceTitan refused for good. */

import type { DestinationStatus, QueueStatus, SourceStatus } from "../../status/queue.ts";
import { adviceForDeadLetter } from "./advice.ts";
import { error, type Finding, listed, warning } from "./problem.ts";

/** What was set aside longer ago than this is in its list only, not a current problem. */
const RECENT_MS = 60 * 60_000;
/** After the cure: what is older than this, while others went through since, is in its list only. */
const CURED_AFTER_MS = 20_000;

export function diagnoseSetAside(queue: QueueStatus, nowMs: number): Finding[] {
  return [...diagnoseQuarantine(queue, nowMs), ...diagnoseDeadLetters(queue, nowMs)];
}

function diagnoseQuarantine({ quarantine, sources }: QueueStatus, nowMs: number): Finding[] {
  const found: Finding[] = [];
  const messages = quarantine.recent.filter(({ at }) => nowMs - Date.parse(at) < RECENT_MS);
  const ownFault = messages.find(({ reason }) => reason === "internal_error");
  if (ownFault) {
    found.push(
      error("internal_error", "quarantine", {
        what: `A message of ${ownFault.source} met a fault of the gateway: ${ownFault.problem}.`,
        doNext:
          "It is in quarantine and loses nothing. Report the fault; after the fix, run it through waypost decode and send it again.",
        sinceMs: Date.parse(ownFault.at),
        subjects: [ownFault.source],
      }),
    );
  }
  const malformed = messages.filter(
    ({ reason, source, at }) =>
      reason !== "internal_error" && !isDecodingAgain(sources, source, nowMs - Date.parse(at)),
  );
  const [last] = malformed;
  if (last) {
    const names = [...new Set(malformed.map(({ source }) => source))];
    const lately = sources
      .filter(({ name }) => names.includes(name))
      .reduce((sum, { pulse }) => sum + (pulse.last15Min.malformed ?? 0), 0);
    const many = lately > 1 ? `${lately} messages of the last 15 minutes` : "A message";
    found.push(
      warning("quarantine_growing", "quarantine", {
        what: `${many} could not be decoded (${quarantine.count} are in quarantine), of ${listed(names)}; the last from ${last.source}: ${last.problem}.`,
        doNext:
          "The vendor may have changed its format: take the message from the quarantine and run it through waypost decode.",
        sinceMs: Math.min(...malformed.map(({ at }) => Date.parse(at))),
        subjects: names,
      }),
    );
  }
  return found;
}

/** Since its last malformed message the source has sent others that could be decoded. */
function isDecodingAgain(sources: readonly SourceStatus[], name: string, ageMs: number): boolean {
  if (ageMs < CURED_AFTER_MS) return false;
  const lastGoodAt = sources.find((source) => source.name === name)?.pulse;
  return (
    lastGoodAt !== undefined && (lastGoodAt.last5Min.decoded ?? 0) > (lastGoodAt.last5Min.malformed ?? 0)
  );
}

function diagnoseDeadLetters({ deadLetters, destinations }: QueueStatus, nowMs: number): Finding[] {
  const letters = deadLetters.recent.filter(
    ({ at, destination }) =>
      nowMs - Date.parse(at) < RECENT_MS && !isAcceptingAgain(destinations, destination, at, nowMs),
  );
  return [...new Set(letters.map(({ reason }) => reason))].flatMap((reason) => {
    const ofReason = letters.filter((letter) => letter.reason === reason);
    const [letter] = ofReason;
    if (!letter) return [];
    const { what, doNext } = adviceForDeadLetter(reason);
    return warning("dead_letters", "dead letters", {
      what: `${what}, there are ${deadLetters.count} dead letters; the last for unit ${letter.unit} of ${letter.destination} (${reason}): ${letter.message}`,
      doNext,
      sinceMs: Math.min(...ofReason.map(({ at }) => Date.parse(at))),
      subjects: [...new Set(ofReason.map(({ unit }) => unit))],
    });
  });
}

/** Its last answer accepted everything, and the dead letter is older than that by more than a moment. */
function isAcceptingAgain(
  destinations: readonly DestinationStatus[],
  name: string,
  at: string,
  nowMs: number,
): boolean {
  if (nowMs - Date.parse(at) < CURED_AFTER_MS) return false;
  const destination = destinations.find((each) => each.name === name);
  const { lastOutcome = null, lastOutcomeAt = null } = destination ?? {};
  return lastOutcome === "delivered" && lastOutcomeAt !== null && lastOutcomeAt > at;
}
