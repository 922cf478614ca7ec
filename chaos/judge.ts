/** Judges a run by what the sandbox received: what was owed and did not arrive, what arrived and was not owed, and when. */

import type { Accepted, Episode, History, Issued } from "./history.ts";
import { createOrder } from "./order.ts";
import { explainRepeats } from "./repeats.ts";

export type ViolationKind =
  | "lost"
  | "invented"
  | "altered"
  | "out_of_order"
  | "unexplained_repeat"
  | "too_many_repeats"
  | "rate_exceeded"
  | "slow_recovery"
  | "not_dead_lettered"
  | "wrongly_dead_lettered"
  | "accounting_mismatch"
  | "no_evidence";

export interface Violation {
  kind: ViolationKind;
  /** The fault during or after which it happened; null: before the first, or not of one moment. */
  fault: string | null;
  what: string;
}

/** Figures of one fault; a reading belongs to the fault after which it was created. */
export interface FaultFigures {
  fault: string;
  times: number;
  owed: number;
  accepted: number;
  lost: number;
  /** Owed, not accepted, and excused. */
  exempt: number;
  /** Pings accepted once more, counted at the fault that caused it; without an explanation, at the fault of that moment. */
  duplicated: number;
  /** How many may be sent again: those accepted with a lost answer, and those that may be answered but not settled. */
  repeatsAtMost: number;
  invented: number;
  outOfOrder: number;
  maxPerSecond: number;
  /** Of the slowest unit; null: of some unit nothing arrived any more. */
  recoveryMs: number | null;
}

export interface Verdict {
  /** First the time without a fault, then each fault in the order of its first appearance. */
  faults: FaultFigures[];
  total: Omit<FaultFigures, "fault" | "times">;
  /** Out of order, but some attempt of their sender had no answer. Not a violation. */
  outOfOrderUnclear: number;
  /** Sent again by their sender when the gateway could not remember them any more. Not a violation. */
  resent: number;
  /**
   * What makes the run count as evidence. A kill was under way between request and settlement if a ping was accepted
   * before it and once more after it. Null: no fault of the run could cause it.
   */
  evidence: {
    killsUnderWay: number;
    duplicates: number;
    refusals: number;
    spooled: number | null;
    deadLetters: number | null;
  };
  violations: Violation[];
}

/** Half the last of seven decimals of a degree, and of two of a speed; a value exactly between may go either way. */
const PLACE_TOLERANCE = 0.6e-7;
const SPEED_TOLERANCE = 0.006;
const CALM = "no fault";

