/** Writes down what operators did: in the log, and in Redis for all processes to show. */

import type { Context } from "hono";
import type { Events } from "../../events.ts";
import type { TrailStore } from "../../queue/ledger/trail.ts";
import type { OperatorAction, OperatorEvent } from "../../status.ts";
import { addressOf } from "./origin.ts";
import type { OpsEnv } from "./sight.ts";

/** One entry, as it is shown. */
export type TrailEntry = OperatorEvent & {
  /** ISO, UTC. */
  at: string;
};

/** Who does what, from where, before it is known how it ends. */
export type Deed = Pick<OperatorEvent, "action" | "by" | "from" | "filter">;

export interface Trail {
  record(event: OperatorEvent): void;
  /** Runs it and writes down how it ended; `count` says how much came out of it. */
  during<T>(deed: Deed, run: () => Promise<T>, count: (answer: T) => number | null): Promise<T>;
  /** Somebody showed a token that is none of ours. Cheap: guesses come by the thousand. */
  loginFailed(from: string): void;
  /** The newest first; of one token only where it is named. Rejects while Redis does not answer. */
  latest(limit: number, by: string | null): Promise<TrailEntry[]>;
  /** Writes down what has been counted and not yet told. */
  stop(): void;
}

/** Guesses of one address within this time are one entry. */
const GUESSES_MS = 60_000;
/** Guessing addresses named in that time; the rest is one number. */
const MAX_GUESSERS = 10;
/** Entries that wait for Redis; above it only the log has them. */
const MAX_UNWRITTEN = 500;
const RETRY_MS = 1000;
/** What is asked for is text of the asker's choice. */
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
    // The log has it in any case; what an operator may do is not stopped by a Redis that is away.
    events.operatorActed(entry);
    const at = new Date().toISOString();
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

  async function found(by: "operators" | "unauthenticated", limit: number, token: string | null) {
    const entries: TrailEntry[] = [];
    for await (const text of store.newestFirst(by)) {
      // Of our own making, by this version or one before it.
      const entry: TrailEntry = JSON.parse(text);
      if (token !== null && entry.by !== token) continue;
      entries.push(entry);
      if (entries.length >= limit) break;
    }
    return entries;
  }

  return {
    record,
    async during(deed, run, count) {
      try {
        const answer = await run();
        record({ ...deed, count: count(answer), outcome: "done" });
        return answer;
      } catch (error) {
        record({ ...deed, count: null, outcome: "failed" });
        throw error;
      }
    },
    loginFailed: guesses.note,
    async latest(limit, by) {
      const lists = await Promise.all([
        found("operators", limit, by),
        by === null ? found("unauthenticated", limit, null) : [],
      ]);
      return lists
        .flat()
        .sort((a, b) => b.at.localeCompare(a.at))
        .slice(0, limit);
    },
    stop: guesses.flush,
  };
}

/** Tells the first guess of an address at once and how many followed at the end of the minute. */
function createGuesses(tell: (from: string | null, count: number) => void) {
  const followed = new Map<string, number>();
  let ofOthers = 0;
  let timer: NodeJS.Timeout | null = null;

  function flush(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    for (const [from, count] of followed) if (count > 0) tell(from, count);
    if (ofOthers > 0) tell(null, ofOthers);
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
      tell(from, 1);
    }
  }

  return { note, flush };
}

/** What somebody whose token is known is about to do. */
export function deedOf(
  c: Context<OpsEnv>,
  action: OperatorAction,
  filter: Readonly<Record<string, string>>,
): Deed {
  return { action, by: c.var.token.name, from: addressOf(c), filter };
}
