/** Turns the settings of a configured vendor into its poller: the next request, and what an answer means. */

import { MAX_READINGS } from "../kit/bounds.ts";
import type { Problems } from "../kit/each.ts";
import { isRecord } from "../kit/fields.ts";
import {
  definePull,
  type Pull,
  type PullAnswer,
  type PullContext,
  type PullRequest,
  type PullResult,
} from "../kit/pull.ts";
import { changedRows, type Sent } from "../kit/unchanged.ts";
import { contentOf, meaningOf } from "./answers.ts";
import { loginResult } from "./login.ts";
import { knownFrom, textOf } from "./lookup.ts";
import { FOREIGN, nextPlace } from "./paging.ts";
import { placeholdersOf, requestOf } from "./request.ts";
import { idsOf, roundAfter, roundOf, type Session, sessionOf, stepOf, valuesOf } from "./round.ts";
import type { PullSettings } from "./settings.ts";
import type { Id } from "./template.ts";

/** One reading of an answer, as it is written into the message. */
export interface Row {
  /** Where it stands: in the answer, or in the message made of it. */
  path: string;
  value: unknown;
  /** Where the readings are an object by device. */
  key?: string;
  /** The device by the look-up, or the id that was asked for. */
  device?: string;
}

/** How the readings of an answer are found and told apart; the source's options know it. */
export interface RowReading {
  rowsOf(answer: unknown): Row[] | Problems;
  /** What of the answer beside its rows is needed to read them; undefined: nothing. */
  factsOf(answer: unknown): unknown;
  /** The value in a row whose device the look-up knows; undefined: rows name their device themselves. */
  lookedUp?: (row: Row) => unknown;
  /** The device of a row is the id that was asked for. */
  isAsked: boolean;
  stateOf(row: Row, facts: unknown, now: number): RowState;
}

/** What a row says, for change detection. */
export type RowState =
  | { kind: "state"; device: string; time: string; state: string; fixTime: number | null }
  /** The row is none, such as a device that never had a fix. */
  | { kind: "nothing" }
  /** It cannot be told, so it is sent each time: an operator has to see it. */
  | { kind: "unknown" };

type Context = PullContext<Session, RowReading>;
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
      const found = meaning.kind === "empty" ? [] : meaning.content;
      if (typeof found === "string")
        return { kind: "unavailable", reason: "unreadable_answer", detail: "no JSON, or too much of it" };
      if (step === "lookup") return lookedUp(settings, session, found, context.now, asksByIds);
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
  content: unknown,
  now: number,
  asksByIds: boolean,
): PullResult<Session> {
  const known = lookup ? knownFrom(lookup, content, now) : null;
  if (known === null)
    return { kind: "unavailable", reason: "unreadable_answer", detail: "nothing at lookup.at" };
  const next = { ...session, known, isMissingOne: false };
  // Without a device there is nothing to ask for until the next round.
  if (asksByIds && known.ids.length === 0)
    return page(next, { body: null, cursor: "", more: false, read: 0, unchanged: 0 });
  return { kind: "session", session: next };
}

function page(
  session: Session,
  { read, unchanged, ...rest }: Pick<Page, "body" | "cursor" | "more"> & { read: number; unchanged: number },
): Page {
  return { kind: "page", ...rest, session, rows: { read, unchanged } };
}

function pageOf(
  content: unknown,
  answer: PullAnswer,
  context: Context,
  { settings, asksByIds }: { settings: PullSettings; asksByIds: boolean },
): PullResult<Session> {
  const session = sessionOf(context);
  const round = roundOf(settings, context);
  const reading = context.options;
  const found = reading.rowsOf(content);
  const rows = "problems" in found ? [] : found;
  const place = nextPlace(settings.page, round.place, {
    answer: content,
    text: answer.text,
    rows: rows.length,
    url: nextRequest(settings, context).url,
  });
  // To end here would leave out in silence what the other pages hold.
  if (place === FOREIGN) return { kind: "refused", reason: "foreign_host", detail: "page.next" };
  const next = roundAfter(settings, session, round, place, asksByIds);
  const facts = reading.factsOf(content);
  const named = namedRows(rows, context, idsOf(settings, session, round));
  const changed = changesOf(named.rows, facts, settings, context);
  const isOdd = "problems" in found;
  // What is not as configured is stored as it came: it is set aside with its reason, and nothing is lost.
  const body = isOdd ? answer.text : changed.rows.length === 0 ? null : messageOf(changed.rows, facts);
  return page(
    { ...session, round: next, sent: changed.sent, isMissingOne: session.isMissingOne || named.isMissingOne },
    {
      body,
      ...goesOn(settings, context, content, rows, { isEnd: next === null, untilMs: round.untilMs }),
      ...(next !== null && { more: true }),
      read: rows.length,
      unchanged: changed.unchanged,
    },
  );
}