export function judge(history: History): Verdict {
  const violations: Violation[] = [];
  const { issued, episodes, exempt } = history;
  const nameAt = (at: number) => episodeAt(episodes, at)?.name ?? CALM;
  const figures = new Map<string, FaultFigures>();
  const figuresAt = (at: number) => figuresOf(figures, nameAt(at));
  figuresOf(figures, CALM);
  for (const { name } of episodes) figuresOf(figures, name).times++;

  const redriven = new Set(history.doomed.flatMap(({ id, listedAt }) => (listedAt === null ? [] : [id])));
  const firsts = new Map<string, Accepted>();
  const order = createOrder();
  let outOfOrderUnclear = 0;
  for (const ping of history.accepted) {
    const sent = issued.get(ping.id);
    const row = figuresAt(sent?.fixTime ?? ping.at);
    if (!sent) {
      row.invented++;
      violations.push({ kind: "invented", fault: nameAt(ping.at), what: ping.id });
      continue;
    }
    const difference = differenceOf(sent, ping);
    if (difference !== null) {
      violations.push({ kind: "altered", fault: nameAt(ping.at), what: `${ping.id}: ${difference}` });
    }
    if (firsts.has(ping.id)) continue;
    firsts.set(ping.id, ping);
    row.accepted++;
    // A ping that was given up arrives when it is redriven, at any time.
    if (redriven.has(ping.id)) continue;
    const overtook = order.see(sent);
    if (overtook === null) continue;
    if (sent.unclear || sent.owedAt === null) {
      outOfOrderUnclear++;
      continue;
    }
    row.outOfOrder++;
    violations.push({ kind: "out_of_order", fault: nameAt(ping.at), what: `${ping.id} after ${overtook}` });
  }

  const { repeats, bounds, resent } = explainRepeats(history);
  const killsUnderWay = new Set<Episode>();
  const unsettled = new Map<Episode, number>();
  for (const { id, at, sinceMs, cause } of repeats) {
    switch (cause.kind) {
      case "lost_answer":
        figuresAt(cause.exchange.to).duplicated++;
        break;
      case "unsettled":
        figuresOf(figures, cause.episode.name).duplicated++;
        unsettled.set(cause.episode, (unsettled.get(cause.episode) ?? 0) + 1);
        break;
      case "none": {
        figuresAt(at).duplicated++;
        const what = `${id} again after ${sinceMs} ms`;
        violations.push({ kind: "unexplained_repeat", fault: nameAt(at), what });
        break;
      }
      default:
        cause satisfies never;
    }
    const episode =
      cause.kind === "unsettled"
        ? cause.episode
        : cause.kind === "lost_answer"
          ? episodeAt(episodes, cause.exchange.to)
          : undefined;
    if (episode?.killed) killsUnderWay.add(episode);
  }
  for (const [{ name, unsettledAtMost }, count] of unsettled) {
    if (count <= unsettledAtMost) continue;
    violations.push({
      kind: "too_many_repeats",
      fault: name,
      what: `${count} of at most ${unsettledAtMost}`,
    });
  }
  for (const { at, count } of bounds) figuresAt(at).repeatsAtMost += count;

  for (const each of issued.values()) {
    if (each.owedAt === null) continue;
    const row = figuresAt(each.fixTime);
    row.owed++;
    if (firsts.has(each.id)) continue;
    if (exempt.has(each.id)) {
      row.exempt++;
      continue;
    }
    row.lost++;
    violations.push({ kind: "lost", fault: nameAt(each.fixTime), what: each.id });
  }

  judgeRate(history, figuresAt, violations);
  judgeRecovery(history, figures, violations);
  judgeDeadLetters(history, nameAt, violations);
  for (const what of history.mismatches) violations.push({ kind: "accounting_mismatch", fault: null, what });

  const rows = [...figures.values()];
  const total = totalOf(rows);
  const evidence = {
    killsUnderWay: killsUnderWay.size,
    duplicates: total.duplicated,
    refusals: history.refusals,
    spooled: episodes.some(({ storageAway }) => storageAway) ? history.spooled : null,
    deadLetters: history.doomed.length > 0 ? redriven.size : null,
  };
  for (const [what, count] of Object.entries(evidence)) {
    if (count !== 0) continue;
    violations.push({ kind: "no_evidence", fault: null, what: `the run had no ${what}` });
  }
  return { faults: rows, total, outOfOrderUnclear, resent, evidence, violations };
}

function differenceOf(sent: Issued, got: Accepted): string | null {
  if (got.unit !== sent.unit) return `unit ${got.unit} instead of ${sent.unit}`;
  if (got.eventTime !== sent.fixTime) return `time ${got.eventTime} instead of ${sent.fixTime}`;
  for (const [key, tolerance] of [
    ["latitude", PLACE_TOLERANCE],
    ["longitude", PLACE_TOLERANCE],
  ] as const) {
    const value = got[key];
    if (value === null || Math.abs(value - sent[key]) > tolerance)
      return `${key} ${value} instead of ${sent[key]}`;
  }
  if (got.speed === null || Math.abs(got.speed - sent.speedMps) > SPEED_TOLERANCE)
    return `speed ${got.speed} instead of ${sent.speedMps}`;
  return null;
}

function judgeRate(
  { arrivals, episodes, ratePerSecond }: History,
  figuresAt: (at: number) => FaultFigures,
  violations: Violation[],
): void {
  let oldest = 0;
  arrivals.forEach(({ earliest, latest }, i) => {
    // Certainly within the second: even if the first request came as early, and the last as late, as possible.
    while (latest - (arrivals[oldest]?.earliest ?? latest) >= 1000 && oldest < i) oldest++;
    const within = i - oldest + 1;
    const row = figuresAt(earliest);
    row.maxPerSecond = Math.max(row.maxPerSecond, within);
    const letGo =
      episodes.find(({ healedAt }) => healedAt <= latest && latest <= healedAt + 1000)?.heldBack ?? 0;
    if (within <= ratePerSecond + letGo) return;
    const overMs = Math.round(latest - (arrivals[oldest]?.earliest ?? latest));
    violations.push({ kind: "rate_exceeded", fault: row.fault, what: `${within} requests in ${overMs} ms` });
  });
}

