/** Asks one vendor for its fixes: each page goes to ingest as one message, and only when it is kept does the cursor move. */

import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { asAuthenticated, type Message } from "../../adapters/kit/adapter.ts";
import type { Pull, PullAccount, PullRefusal, PullResult, PullTrouble } from "../../adapters/kit/pull.ts";
import type { Events } from "../../events.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import { ingestWithRetry } from "../../ingest/retry.ts";
import type { Source } from "../../ingest/source.ts";
import { type NetworkReason, retryAfterHeaderMs } from "../../network.ts";
import { type Backoff, backoffMs, iso } from "../../time.ts";
import { type CursorStore, createPollCursor, type Gap } from "./cursor.ts";
import type { PullExchange, PullHttp } from "./http.ts";

/** Why fixes do not come in. Closed: every one is shown and explained in the README. */
export type PollReason =
  | PullTrouble
  | PullRefusal
  | NetworkReason
  | "answer_too_large"
  | "throttled"
  | "cursor_refused"
  /** Fixes were fetched, but cannot be stored; or the cursor cannot. */
  | "storage_unavailable"
  | "internal_error";

export interface PollSettings {
  baseUrl: string;
  account: PullAccount;
  intervalMs: number;
  /** A start without a cursor takes nothing older, whatever the destination would still take. */
  lookBackMs: number;
}

export type PollEvents = Pick<Events, "pollMade" | "pollStateChanged" | "pollGap" | "failed">;

/** Times are UTC milliseconds since 1970. */
export interface PollState {
  state: "starting" | "polling" | "throttled" | "failing" | "refused";
  since: number;
  reason: PollReason | null;
  /** The vendor's word for it, or the system's; never a text of theirs. */
  detail: string;
  lastSuccessAt: number | null;
  /** When the vendor last answered where the cursor stands. */
  cursorAt: number | null;
  /** The last stretch of time whose fixes were not fetched and cannot be any more. */
  gap: Gap | null;
}

export interface Poller {
  state(): PollState;
  /** Asks nothing more, lets what was fetched be kept for at most this long. */
  close(withinMs: number): Promise<void>;
}

/** `maxMs`: how late we may notice that a vendor is back. The whole wait is drawn, so that pollers spread. */
const BACKOFF: Backoff = { firstMs: 1000, maxMs: 60_000, jitter: 1 };
/** Somebody has to act first, and each try counts against limits: a Geotab user has 10 logins a minute, failed ones included. */
const REFUSED_AGAIN_MS = 300_000;
/** A longer wait is asked for by mistake. */
const MAX_RETRY_AFTER_MS = 3_600_000;
/** A cursor given up costs the fixes since it was used; a fault of the vendor's must not do that. */
const CURSOR_REFUSALS = 3;
/** The account may have moved to another host, which only a new login tells. */
const SESSION_FAILURES = 3;
/** Keeping takes milliseconds. */
const KEEPING_IS_SLOW_MS = 5000;