/** Each row with its device, where that comes from the look-up or from what was asked. */
function namedRows(
  rows: readonly Row[],
  { options: reading, session, now }: Context,
  [asked]: readonly Id[],
): { rows: Row[]; isMissingOne: boolean } {
  if (reading.isAsked)
    return {
      rows: rows.map((row) => ({ ...row, ...(asked !== undefined && { device: String(asked) }) })),
      isMissingOne: false,
    };
  const { lookedUp } = reading;
  if (!lookedUp) return { rows: [...rows], isMissingOne: false };
  const known = session?.known ?? null;
  let isMissingOne = false;
  const named = rows.flatMap((row): Row[] => {
    const id = textOf(lookedUp(row));
    const device = id === null ? undefined : known?.devices.get(id);
    if (device !== undefined) return [{ ...row, device }];
    isMissingOne ||= id !== null;
    // The look-up is asked again first; a device that it does not know even then is let through, and rejected by name.
    const isFresh = known !== null && now - known.at < FRESH_MS;
    return id === null || isFresh ? [row] : [];
  });
  return { rows: named, isMissingOne };
}
/** Of a look-up: a device that is missing in it is not there. */
const FRESH_MS = 120_000;

/** A snapshot is compared by device; where time goes on, a fix that comes twice in the overlap is known by its time. */
function changesOf(
  rows: readonly Row[],
  facts: unknown,
  { window, feed }: PullSettings,
  { options: reading, session, now, since }: Context,
) {
  const sent: Sent = session?.sent ?? new Map();
  const isSnapshot = !window && !feed;
  const meant = rows
    .map((row) => ({ row, is: reading.stateOf(row, facts, now) }))
    .filter(({ is }) => is.kind !== "nothing");
  const changed = changedRows(
    meant,
    ({ is }) => {
      if (is.kind !== "state") return null;
      const { device, time, state, fixTime } = is;
      return isSnapshot
        ? { device, state: `${time} ${state}`, fixTime }
        : { device: `${device} ${time}`, state, fixTime: null };
    },
    sent,
    since,
  );
  return {
    rows: changed.rows.map(({ row }) => row),
    sent: changed.sent,
    unchanged: meant.length - changed.rows.length,
  };
}

/** Where the cursor moves to once the page is stored. */
function goesOn(
  { window, feed }: PullSettings,
  { cursor: before, now }: Context,
  content: unknown,
  rows: readonly Row[],
  { isEnd, untilMs }: { isEnd: boolean; untilMs: number },
): Pick<Page, "cursor" | "more"> {
  if (window && isEnd) return { cursor: String(untilMs), more: untilMs < now };
  if (!feed) return { cursor: "", more: false };
  if ("cursor" in feed) {
    const cursor = textOf(feed.cursor(content)) ?? "";
    return { cursor, more: feed.more ? feed.more(content) === true : rows.length > 0 };
  }
  const isFull = feed.size !== undefined && rows.length >= feed.size;
  return { cursor: newest(rows, feed.newest, before), more: isFull };
}

function newest(rows: readonly Row[], at: (value: unknown) => unknown, before: string | null): string {
  const times = rows.flatMap(({ value }) => {
    const time = at(value);
    return typeof time === "string" && !Number.isNaN(Date.parse(time)) ? [time] : [];
  });
  return times.reduce((last, time) => (isLater(time, last) ? time : last), before ?? "");
}

/** To the nanosecond, where both are written alike. */
function isLater(one: string, other: string): boolean {
  if (other === "") return true;
  const byMs = Date.parse(one) - Date.parse(other);
  return byMs === 0 ? one > other : byMs > 0;
}

/** The message that goes to ingest: the rows that say something new, and what is needed to read them. */
function messageOf(rows: readonly Row[], facts: unknown): string {
  const sent = rows.map(({ path: _, ...row }) => row);
  return JSON.stringify({ polled: { rows: sent, ...(facts !== undefined && { facts }) } });
}

/** The rows of a message that a poller wrote; null for an answer of the vendor as it is. */
export function polledRows(raw: unknown): { rows: Row[]; facts: unknown } | null {
  if (!isRecord(raw) || Object.keys(raw).length !== 1 || !isRecord(raw.polled)) return null;
  const { rows, facts } = raw.polled;
  if (!Array.isArray(rows) || !rows.every(isRow)) return null;
  return { rows: rows.map((row, index) => ({ ...row, path: `polled.rows[${index}].value` })), facts };
}

function isRow(row: unknown): row is Omit<Row, "path"> {
  return isRecord(row) && "value" in row;
}

function hostsPattern(hosts: readonly string[]): RegExp {
  return new RegExp(`^(?:${hosts.map((host) => host.replaceAll(/[.\\-]/g, "\\$&")).join("|")})$`, "i");
}

/** Says what is read, apart from secrets: those may change, and it is still the same feed. */
function feedOf({ path, url, query, page, window, feed, format }: PullSettings): string {
  return JSON.stringify([path, url, query, page, window, feed, format]);
}
