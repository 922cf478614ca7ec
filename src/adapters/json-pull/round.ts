/** Where a configured poller stands: what it learned by login and look-up, and how far its round has come. */

import { isoTimeAssumedUtc } from "../kit/fields.ts";
import type { PullContext } from "../kit/pull.ts";
import type { Sent } from "../kit/unchanged.ts";
import type { LoggedIn } from "./login.ts";
import { isDue, type Known } from "./lookup.ts";
import { type Place, placeValues, START } from "./paging.ts";
import type { PullSettings } from "./settings.ts";
import { type Id, timeValues, type Values } from "./template.ts";

export interface Session {
  login: LoggedIn | null;
  known: Known | null;
  /** A reading named a device that the look-up did not know. */
  isMissingOne: boolean;
  /** Null between two rounds. */
  round: Round | null;
  sent: Sent;
}

/** One pass over all pages of all devices. */
export interface Round {
  place: Place;
  /** Which part of the known ids is asked for. */
  chunk: number;
  /** UTC milliseconds since 1970. */
  startedAtMs: number;
  /** Rows were left out, of devices that are to be looked up first. */
  holdsBack: boolean;
  /** With `window`: the stretch of time, UTC milliseconds since 1970. */
  sinceMs: number;
  untilMs: number;
}

export type Step = "login" | "lookup" | "page";

const BLANK: Session = { login: null, known: null, isMissingOne: false, round: null, sent: new Map() };

export function sessionOf({ session }: PullContext<Session>): Session {
  return session ?? BLANK;
}

export function stepOf(
  settings: PullSettings,
  { login, known, isMissingOne, round }: Session,
  now: number,
): Step {
  const isTokenOver = login === null || (login.endsAt !== null && now >= login.endsAt);
  if (settings.login && isTokenOver) return "login";
  const isBetween = round === null;
  return settings.lookup && isBetween && isDue(settings.lookup, known, isMissingOne, now) ? "lookup" : "page";
}

/** The round that is under way, or the one that begins now. */
export function roundOf(settings: PullSettings, context: PullContext<Session>): Round {
  const { round } = sessionOf(context);
  if (round) return round;
  const { window } = settings;
  const cursorMs = window && context.cursor !== null ? Number(context.cursor) : Number.NaN;
  const sinceMs = Number.isFinite(cursorMs) ? cursorMs - (window?.overlapMs ?? 0) : context.since;
  const untilMs = Math.min(context.now, sinceMs + (window?.widestMs ?? 0));
  return { place: START, chunk: 0, startedAtMs: context.now, holdsBack: false, sinceMs, untilMs };
}

export function idsOf({ lookup }: PullSettings, { known }: Session, { chunk }: Round): readonly Id[] {
  const size = lookup?.chunk ?? 1;
  return known?.ids.slice(chunk * size, (chunk + 1) * size) ?? [];
}

/** The round after a page, or null where it was the last. */
export function roundAfter(
  settings: PullSettings,
  session: Session,
  round: Round,
  place: Place | null,
  asksByIds: boolean,
): Round | null {
  if (place) return { ...round, place };
  const next = { ...round, chunk: round.chunk + 1, place: START };
  return asksByIds && idsOf(settings, session, next).length > 0 ? next : null;
}

/** What the placeholders stand for at this step. */
export function valuesOf(settings: PullSettings, context: PullContext<Session>, step: Step): Values {
  const session = sessionOf(context);
  const values = {
    secret: context.account.secret,
    username: context.account.username,
    ...timeValues("now", context.now),
    ...keptValues(context.kept),
  };
  if (step === "login") return values;
  const known = { ...values, token: session.login?.token, ...keptValues(session.login?.kept ?? {}) };
  if (step === "lookup") return known;
  const round = roundOf(settings, context);
  const ids = idsOf(settings, session, round);
  return {
    ...known,
    ids: ids.length === 0 ? undefined : ids,
    id: ids[0],
    ...feedValues(settings, context, round),
    ...placeValues(settings.page, round.place),
  };
}

function feedValues(
  { window, feed }: PullSettings,
  { cursor, since }: PullContext<Session>,
  round: Round,
): Values {
  if (window) return { ...timeValues("since", round.sinceMs), ...timeValues("until", round.untilMs) };
  if (!feed) return {};
  if ("cursor" in feed) return { cursor: cursor ?? undefined };
  const sinceMs = cursor === null ? since : instantOf(cursor);
  const spelled = Number.isNaN(sinceMs) ? {} : timeValues("since", sinceMs);
  // As the vendor wrote it, whose times may be finer than ours.
  return cursor === null ? spelled : { ...spelled, since: cursor };
}

/** UTC milliseconds since 1970, whatever the zone of this process; NaN where the text is no time. */
export function instantOf(text: string): number {
  return isoTimeAssumedUtc.parse(text) ?? Number.NaN;
}

function keptValues(kept: Readonly<Record<string, string>>): Values {
  return Object.fromEntries(Object.entries(kept).map(([name, value]) => [`kept.${name}`, value]));
}
