/** The status of one source: its accounting, summed over the scopes it feeds. */

import { type Accounting, identityOf, type SourceStatus } from "../../status.ts";
import { iso } from "../../time.ts";
import { listOf, mapOf, type ScopeCount, type SourceCount } from "./count.ts";

export interface StatusSource {
  name: string;
  vendor: string;
  transport: SourceStatus["transport"];
  destination: string;
  home: string;
  unmapped: "forward" | "hold";
}

export function sourceStatus(source: StatusSource, scopes: readonly ScopeCount[]): SourceStatus {
  const counters: Record<string, number> = {};
  let [held, waiting, inFlight, lastMessageAt] = [0, 0, 0, 0];
  for (const scope of scopes) {
    const found = listOf<SourceCount>(scope.sources).find(({ name }) => name === source.name);
    if (!found) continue;
    held += found.held;
    waiting += found.waiting;
    inFlight += found.inFlight;
    for (const [field, text] of Object.entries(mapOf(found.counters))) {
      if (field === "lastMessageAt") lastMessageAt = Math.max(lastMessageAt, Number(text));
      else counters[field] = (counters[field] ?? 0) + Number(text);
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
    lastMessageAt: lastMessageAt === 0 ? null : iso(lastMessageAt),
    identity: identityOf(accounting),
  };
}

function byPrefix(counters: Record<string, number>, prefix: string): Record<string, number> {
  const found = Object.entries(counters).filter(([field]) => field.startsWith(prefix));
  return Object.fromEntries(found.map(([field, n]) => [field.slice(prefix.length), n]));
}
