/** Asks one vendor for its fixes: each page goes to ingest as one message, and only when it is stored does the cursor move. */

import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type {
  Pull,
  PullAccount,
  PullContext,
  PullRefusal,
  PullRequest,
  PullResult,
} from "../../adapters/kit/pull.ts";
import type { Events } from "../../events/events.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import type { Source } from "../../ingest/source.ts";
import { retryAfterHeaderMs } from "../../network.ts";
import type { PollerState } from "../../status/process.ts";
import { iso } from "../../time.ts";
import { type CursorStore, createPollCursor } from "./cursor.ts";
import type { PullExchange, PullHttp } from "./http.ts";
import { createKept } from "./kept.ts";
import { createPollLogins } from "./logins.ts";
import { createPollPace } from "./pace.ts";
import { createPageStore } from "./pages.ts";
import { createPollSession } from "./session.ts";
import { createPollStanding, type PollReason } from "./state.ts";

export interface PollSettings {
  baseUrl: string;
  account: PullAccount;
  intervalMs: number;
  /** A start without a cursor ignores older fixes, even where the destination still wants them. */
  lookBackMs: number;
  /** An address of our own network may be asked; default: only where `baseUrl` is one. */
  privateNetwork?: boolean;
}

export type PollEvents = Pick<Events, "pollMade" | "pollStateChanged" | "pollGap" | "failed">;

export interface Poller {
  state(): PollerState;
  /** Asks nothing more, and lets what was fetched be stored for at most this long. */
  close(withinMs: number): Promise<void>;
}

export interface PollerDeps {
  source: Source;
  pull: Pull;
  settings: PollSettings;
  ingest: Ingest;
  cursors: CursorStore;
  http: PullHttp;
  events: PollEvents;
}

/** A person has to act first, and each try counts against limits: a Geotab user has 10 logins a minute, failed ones included. */
const REFUSED_AGAIN_MS = 300_000;
/** Vendors lock an account after a handful of refused logins; a day of these is not more than one such handful an afternoon. */
const LOGIN_AGAIN_MS = 3_600_000;
/** A cursor given up costs the fixes since it was used; a fault of the vendor's must not do that. */
const CURSOR_REFUSALS = 3;
/** A paused tenant's vendor is not asked, and is again this soon after the pause. */
const PAUSED_LOOK_MS = 1000;
/** Pages in a row that leave the cursor where it is: a vendor whose pages do not end must not be asked for ever. */
const MAX_PAGES_ON_THE_SPOT = 100;

