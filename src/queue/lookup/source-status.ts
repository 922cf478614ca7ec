/** The status of one source: its accounting, summed over the scopes it feeds. */

import { type Accounting, identityOf } from "../../status/accounting.ts";
import type { BadRun, SourcePulse, SourceStatus, TroubledDevice } from "../../status/queue.ts";
import { iso } from "../../time.ts";
import { countsOfLast, type Pulse } from "./pulse.ts";
import { silentFrom, usualGapOf } from "./silence.ts";

export interface StatusSource {
  name: string;
  vendor: string;
  transport: SourceStatus["transport"];
  destination: string;
  home: string;
  unmapped: "forward" | "hold";
  /** No shorter silence is a problem, milliseconds. */
  silentFloorMs?: number | undefined;
}

/** Long enough for a vendor that batches by the minute, and for a gateway that restarts. */
const SILENT_FLOOR_MS = 300_000;

/** A source as one of its scopes has it. */
export interface SourceShare {
  held: number;
  waiting: number;
  inFlight: number;
  pulse: Pulse;
  troubled: readonly TroubledDevice[];
}

export function sourceStatus(
  source: StatusSource,
  shares: readonly SourceShare[],
  nowMs: number,
): SourceStatus {
  const counters: Record<string, number> = {};
  let [held, waiting, inFlight, lastMessageAt] = [0, 0, 0, 0];
  for (const share of shares) {
    held += share.held;
    waiting += share.waiting;
    inFlight += share.inFlight;
    for (const [field, n] of Object.entries(share.pulse.totals)) {
      if (field === "lastMessageAt") lastMessageAt = Math.max(lastMessageAt, n);
      else counters[field] = (counters[field] ?? 0) + n;
    }
  }
  const n = (field: string) => counters[field] ?? 0;
  const accounting: Accounting = {
    messages: n("messages"),
    refused: n("refused"),
    ignored: n("ignored"),
    handshakes: n("handshakes"),
    malformed: n("malformed"),
    decoded: n("decoded"),
    readings: n("readings"),
    rejected: n("rejected"),
    duplicates: n("duplicates"),
    stored: n("stored"),
    delivered: n("delivered"),
    deadLettered: n("deadLettered"),
    expired: n("expired"),
    superseded: n("superseded"),
    dropped: n("dropped"),
    held,
    waiting,
    inFlight,
  };
  return {
    name: source.name,
    vendor: source.vendor,
    transport: source.transport,
    destination: source.destination,
    accounting,
    rejectedBy: byPrefix(counters, "rejected:"),
    defects: byPrefix(counters, "defect:"),
    refusedBy: byPrefix(counters, "refused:"),
    conflictingFixes: n("conflictingFixes"),
    redriven: { messages: n("redrivenMessages"), pings: n("redrivenPings") },
    lastMessageAt: timeOf(lastMessageAt),
    pulse: pulseOf(
      shares.map(({ pulse }) => pulse),
      accounting.messages - accounting.refused,
      nowMs,
      source.silentFloorMs ?? SILENT_FLOOR_MS,
    ),
    troubled: shares.flatMap(({ troubled }) => troubled),
    identity: identityOf(accounting),
  };
}

function pulseOf(
  pulses: readonly Pulse[],
  goodMessages: number,
  nowMs: number,
  silentFloorMs: number,
): SourcePulse {
  const latest = (name: string) => Math.max(0, ...pulses.map(({ facts }) => Number(facts[name] ?? 0)));
  // Messages are counted in one scope, its home; readings where they are stored.
  const home = pulses.find(({ facts }) => facts.goodAt !== undefined)?.facts ?? {};
  const goodAt = latest("goodAt");
  const usualGapMs = usualGapOf(home, goodMessages);
  return {
    lastGoodAt: timeOf(goodAt),
    challengedAt: timeOf(latest("challengedAt")),
    usualGapMs,
    silentFrom:
      usualGapMs === null || goodAt === 0
        ? null
        : timeOf(silentFrom(goodAt, usualGapMs, home.hours, silentFloorMs) ?? 0),
    refusals: badRunOf("refused", pulses, goodAt, nowMs),
    rejections: badRunOf("rejected", pulses, latest("okAt"), nowMs),
    last5Min: countsOfLast(5, pulses, nowMs),
    last15Min: countsOfLast(15, pulses, nowMs),
    last60Min: countsOfLast(60, pulses, nowMs),
  };
}

const SHOWN_FOR_MS = 3_600_000;

/** `goodAtMs`: when a good one last came, in whichever scope it was counted. */
function badRunOf(
  kind: "refused" | "rejected",
  pulses: readonly Pulse[],
  goodAtMs: number,
  nowMs: number,
): BadRun | null {
  const runs = pulses.map(({ facts }) => ({
    run: Number(facts[`${kind}Run`] ?? 0),
    since: Number(facts[`${kind}Since`] ?? 0),
    lastAt: Number(facts[`${kind}At`] ?? 0),
    share: Number(facts[`${kind}Share`] ?? 0),
  }));
  const [last] = runs.sort((a, b) => b.lastAt - a.lastAt);
  if (last === undefined || last.lastAt < nowMs - SHOWN_FOR_MS) return null;
  const { run, since, lastAt, share } = last;
  // A good one of another scope ends the row of this one.
  const isInARow = run > 0 && since > goodAtMs;
  return { run: isInARow ? run : 0, since: iso(since || lastAt), lastAt: iso(lastAt), share };
}

function timeOf(ms: number): string | null {
  return ms === 0 ? null : iso(ms);
}

function byPrefix(counters: Record<string, number>, prefix: string): Record<string, number> {
  const found = Object.entries(counters).filter(([field]) => field.startsWith(prefix));
  return Object.fromEntries(found.map(([field, n]) => [field.slice(prefix.length), n]));
}
