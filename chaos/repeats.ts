/** Says of every ping that was accepted more than once what made it so, ping by ping where that is known. */

import type { Accepted, Episode, History, LostAnswer } from "./history.ts";

export interface Repeat {
  id: string;
  at: number;
  /** Since it was accepted before. */
  sinceMs: number;
  cause: Cause;
}

export type Cause =
  /** Its answer did not come through. */
  | { kind: "lost_answer"; lost: LostAnswer }
  /** It was answered, and what befell the gateway or Redis kept it from being settled. */
  | { kind: "unsettled"; episode: Episode }
  | { kind: "none" };

export interface Repeats {
  repeats: Repeat[];
  /** How many may have been sent again, and because of what happened when. */
  bounds: { at: number; count: number }[];
  /** Not among `repeats`: their sender sent them twice, too late for the gateway to know. */
  resent: number;
}

/** Between a request's being seen on the wire and its being accepted, on a busy machine. */
const SLACK_MS = 500;
/** A batch that lost its job is found by a sweep, the backoff before the next probe is over. */
const SWEEP_AND_BACKOFF_MS = 1250 + 4000;
/** Fixes of a device that the gateway remembers; one sent again after more of them is sent on again. */
const REMEMBERED_FIXES = 48;

export function explainRepeats(history: History): Repeats {
  const { accepted, episodes, lostAnswers, issued } = history;
  const withinMs = history.recoverWithinMs + SWEEP_AND_BACKOFF_MS;
  const acceptances = new Map<string, number[]>();
  for (const { id, at } of accepted) acceptances.set(id, [...(acceptances.get(id) ?? []), at]);

  // Each explains that each of its pings is sent once more, if it came to be accepted at all.
  const lostOf = new Map<string, LostAnswer[]>();
  const bounds = episodes.map(({ injectedAt, unsettledAtMost }) => ({
    at: injectedAt,
    count: unsettledAtMost,
  }));
  for (const lost of lostAnswers) {
    const taken = lost.ids.filter((id) => acceptances.get(id)?.some((at) => isDuring(lost, at)));
    for (const id of taken) lostOf.set(id, [...(lostOf.get(id) ?? []), lost]);
    bounds.push({ at: lost.to, count: taken.length });
  }

  const unsettled = new Map<Episode, number>();
  function causeOf(before: Accepted, again: Accepted): Cause {
    const known = lostOf.get(again.id) ?? [];
    const place = known.findIndex(
      (lost) => isDuring(lost, before.at) && calmBetween(episodes, lost.to, again.at) <= withinMs,
    );
    const [lost] = place === -1 ? [] : known.splice(place, 1);
    if (lost) return { kind: "lost_answer", lost };
    const fitting = episodes.filter(
      (episode) =>
        episode.unsettledAtMost > 0 &&
        episode.injectedAt - history.requestTimeoutMs <= before.at &&
        before.at <= episode.unsettledUntil + SLACK_MS &&
        episode.injectedAt <= again.at &&
        calmBetween(episodes, episode.healedAt, again.at) <= withinMs,
    );
    const count = (episode: Episode) => unsettled.get(episode) ?? 0;
    const episode = fitting.find((each) => count(each) < each.unsettledAtMost) ?? fitting.at(-1);
    if (!episode) return { kind: "none" };
    unsettled.set(episode, count(episode) + 1);
    return { kind: "unsettled", episode };
  }

  const latest = new Map<string, Accepted>();
  const newer = newerFixes(history);
  const repeats: Repeat[] = [];
  let resent = 0;
  for (const ping of accepted) {
    const sent = issued.get(ping.id);
    if (!sent) continue;
    const before = latest.get(ping.id);
    latest.set(ping.id, ping);
    newer.see(ping);
    if (!before) continue;
    const cause = causeOf(before, ping);
    if (cause.kind === "none" && sent.handedOver > 1 && newer.than(ping) >= REMEMBERED_FIXES) resent++;
    else repeats.push({ id: ping.id, at: ping.at, sinceMs: ping.at - before.at, cause });
  }
  return { repeats, bounds, resent };
}

function isDuring({ from, to }: LostAnswer, at: number): boolean {
  return from - SLACK_MS <= at && at <= to + SLACK_MS;
}

/** Time between two moments in which no fault was on; one that is, or that makes senders wait, holds everything up. */
function calmBetween(episodes: readonly Episode[], from: number, to: number): number {
  const troubled = episodes.map(({ injectedAt, healedAt, allowanceMs, endedAt }) => {
    const begin = Math.max(injectedAt, from);
    return Math.max(0, Math.min(healedAt + allowanceMs, endedAt, to) - begin);
  });
  return to - from - troubled.reduce((sum, ms) => sum + ms, 0);
}

/** How many different fixes of a ping's unit that are newer than it have been accepted so far. */
function newerFixes({ issued }: History): { see(ping: Accepted): void; than(ping: Accepted): number } {
  const seen = new Map<string, Set<number>>();
  const fixTimeOf = (ping: Accepted) => issued.get(ping.id)?.fixTime ?? ping.eventTime;
  return {
    see(ping) {
      const fixes = seen.get(ping.unit) ?? new Set();
      seen.set(ping.unit, fixes.add(fixTimeOf(ping)));
    },
    than(ping) {
      const fixTime = fixTimeOf(ping);
      return [...(seen.get(ping.unit) ?? [])].filter((other) => other > fixTime).length;
    },
  };
}
