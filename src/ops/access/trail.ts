/** Records what operators did: in the log, and in Redis for all processes to show. */

import type { Context } from "hono";
import type { Events } from "../../events/events.ts";
import type { TrailStore } from "../../queue/ledger/trail.ts";
import type { OperatorAction, OperatorEvent } from "../../status/operators.ts";
import { iso } from "../../time.ts";
import { addressOf } from "./origin.ts";
import type { OpsEnv } from "./sight.ts";

/** One entry, as it is shown. */
export type TrailEntry = OperatorEvent & {
  /** ISO, UTC. */
  at: string;
};

/** Who does what, from where, while the result is still open. */
export type Operation = Pick<OperatorEvent, "action" | "by" | "from" | "filter">;

/** Where a page of the trail ended: at this time, with the last of so many entries of that time. */
export interface TrailPlace {
  /** ISO, UTC. */
  at: string;
  shown: number;
}

export interface Trail {
  record(event: OperatorEvent): void;
  /** Runs it and records how it ended; `count` gives the size of its answer. */
  during<T>(operation: Operation, run: () => Promise<T>, count: (answer: T) => number | null): Promise<T>;
  /** A request came with a token that is not configured. Cheap: guesses come by the thousand. */
  loginFailed(from: string): void;
  /** The newest first; only those of token `by` where it is not null. Rejects while Redis does not answer. */
  latest(limit: number, by: string | null, after?: TrailPlace): Promise<TrailEntry[]>;
  /** Records the guesses that are counted and not yet recorded. */
  stop(): void;
}

/** Further guesses of one address within this time are one entry. */
const GUESSES_MS = 60_000;
/** Guessing addresses recorded by name in that time; the others share one entry. */
const MAX_GUESSERS = 10;
/** Entries that wait for Redis; beyond it only the log has them. */
const MAX_UNWRITTEN = 500;
const RETRY_MS = 1000;
/** The filter is text of the caller's choice. */
const MAX_FILTER_CHARS = 200;

export function createTrail({
  store,
  events,
}: {
  store: TrailStore;
  events: Pick<Events, "operatorActed" | "failed">;
}): Trail {
  const guesses = createGuesses((from, count) => {
    record({ action: "login_failed", by: null, from, filter: {}, count, outcome: "refused" });
  });
  const unwritten: { by: "operators" | "unauthenticated"; entry: string }[] = [];
  let isRetrying = false;

  function record(event: OperatorEvent): void {
    const filter = Object.entries(event.filter).map(([name, text]) => [
      name,
      text.slice(0, MAX_FILTER_CHARS),
    ]);
    const entry = { ...event, filter: Object.fromEntries(filter) };
    // The log has it in any case: a Redis that is away must not stop an operator.
    events.operatorActed(entry);
    const at = iso(Date.now());
    write({
      by: event.action === "login_failed" ? "unauthenticated" : "operators",
      entry: JSON.stringify({ at, ...entry }),
    });
  }

  function write(waiting: (typeof unwritten)[number]): void {
    store.add(waiting.by, waiting.entry).catch((error: unknown) => {
      if (unwritten.length >= MAX_UNWRITTEN) return events.failed({ where: "trail", error });
      unwritten.push(waiting);
      if (isRetrying) return;
      isRetrying = true;
      setTimeout(writeAgain, RETRY_MS).unref();
    });
  }

  function writeAgain(): void {
    isRetrying = false;
    for (const waiting of unwritten.splice(0)) write(waiting);
  }

  async function newest(
    by: "operators" | "unauthenticated",
    limit: number,
    { token, until }: { token: string | null; until: string | undefined },
  ) {
    const entries: TrailEntry[] = [];
    for await (const text of store.newestFirst(by)) {
      // Written by this version of ours or an earlier one.
      const entry: TrailEntry = JSON.parse(text);
      if (token !== null && entry.by !== token) continue;
      if (until !== undefined && entry.at > until) continue;
      entries.push(entry);
      if (entries.length >= limit) break;
    }
    return entries;
  }

  return {
    record,
    async during(operation, run, count) {
      try {
        const answer = await run();
        record({ ...operation, count: count(answer), outcome: "done" });
        return answer;
      } catch (error) {
        record({ ...operation, count: null, outcome: "failed" });
        throw error;
      }
    },
    loginFailed: guesses.note,
    async latest(limit, by, after) {
      const range = { token: by, until: after?.at };
      const wanted = limit + (after?.shown ?? 0);
      const lists = await Promise.all([
        newest("operators", wanted, range),
        by === null ? newest("unauthenticated", wanted, range) : [],
      ]);
      const entries = lists.flat().sort((a, b) => b.at.localeCompare(a.at));
      return entries.slice(after?.shown ?? 0).slice(0, limit);
    },
    stop: guesses.flush,
  };
}

/** Emits the first guess of an address at once, and at the end of the minute how many followed. */
function createGuesses(emit: (from: string | null, count: number) => void) {
  const followed = new Map<string, number>();
  let ofOthers = 0;
  let timer: NodeJS.Timeout | null = null;

  function flush(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    for (const [from, count] of followed) if (count > 0) emit(from, count);
    if (ofOthers > 0) emit(null, ofOthers);
    followed.clear();
    ofOthers = 0;
  }

  function note(from: string): void {
    timer ??= setTimeout(flush, GUESSES_MS).unref();
    const count = followed.get(from);
    if (count !== undefined) followed.set(from, count + 1);
    else if (followed.size >= MAX_GUESSERS) ofOthers += 1;
    else {
      followed.set(from, 0);
      emit(from, 1);
    }
  }

  return { note, flush };
}

/** What the caller, whose token is known, is about to do. */
export function operationOf(
  c: Context<OpsEnv>,
  action: OperatorAction,
  filter: Readonly<Record<string, string>>,
): Operation {
  return { action, by: c.var.token.name, from: addressOf(c), filter };
}