export function startPoller(deps: PollerDeps): Poller {
  const { source, pull, settings, ingest, cursors, events } = deps;
  const { lookBackMs } = settings;
  const { name } = source;
  const cursor = createPollCursor({
    source: name,
    feed: feedOf(source, pull, settings),
    lifetimeMs: pull.cursorLifetimeMs,
    cursors,
  });
  const kept = createKept({
    source: name,
    first: pull.keeps ?? null,
    secret: settings.account.secret,
    store: cursors,
  });
  const logins = createPollLogins(pull.loginsPerHour);
  const session = createPollSession();
  const pace = createPollPace(pull.minGapMs);
  const standing = createPollStanding(name, events);
  const onError = (error: unknown): void => events.failed({ where: `poll ${name}`, error });
  const pages = createPageStore({ source, lookBackMs, ingest, standing, onError });
  const stopping = new AbortController();
  let cursorRefusals = 0;
  let pagesOnTheSpot = 0;

  /** Asks once; resolves with how long to wait before the next time. */
  async function step(): Promise<number> {
    if (source.gate?.isPaused()) return PAUSED_LOOK_MS;
    const at = await cursor.get().catch(storeFailed);
    const keptNow = await kept.get().catch(storeFailed);
    if (at === undefined || keptNow === undefined) return failed("storage_unavailable", "");
    if (cursor.isExpired()) giveUpCursor();
    const context: PullContext = {
      ...settings,
      options: source.options,
      since: pages.since(),
      cursor: await cursor.get(),
      session: session.get(),
      now: Date.now(),
      kept: keptNow,
    };
    if (context.cursor === null) pages.beginAnew();
    const request = pull.request(context);
    if (request.isLogin && !logins.mayTry(context.now)) return refused("too_many_logins", "");
    const asked = await ask(deps, request, context, stopping.signal);
    if (asked === null) return 0;
    const { result } = asked;
    // During an outage no login is made, and none may be missing once the vendor is back.
    if (request.isLogin && (result.kind === "session" || result.kind === "refused")) logins.made(context.now);
    if (request.isLogin && result.kind === "refused" && logins.refused()) {
      refused("login_refused", result.detail);
      return LOGIN_AGAIN_MS;
    }
    return await conclude(asked, context.cursor);
  }

  async function conclude({ result, askedToWaitMs }: Asked, before: string | null): Promise<number> {
    switch (result.kind) {
      case "page":
        return await storePage(result, before);
      case "session": {
        // Stored before it is used: a token that has taken the place of another is the only one that still works.
        const stored = result.kept && (await kept.put(result.kept).then(() => true, storeFailed));
        if (result.kept && stored === undefined) return failed("storage_unavailable", "");
        logins.accepted();
        session.began(result.session);
        return pull.minGapMs;
      }
      case "session_expired":
        // Refused as soon as it was given: the account may log in, but not ask.
        return session.expired(result.session) ? pull.minGapMs : refused("unauthorized", "session_expired");
      case "cursor_refused":
        cursorRefusals += 1;
        if (cursorRefusals < CURSOR_REFUSALS) return failed("cursor_refused", "");
        cursorRefusals = 0;
        giveUpCursor();
        return pace.backoffMs();
      case "throttled":
        standing.enter("throttled", "throttled");
        pace.failed();
        return pace.throttledMs(askedToWaitMs ?? result.waitMs ?? null);
      case "unavailable":
        return Math.max(failed(result.reason, result.detail), pace.askedMs(askedToWaitMs ?? 0));
      case "failed":
        if (result.reason === "private_address") return refused("private_address", result.code);
        return failed(result.reason, result.code);
      case "refused":
        return refused(result.reason, result.detail);
      default:
        return result satisfies never;
    }
  }

  async function storePage(page: Page, before: string | null): Promise<number> {
    if (page.body !== null && !(await pages.store(page.body))) return 0;
    const after = page.cursor === "" ? before : page.cursor;
    if (after !== null) {
      const moved = await cursor.moveTo(after).then(() => true, storeFailed);
      // The page is fetched again, and what was stored of it is known as a duplicate.
      if (moved === undefined) return failed("storage_unavailable", "");
    }
    session.worked(page.session);
    pages.read(page.more);
    pace.succeeded();
    cursorRefusals = 0;
    standing.succeeded(page.rows ?? null, page.more);
    const hasMoved = after !== before;
    pagesOnTheSpot = hasMoved || !page.more ? 0 : pagesOnTheSpot + 1;
    const goesOn = page.more && (hasMoved || (page.cursor === "" && pagesOnTheSpot < MAX_PAGES_ON_THE_SPOT));
    if (!goesOn) pagesOnTheSpot = 0;
    return goesOn ? pull.minGapMs : settings.intervalMs;
  }

  function storeFailed(error: unknown): undefined {
    events.failed({ where: `cursor of ${name}`, error });
  }

  /** Begins as at the first start; what lies between is not fetched any more, and the operator has to know. */
  function giveUpCursor(): void {
    const { fromMs, toMs } = cursor.giveUp();
    events.pollGap({ source: name, from: iso(fromMs), to: iso(toMs) });
  }

  function failed(reason: PollReason, detail: string): number {
    standing.enter("failing", reason, detail);
    pace.failed();
    session.failed();
    return pace.backoffMs();
  }

  function refused(reason: PullRefusal, detail: string): number {
    standing.enter("refused", reason, detail);
    session.forget();
    return REFUSED_AGAIN_MS;
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      let waitMs: number;
      try {
        waitMs = await step();
      } catch (error) {
        onError(error);
        waitMs = failed("internal_error", "");
      }
      await pause(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  const running = run();
  return {
    state: () => ({ name, ...standing.get(), ...cursor.state() }),
    async close(withinMs) {
      stopping.abort();
      await Promise.race([running, pause(withinMs, undefined, { ref: false })]);
      pages.giveUp();
    },
  };
}

type Page = Extract<PullResult, { kind: "page" }>;

interface Asked {
  result: PullResult | Extract<PullExchange, { kind: "failed" }>;
  /** By `Retry-After`; null without one. */
  askedToWaitMs: number | null;
}

/** One request and what its answer means; null when the poller was stopped meanwhile. */
async function ask(
  { source, pull, http, settings, events }: PollerDeps,
  request: PullRequest,
  context: PullContext,
  stop: AbortSignal,
): Promise<Asked | null> {
  const startedAt = performance.now();
  const exchanged = await http.exchange(request, stop, settings.privateNetwork ?? false);
  if (stop.aborted) return null;
  const answer = exchanged.kind === "answered" ? exchanged.answer : null;
  const result = exchanged.kind === "answered" ? pull.parse(exchanged.answer, context) : exchanged;
  const tookMs = performance.now() - startedAt;
  events.pollMade({ source: source.name, outcome: result.kind, status: answer?.status ?? null, tookMs });
  const askedToWaitMs = answer === null ? null : retryAfterHeaderMs(answer.headers, Date.now());
  return { result, askedToWaitMs };
}

/** Says what is read, apart from where: the secret may change, and it is still the same feed. */
function feedOf(
  { adapter, options = null }: Source,
  { feed }: Pull,
  { baseUrl, account }: PollSettings,
): string {
  const { username = null, database = null } = account;
  const asked = JSON.stringify([adapter.vendor, baseUrl, username, database, feed ?? options]);
  return createHash("sha256").update(asked).digest("hex").slice(0, 16);
}