export function startPoller(parts: {
  source: Source;
  pull: Pull;
  settings: PollSettings;
  ingest: Ingest;
  cursors: CursorStore;
  http: PullHttp;
  events: PollEvents;
}): Poller {
  const { source, pull, settings, ingest, cursors, http, events } = parts;
  const { name } = source;
  /** The source as it is until a start without a cursor has caught up. */
  const lookBack = { ...source, maxAgeMs: Math.min(source.maxAgeMs, settings.lookBackMs) };
  const cursor = createPollCursor({
    source: name,
    feed: feedOf(source, settings),
    lifetimeMs: pull.cursorLifetimeMs,
    cursors,
  });
  const stopping = new AbortController();
  let ended = false;
  let session: unknown = null;
  /** The session has fetched something: when it is refused now, it has expired. */
  let sessionWorked = false;
  let failures = 0;
  /** Since the session last got an answer. */
  let sessionFailures = 0;
  let cursorRefusals = 0;
  /** Began without a cursor, and the vendor has had more to say ever since. */
  let isCatchingUp = false;
  let keepingSince: number | null = null;
  let state: Pick<PollState, "state" | "since" | "reason" | "detail"> = {
    state: "starting",
    since: Date.now(),
    reason: null,
    detail: "",
  };
  let lastSuccessAt: number | null = null;

  function enter(next: PollState["state"], reason: PollReason | null, detail = ""): void {
    const isNew = state.state !== next || state.reason !== reason;
    state = { state: next, since: isNew ? Date.now() : state.since, reason, detail };
    if (isNew) events.pollStateChanged({ source: name, state: next, reason, detail });
  }

  /** Asks once; resolves with how long to wait before the next time. */
  async function step(): Promise<number> {
    const at = await cursor.get().catch(storeFailed);
    if (at === undefined) return failed("storage_unavailable", "");
    if (cursor.isExpired()) giveUp();
    const since = Date.now() - lookBack.maxAgeMs;
    const context = { ...settings, options: source.options, cursor: await cursor.get(), since, session };
    isCatchingUp ||= context.cursor === null;
    const startedAt = performance.now();
    const exchanged = await http.exchange(pull.ask(context), stopping.signal);
    if (stopping.signal.aborted) return 0;
    const result: PullResult | Extract<PullExchange, { kind: "failed" }> =
      exchanged.kind === "failed" ? exchanged : pull.understand(exchanged.answer, context);
    const status = exchanged.kind === "failed" ? null : exchanged.answer.status;
    const tookMs = performance.now() - startedAt;
    events.pollMade({ source: name, outcome: result.kind, status, tookMs });
    const askedToWaitMs =
      exchanged.kind === "failed" ? null : retryAfterHeaderMs(exchanged.answer.headers, Date.now());

    switch (result.kind) {
      case "page":
        return await take(result, context.cursor);
      case "session":
        session = result.session;
        sessionFailures = 0;
        return pull.minGapMs;
      case "session_expired":
        session = result.session;
        // Refused as soon as it was given: the account may log in, but not ask.
        if (!sessionWorked) return refused("unauthorized", "session_expired");
        sessionWorked = false;
        return pull.minGapMs;
      case "cursor_refused":
        cursorRefusals += 1;
        if (cursorRefusals < CURSOR_REFUSALS) return failed("cursor_refused", "");
        cursorRefusals = 0;
        giveUp();
        return backoff();
      case "throttled":
        enter("throttled", "throttled");
        failures += 1;
        return askedToWaitMs === null ? backoff() : bounded(askedToWaitMs);
      case "unavailable":
        return Math.max(failed(result.reason, result.detail), bounded(askedToWaitMs ?? 0));
      case "failed":
        return failed(result.reason, result.code);
      case "refused":
        return refused(result.reason, result.detail);
      default:
        return result satisfies never;
    }
  }

  async function take(page: Extract<PullResult, { kind: "page" }>, before: string | null): Promise<number> {
    if (page.body !== null && !(await keep(page.body))) return 0;
    const after = page.cursor === "" ? before : page.cursor;
    if (after !== null) {
      const moved = await cursor.moveTo(after).then(() => true, storeFailed);
      // The page is fetched again, and what was kept of it is known as a duplicate.
      if (moved === undefined) return failed("storage_unavailable", "");
    }
    session = page.session;
    isCatchingUp &&= page.more;
    sessionWorked = true;
    failures = 0;
    sessionFailures = 0;
    cursorRefusals = 0;
    lastSuccessAt = Date.now();
    enter("polling", null);
    return page.more && after !== before ? pull.minGapMs : settings.intervalMs;
  }

  /** False when it was given up: nothing of the page may count as read. */
  async function keep(body: string): Promise<boolean> {
    const message: Message = {
      body: Buffer.from(body),
      receivedAt: Date.now(),
      headers: {},
      query: {},
      retained: false,
    };
    keepingSince = message.receivedAt;
    const result = await ingestWithRetry({
      ingest,
      source: isCatchingUp ? lookBack : source,
      message: asAuthenticated(message),
      giveUp: () => ended,
      onError: (error) => events.failed({ where: `poll ${name}`, error }),
    });
    keepingSince = null;
    return result !== null;
  }

  function storeFailed(error: unknown): undefined {
    events.failed({ where: `cursor of ${name}`, error });
  }

  /** As at the first start; what lies between is not fetched any more, and somebody has to know. */
  function giveUp(): void {
    const { from, to } = cursor.giveUp();
    events.pollGap({ source: name, from: iso(from), to: iso(to) });
  }

  function failed(reason: PollReason, detail: string): number {
    enter("failing", reason, detail);
    failures += 1;
    sessionFailures += 1;
    if (sessionFailures >= SESSION_FAILURES) forgetSession();
    return backoff();
  }

  function refused(reason: PullRefusal, detail: string): number {
    enter("refused", reason, detail);
    forgetSession();
    return REFUSED_AGAIN_MS;
  }

  function forgetSession(): void {
    session = null;
    sessionWorked = false;
    sessionFailures = 0;
  }

  function backoff(): number {
    return Math.max(backoffMs(Math.max(failures - 1, 0), BACKOFF), pull.minGapMs);
  }

  function bounded(waitMs: number): number {
    return Math.min(Math.max(waitMs, pull.minGapMs), MAX_RETRY_AFTER_MS);
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      let waitMs: number;
      try {
        waitMs = await step();
      } catch (error) {
        events.failed({ where: `poll ${name}`, error });
        waitMs = failed("internal_error", "");
      }
      await pause(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  function keepsSlowly(): typeof state | null {
    if (keepingSince === null || Date.now() - keepingSince <= KEEPING_IS_SLOW_MS) return null;
    return { state: "failing", since: keepingSince, reason: "storage_unavailable", detail: "" };
  }

  const running = run();

  return {
    state() {
      const { at: cursorAt, gap } = cursor.state();
      const now = keepsSlowly() ?? state;
      return { ...now, lastSuccessAt, cursorAt, gap };
    },
    async close(withinMs) {
      stopping.abort();
      await Promise.race([running, pause(withinMs, undefined, { ref: false })]);
      ended = true;
    },
  };
}

/** Says what is read, apart from where: the secret may change, and it is still the same feed. */
function feedOf({ adapter, options = null }: Source, { baseUrl, account }: PollSettings): string {
  const { username = null, database = null } = account;
  const asked = JSON.stringify([adapter.vendor, baseUrl, username, database, options]);
  return createHash("sha256").update(asked).digest("hex").slice(0, 16);
}