/** After every fault a reading of each unit that was created after the fault has to be accepted in time. */
function judgeRecovery(
  { episodes, accepted, issued, visitors, recoverWithinMs }: History,
  figures: Map<string, FaultFigures>,
  violations: Violation[],
): void {
  const units = new Set([...issued.values()].flatMap(({ unit }) => (visitors.has(unit) ? [] : [unit])));
  const byTime = accepted.flatMap((ping) => {
    const sent = issued.get(ping.id);
    return sent ? [{ unit: sent.unit, fixTime: sent.fixTime, at: ping.at }] : [];
  });
  let from = 0;
  for (const episode of episodes) {
    const { name, recoverFrom, allowanceMs, endedAt } = episode;
    while ((byTime[from]?.at ?? Number.POSITIVE_INFINITY) < recoverFrom) from++;
    const silent = new Set(units);
    let recoveredAt: number | null = null;
    let slowest = "";
    for (let i = from; silent.size > 0; i++) {
      const ping = byTime[i];
      if (!ping || ping.at > endedAt) break;
      if (ping.fixTime < recoverFrom || !silent.delete(ping.unit)) continue;
      recoveredAt = ping.at;
      slowest = ping.unit;
    }
    const row = figuresOf(figures, name);
    if (silent.size > 0 || recoveredAt === null) {
      row.recoveryMs = null;
      const what = `${silent.size} units silent ${endedAt - recoverFrom} ms later`;
      violations.push({ kind: "slow_recovery", fault: name, what });
      continue;
    }
    const tookMs = recoveredAt - recoverFrom;
    if (row.recoveryMs !== null) row.recoveryMs = Math.max(row.recoveryMs, tookMs);
    if (tookMs <= recoverWithinMs + allowanceMs) continue;
    violations.push({ kind: "slow_recovery", fault: name, what: `${tookMs} ms for ${slowest}` });
  }
}

/** By id: the dead letters hold what had to be refused, and nothing else that ServiceTitan does not have. */
function judgeDeadLetters(
  { doomed, dead, issued, exempt, exchanges }: History,
  nameAt: (at: number) => string,
  violations: Violation[],
): void {
  const expected = new Set(doomed.map(({ id }) => id));
  for (const { id, listedAt } of doomed) {
    const sent = issued.get(id);
    if (listedAt !== null || !sent || sent.owedAt === null || exempt.has(id)) continue;
    violations.push({ kind: "not_dead_lettered", fault: nameAt(sent.fixTime), what: id });
  }
  for (const { id, reason } of dead) {
    if (expected.has(id)) continue;
    // Two answers said nothing about this ping, so the gateway gave it up, and ServiceTitan has it.
    const unread = exchanges.filter(({ ids, lost }) => lost && ids.includes(id)).length;
    if (reason === "unconfirmed" && unread >= 2) continue;
    const what = `${id} as ${reason}`;
    violations.push({ kind: "wrongly_dead_lettered", fault: nameAt(issued.get(id)?.fixTime ?? 0), what });
  }
}

function episodeAt(episodes: readonly Episode[], at: number): Episode | undefined {
  let [low, high] = [0, episodes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((episodes[middle]?.injectedAt ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  return episodes[low - 1];
}

function figuresOf(figures: Map<string, FaultFigures>, fault: string): FaultFigures {
  const known = figures.get(fault);
  if (known) return known;
  const fresh: FaultFigures = {
    fault,
    times: 0,
    owed: 0,
    accepted: 0,
    lost: 0,
    exempt: 0,
    duplicated: 0,
    repeatsAtMost: 0,
    invented: 0,
    outOfOrder: 0,
    maxPerSecond: 0,
    recoveryMs: 0,
  };
  figures.set(fault, fresh);
  return fresh;
}

function totalOf(rows: readonly FaultFigures[]): Verdict["total"] {
  const sum = (of: (row: FaultFigures) => number) => rows.reduce((total, row) => total + of(row), 0);
  const recoveries = rows.map(({ recoveryMs }) => recoveryMs);
  return {
    owed: sum(({ owed }) => owed),
    accepted: sum(({ accepted }) => accepted),
    lost: sum(({ lost }) => lost),
    exempt: sum(({ exempt }) => exempt),
    duplicated: sum(({ duplicated }) => duplicated),
    repeatsAtMost: sum(({ repeatsAtMost }) => repeatsAtMost),
    invented: sum(({ invented }) => invented),
    outOfOrder: sum(({ outOfOrder }) => outOfOrder),
    maxPerSecond: Math.max(0, ...rows.map(({ maxPerSecond }) => maxPerSecond)),
    recoveryMs: recoveries.includes(null) ? null : Math.max(0, ...recoveries.map((ms) => ms ?? 0)),
  };
}
