/** Turns the settings of a configured vendor into its poller: the next request, and what an answer means. */

import { MAX_READINGS } from "../kit/bounds.ts";
import { definePull, type Pull, type PullAnswer, type PullRequest, type PullResult } from "../kit/pull.ts";
import { contentOf, meaningOf } from "./answers.ts";
import { loginResult } from "./login.ts";
import { knownFrom, textOf } from "./lookup.ts";
import { FOREIGN, nextPlace } from "./paging.ts";
import { placeholdersOf, requestOf } from "./request.ts";
import { idsOf, instantOf, roundAfter, roundOf, type Session, sessionOf, stepOf, valuesOf } from "./round.ts";
import { type Context, changesOf, messageOf, namedRows, type Row, type RowReading } from "./rows.ts";
import type { PullSettings } from "./settings.ts";

type Page = Extract<PullResult<Session>, { kind: "page" }>;

const INTERVAL_MS = 60_000;
const MIN_GAP_MS = 1000;

export function pullOf(settings: PullSettings): Pull {
  const { baseUrl, hosts, requestsPerMinute, lookup, login } = settings;
  const asksByIds = placeholdersOf(settings).some((name) => name === "ids" || name === "id");
  const used = [settings, login ?? {}, lookup ?? {}].flatMap(placeholdersOf);
  const gapMs = requestsPerMinute === undefined ? 0 : Math.ceil(60_000 / requestsPerMinute);
  const first = Object.entries(login?.keep ?? {}).flatMap(([name, { first }]) =>
    first === undefined ? [] : [[name, first] as const],
  );

  return definePull<Session, RowReading>({
    baseUrl,
    hosts: hostsPattern([new URL(baseUrl).hostname, ...hosts]),
    needs: (["secret", "username"] as const).filter((name) => used.includes(name)),
    minIntervalMs: 1000,
    intervalMs: settings.intervalMs ?? INTERVAL_MS,
    minGapMs: Math.max(settings.minGapMs ?? MIN_GAP_MS, gapMs),
    cursorLifetimeMs: null,
    feed: feedOf(settings),
    loginsPerHour: settings.loginsPerHour,
    ...(first.length > 0 && { keeps: Object.fromEntries(first) }),
    request: (context) => nextRequest(settings, context),
    parse(answer, context) {
      const session = sessionOf(context);
      const step = stepOf(settings, session, context.now);
      if (step === "login" && login) {
        const result = loginResult(login, answer, context.now, MAX_READINGS);
        if (!("login" in result)) return result;
        return { kind: "session", session: { ...session, login: result.login }, kept: result.stored };
      }
      const content = contentOf(answer.text, step === "lookup" ? "json" : settings.format, MAX_READINGS);
      const meaning = meaningOf(settings.answers, answer, content);
      if (meaning.kind === "expired") return expired(settings, session, meaning.detail);
      if (meaning.kind !== "content" && meaning.kind !== "empty") return meaning;
      const found = meaning.kind === "empty" ? NOTHING : { content: meaning.content };
      if (typeof found.content === "string")
        return { kind: "unavailable", reason: "unreadable_answer", detail: "no JSON, or too much of it" };
      if (step === "lookup") return lookedUp(settings, session, found, context.now);
      return pageOf(found, answer, context, { settings, asksByIds });
    },
  });
}

function nextRequest(settings: PullSettings, context: Context): PullRequest {
  const { login, lookup } = settings;
  const step = stepOf(settings, sessionOf(context), context.now);
  const values = valuesOf(settings, context, step);
  if (step === "login" && login) return { ...requestOf(login, context.baseUrl, values), isLogin: true };
  if (step === "lookup" && lookup) return requestOf(lookup, context.baseUrl, values);
  const request = requestOf(settings, context.baseUrl, values);
  const { link } = roundOf(settings, context).place;
  return link === null ? request : { ...request, url: link };
}

function expired({ login }: PullSettings, session: Session, detail: string): PullResult<Session> {
  if (!login) return { kind: "refused", reason: "unauthorized", detail };
  return { kind: "session_expired", session: { ...session, login: null } };
}

function lookedUp(
  { lookup }: PullSettings,
  session: Session,
  found: Found,
  now: number,
): PullResult<Session> {
  const none = { ids: [], devices: new Map<string, string>(), at: now };
  const known = found === NOTHING ? none : lookup ? knownFrom(lookup, found.content, now) : null;
  if (known === null)
    return { kind: "unavailable", reason: "unreadable_answer", detail: "nothing at lookup.at" };
  const next = { ...session, known, isMissingOne: false };
  // Without a device there is nothing to ask for until the next round, which looks it up again.
  if (known.ids.length === 0)
    return page(next, { body: null, cursor: "", more: false, read: 0, unchanged: 0, isUsual: false });
  return { kind: "session", session: next };
}

