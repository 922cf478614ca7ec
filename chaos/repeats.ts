/** Explains why each ping was accepted more than once, ping by ping where the cause is known. */

import type { Accepted, Episode, Exchange, History, Issued } from "./history.ts";

export interface Repeat {
  id: string;
  at: number;
  /** Time since the acceptance before. */
  sinceMs: number;
  cause: Cause;
}

export type Cause =
  /** Its answer did not come through. */
  | { kind: "lost_answer"; exchange: Exchange }
  /** It was answered, and a fault of the gateway or of Redis prevented the settlement. */
  | { kind: "unsettled"; episode: Episode }
  | { kind: "none" };

export interface Repeats {
  repeats: Repeat[];
  /** How many may have been sent again, and because of which event. */
  bounds: { at: number; count: number }[];
  /** Not among `repeats`: their sender sent them twice, too late for the gateway to know. */
  resent: number;
}

/** On a busy machine a request may be accepted this long after its sender has gone. */
const SLACK_MS = 500;
/** Time in which a sweep finds a batch that lost its job, and the backoff before the next probe ends. */
const SWEEP_AND_BACKOFF_MS = 1250 + 4000;
/** Fixes of a device that the gateway remembers; a fix that comes again after more of them is forwarded again. */
const REMEMBERED_FIXES = 44;

export function explainRepeats(history: History): Repeats {
  const { accepted, episodes, issued } = history;
  const withinMs = history.recoverWithinMs + SWEEP_AND_BACKOFF_MS;
  const { carrierOf, carriersOf } = carriers(history);
  // Each ping that was accepted and was in a request whose answer was lost may be sent once more.
  const arrived = new Set(accepted.map(({ id }) => id));
  const bounds = [
    ...episodes.map(({ injectedAt, unsettledAtMost }) => ({ at: injectedAt, count: unsettledAtMost })),
    ...history.exchanges
      .filter(({ lost }) => lost)
      .map(({ ids, to }) => ({ at: to, count: ids.filter((id) => arrived.has(id)).length })),
  ];

  const used = new Map<string, Set<Exchange>>();
  function lostAnswerOf(before: Accepted, again: Accepted): Cause | null {
    const own = used.get(again.id) ?? new Set();
    const carrier = carrierOf(before);
    const exchange =
      carrier?.lost && calmBetween(episodes, carrier.to, again.at) <= withinMs
        ? carrier
        : // One that a frozen network held back arrives together with the one that was sent in its place, or after it.
          carriersOf(again.id).find(
            ({ lost, from, to }) => lost && from <= again.at && Math.abs(again.at - to) <= SLACK_MS,
          );
    if (!exchange || own.has(exchange)) return null;
    used.set(again.id, own.add(exchange));
    return { kind: "lost_answer", exchange };
  }

  const unsettled = new Map<Episode, number>();
  function unsettledAt(before: Accepted, again: Accepted): Cause | null {
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
    if (!episode) return null;
    unsettled.set(episode, count(episode) + 1);
    return { kind: "unsettled", episode };
  }

  const newer = newerFixes(history);
  const latest = new Map<string, Accepted>();
  const repeats: Repeat[] = [];
  let resent = 0;
  for (const ping of accepted) {
    const sent = issued.get(ping.id);
    if (!sent) continue;
    const before = latest.get(ping.id);
    latest.set(ping.id, ping);
    if (!before) continue;
    const lost = lostAnswerOf(before, ping);
    if (lost === null && sent.handedOver > 1 && newer(sent, ping.at) >= REMEMBERED_FIXES) {
      resent++;
      continue;
    }
    const cause = lost ?? unsettledAt(before, ping) ?? { kind: "none" };
    repeats.push({ id: ping.id, at: ping.at, sinceMs: ping.at - before.at, cause });
  }
  return { repeats, bounds, resent };
}

/** The request that carried an accepted ping: the last such request that had begun by then and had not ended long before. */
function carriers({ exchanges }: History) {
  const byId = new Map<string, Exchange[]>();
  for (const exchange of [...exchanges].sort((one, other) => one.from - other.from)) {
    for (const id of exchange.ids) {
      const own = byId.get(id) ?? [];
      byId.set(id, own);
      own.push(exchange);
    }
  }
  const carriersOf = (id: string): readonly Exchange[] => byId.get(id) ?? [];
  const carrierOf = ({ id, at }: Accepted): Exchange | undefined => {
    const exchange = carriersOf(id).findLast(({ from }) => from <= at);
    return exchange && at <= exchange.to + SLACK_MS ? exchange : undefined;
  };
  return { carriersOf, carrierOf };
}

/** Time between two moments without a fault: a fault, or the wait that it asks of senders, delays everything. */
function calmBetween(episodes: readonly Episode[], from: number, to: number): number {
  const troubled = episodes.map(({ injectedAt, healedAt, allowanceMs, endedAt }) => {
    const begin = Math.max(injectedAt, from);
    return Math.max(0, Math.min(healedAt + allowanceMs, endedAt, to) - begin);
  });
  return to - from - troubled.reduce((sum, ms) => sum + ms, 0);
}

/** How many newer fixes of the reading's unit were owed by then. */
function newerFixes({ issued }: History): (than: Issued, at: number) => number {
  const owed = new Map<string, Issued[]>();
  for (const each of issued.values()) {
    const own = owed.get(each.unit) ?? [];
    owed.set(each.unit, own);
    own.push(each);
  }
  return (than, at) =>
    (owed.get(than.unit) ?? []).filter(
      ({ fixTime, owedAt }) => fixTime > than.fixTime && owedAt !== null && owedAt <= at,
    ).length;
}
