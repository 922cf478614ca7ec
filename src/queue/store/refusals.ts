/** Counts refusals in the background, so that a flood of them does not wait for storage. */

import type { RefusalDetail, RefusalReason } from "../../ingest/store.ts";
import { refusalTold, type Told } from "./told.ts";

const EVERY_MS = 50;
/** After a failure of Redis. */
const AGAIN_AFTER_MS = 1000;
/** Told apart by why and where from; further ones of the same time are told without an address. */
const MAX_TOLD_APART = 20;

/** What Redis has not confirmed yet of one source. */
interface Pending {
  counters: Map<string, number>;
  told: Map<string, { reason: RefusalReason; why: string; from: string; count: number }>;
}

export interface Refusals {
  count(source: string, reason: RefusalReason, detail?: RefusalDetail): void;
  /** Writes what is pending now. */
  write(): Promise<void>;
}

export function createRefusals(
  add: (source: string, counters: string, told: readonly Told[]) => Promise<unknown>,
): Refusals {
  let pending = new Map<string, Pending>();
  let timer: NodeJS.Timeout | undefined;

  function pendingOf(source: string): Pending {
    let found = pending.get(source);
    if (!found) {
      found = { counters: new Map(), told: new Map() };
      pending.set(source, found);
    }
    return found;
  }

  function tell(
    { told }: Pending,
    each: { reason: RefusalReason; why: string; from: string; count: number },
  ) {
    const keyOf = (from: string) => `${each.reason}\0${each.why}\0${from}`;
    const from = told.size < MAX_TOLD_APART || told.has(keyOf(each.from)) ? each.from : "several addresses";
    const known = told.get(keyOf(from));
    if (known) known.count += each.count;
    else told.set(keyOf(from), { ...each, from });
  }

  function count(source: string, reason: RefusalReason, { why, from = "" }: RefusalDetail = { why: reason }) {
    const own = pendingOf(source);
    for (const field of ["messages", "refused", `refused:${reason}`]) increase(own.counters, field, 1);
    tell(own, { reason, why, from, count: 1 });
    timer ??= setTimeout(() => void write(), EVERY_MS);
  }

  async function write(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const batch = pending;
    pending = new Map();
    for (const [source, { counters, told }] of batch) {
      const lines = [...told.values()].map((each) =>
        refusalTold(each.reason, each.why, each.from, each.count),
      );
      try {
        await add(source, [...counters].join(), lines);
      } catch {
        const waiting = pendingOf(source);
        for (const [field, n] of counters) increase(waiting.counters, field, n);
        for (const each of told.values()) tell(waiting, each);
        timer ??= setTimeout(() => void write(), AGAIN_AFTER_MS);
      }
    }
  }

  return { count, write };
}

function increase(counters: Map<string, number>, field: string, n: number): void {
  counters.set(field, (counters.get(field) ?? 0) + n);
}