interface Counts {
  read: number;
  unchanged: number;
  /** Nothing has happened, as on most pages by night: no sign of an account without vehicles. */
  isUsual: boolean;
}

function page(
  session: Session,
  { read, unchanged, isUsual, ...rest }: Pick<Page, "body" | "cursor" | "more"> & Counts,
): Page {
  return { kind: "page", ...rest, session, ...(!isUsual && { rows: { read, unchanged } }) };
}

/** What an answer holds; by the settings it may say that it holds nothing, in whatever shape. */
type Found = Readonly<{ content: unknown }>;
const NOTHING: Found = { content: null };

function pageOf(
  found: Found,
  answer: PullAnswer,
  context: Context,
  { settings, asksByIds }: { settings: PullSettings; asksByIds: boolean },
): PullResult<Session> {
  const { content } = found;
  const session = sessionOf(context);
  const round = roundOf(settings, context);
  const reading = context.options;
  const rowsFound = found === NOTHING ? [] : reading.rowsOf(content);
  const rows = "problems" in rowsFound ? [] : rowsFound;
  const place = nextPlace(settings.page, round.place, {
    answer: content,
    text: answer.text,
    rows: rows.length,
    url: nextRequest(settings, context).url,
  });
  // To end here would leave out in silence what the other pages hold.
  if (place === FOREIGN) return { kind: "refused", reason: "foreign_host", detail: "page.next" };
  const facts = reading.factsOf(content);
  const named = namedRows(rows, context, round, idsOf(settings, session, round));
  const holdsBack = round.holdsBack || named.holdsBack;
  const next = roundAfter(settings, session, { ...round, holdsBack }, place, asksByIds);
  const changed = changesOf(named.rows, facts, settings, context);
  const isOdd = "problems" in rowsFound;
  // What is not as configured is stored as it came: it is set aside with its reason, and nothing is lost.
  const body = isOdd ? answer.text : changed.rows.length === 0 ? null : messageOf(changed.rows, facts);
  return page(
    { ...session, round: next, sent: changed.sent, isMissingOne: session.isMissingOne || named.isMissingOne },
    {
      body,
      ...goesOn(settings, context, content, rows, {
        isEnd: next === null,
        untilMs: round.untilMs,
        holdsBack,
      }),
      ...(next !== null && { more: true }),
      read: rows.length,
      isUsual: rows.length === 0 && (settings.window ?? settings.feed) !== undefined,
      unchanged: changed.unchanged,
    },
  );
}

/** Where the cursor moves to once the page is stored. */
function goesOn(
  { window, feed }: PullSettings,
  { cursor: before, now }: Context,
  content: unknown,
  rows: readonly Row[],
  { isEnd, untilMs, holdsBack }: { isEnd: boolean; untilMs: number; holdsBack: boolean },
): Pick<Page, "cursor" | "more"> {
  // Asked for once more, as soon as the device was looked up.
  if (holdsBack && isEnd && (window || feed)) return { cursor: "", more: true };
  if (window && isEnd) return { cursor: String(untilMs), more: untilMs < now };
  if (!feed) return { cursor: "", more: false };
  if ("cursor" in feed) {
    const cursor = textOf(feed.cursor(content)) ?? "";
    return { cursor, more: feed.more ? feed.more(content) === true : rows.length > 0 };
  }
  const isFull = feed.size !== undefined && rows.length >= feed.size;
  return { cursor: newest(rows, feed.newest, before, now), more: isFull };
}

function newest(
  rows: readonly Row[],
  at: (value: unknown) => unknown,
  before: string | null,
  now: number,
): string {
  let last = before ? { text: before, ms: instantOf(before) } : { text: "", ms: Number.NEGATIVE_INFINITY };
  for (const { value } of rows) {
    const text = at(value);
    if (typeof text !== "string") continue;
    const time = { text, ms: instantOf(text) };
    // One device with a wrong clock would have all others wait until then.
    if (time.ms <= now && isLater(time, last)) last = time;
  }
  return last.text;
}

interface WrittenTime {
  text: string;
  ms: number;
}

/** To the nanosecond, where both are written alike. */
function isLater(one: WrittenTime, other: WrittenTime): boolean {
  return one.ms === other.ms ? one.text > other.text : one.ms > other.ms;
}

function hostsPattern(hosts: readonly string[]): RegExp {
  return new RegExp(`^(?:${hosts.map((host) => host.replaceAll(/[.\\-]/g, "\\$&")).join("|")})$`, "i");
}

/** Says what is read, apart from secrets: those may change, and it is still the same feed. */
function feedOf({ path, url, query, page, window, feed, format }: PullSettings): string {
  return JSON.stringify([path, url, query, page, window, feed, format]);
}
