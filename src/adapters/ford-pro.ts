/** Ford Pro Telematics: a token for five minutes, the list of vans, then the status of one van after another. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { degrees, epochMillis, flag, id, isoTime, isRecord, items, label, part } from "./kit/fields.ts";
import {
  definePull,
  type PullAnswer,
  type PullContext,
  type PullResult,
  parsed,
  troubleOf,
} from "./kit/pull.ts";
import { changedRows, type Sent } from "./kit/unchanged.ts";

/** The most that the vendor gives on one page of its list. */
const VANS_ON_A_PAGE = 1000;
/** A list that does not end must not be asked for ever; no fleet of one account has a hundred thousand vans. */
const MAX_LIST_PAGES = 100;
/** How late a new van is noticed. */
const VANS_EVERY_MS = 3_600_000;
/** A token is renewed so long before it ends: a request may wait for its answer as long. */
const RENEWED_BEFORE_MS = 30_000;

const position = part({ timestamp: isoTime, value: part({ latitude: degrees, longitude: degrees }) });
const heading = part({ timestamp: isoTime, value: degrees });
const ignition = part({ value: flag });

export const fordPro = defineAdapter({
  vendor: "ford-pro",
  docs: "https://www.fordpro.com/en-us/intelligence/",
  evidence: "documented",
  unknown: "how often it may be asked; speed, which only the history has, is not read",
  transports: ["pull"],
  auth: [],
  speedUnit: "none",
  payload: z.object({
    vin: id,
    /** One key an element: the signal's name. */
    signals: items,
    /** The two that `parse` puts beside the vendor's own: the van's name in the list, and a status that is no 200. */
    name: label,
    refused: z.number().optional(),
  }),
  decode: ({ vin, signals, name, refused }) => {
    const place = position.parse(signalNamed("position", signals));
    const turned = heading.parse(signalNamed("heading", signals));
    return [
      {
        path: "",
        deviceId: vin,
        fixTime: place.timestamp,
        latitude: place.value.latitude,
        longitude: place.value.longitude,
        speedMps: null,
        // Each signal has a time of its own: a heading of another moment is none of this position.
        headingDeg: turned.timestamp === place.timestamp ? turned.value : null,
        noFix: refused !== undefined,
        details: {
          deviceName: name,
          ignition: ignition.parse(signalNamed("ignition_status", signals)).value,
        },
      },
    ];
  },
  pull: definePull<Session>({
    baseUrl: "https://api.fordpro.com/vehicle-status-api",
    hosts: /^api\.fordpro\.com$/,
    needs: ["secret", "username"],
    minIntervalMs: 1000,
    intervalMs: 10_000,
    // No limit is published; one van a second is once in forty seconds for forty vans.
    minGapMs: 1000,
    cursorLifetimeMs: null,
    request,
    parse,
  }),
});

function signalNamed(name: string, signals: readonly unknown[]): unknown {
  const found = signals.find((one) => isRecord(one) && Object.hasOwn(one, name));
  return isRecord(found) ? found[name] : undefined;
}

interface Van {
  vin: string;
  name: string | number | null;
}

interface Session {
  /** Null after it ended: all else outlives it. */
  token: string | null;
  /** UTC milliseconds since 1970: asks for another token from then on; null where only a refusal tells. */
  renewAt: number | null;
  vans: readonly Van[];
  /** UTC milliseconds since 1970, of the vans. */
  listedAt: number;
  /** What of the list has come so far; null when it is whole. */
  listing: { vans: readonly Van[]; page: string | null; pages: number } | null;
  /** The van whose status is asked for next. */
  next: number;
  /** Vans of this round whose status the vendor refuses. */
  refused: number;
  sent: Sent;
}

type Context = PullContext<Session>;

const NEW_LIST = { vans: [], page: null, pages: 0 };
const NOTHING_KNOWN: Session = {
  ...{ token: null, renewAt: null, vans: [], listedAt: 0, listing: NEW_LIST },
  ...{ next: 0, refused: 0, sent: new Map() },
};

type Step =
  | { kind: "token" }
  | { kind: "list"; token: string; listing: NonNullable<Session["listing"]> }
  | { kind: "status"; token: string; van: Van };

/** What is asked next, and so what an answer is about. */
function stepOf({ session, now }: Context): Step {
  if (!session?.token || (session.renewAt !== null && now >= session.renewAt)) return { kind: "token" };
  const { token, listing, vans, next, listedAt } = session;
  const van = vans[next];
  // Between two rounds only, so that each van has its turn in a round.
  const isDue = next === 0 && now - listedAt >= VANS_EVERY_MS;
  return listing !== null || van === undefined || isDue
    ? { kind: "list", token, listing: listing ?? NEW_LIST }
    : { kind: "status", token, van };
}

function request(context: Context) {
  const { baseUrl, account } = context;
  const step = stepOf(context);
  if (step.kind === "token") {
    const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
    const form = new URLSearchParams({ clientId: account.username ?? "", clientSecret: account.secret });
    return {
      method: "POST" as const,
      url: `${baseUrl}/token`,
      headers,
      body: form.toString(),
      isLogin: true as const,
    };
  }
  const headers = { authorization: `Bearer ${step.token}`, accept: "application/json" };
  if (step.kind === "status") {
    const path = `/v1/vehicle/${step.van.vin}/status`;
    const url = `${baseUrl}${path}?signal-filter=position,heading,ignition_status`;
    return { method: "GET" as const, url, headers };
  }
  const { page } = step.listing;
  const at = page === null ? "" : `&page=${encodeURIComponent(page)}`;
  const url = `${baseUrl}/v1/vehicles?page-size=${VANS_ON_A_PAGE}&fields=vin,vehicle_name${at}`;
  return { method: "GET" as const, url, headers };
}

function parse(answer: PullAnswer, context: Context): PullResult<Session> {
  const step = stepOf(context);
  const known = context.session ?? NOTHING_KNOWN;
  const trouble = troubleOf(answer.status);
  if (step.kind === "token") return trouble ?? withToken(answer.text, known, context.now);
  if (answer.status === 401) return { kind: "session_expired", session: { ...known, token: null } };
  if (step.kind === "list") return trouble ?? listed(answer.text, known, step.listing, context.now);
  // Not ours any more, unknown, or not enrolled: only this van is concerned.
  if ([403, 404, 412].includes(answer.status)) return skipped(answer.status, known, step.van, context.since);
  return trouble ?? statusOf(answer.text, known, step.van, context.since);
}

const tokenAnswer = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/),
  /** When it ends, and not how long it lives, whatever its name says. */
  expires_in: epochMillis,
});

function withToken(text: string, known: Session, now: number): PullResult<Session> {
  const answer = tokenAnswer.safeParse(parsed(text));
  if (!answer.success) return unreadable("no token");
  const { access_token: token, expires_in: endsAt } = answer.data;
  const renewAt = (endsAt ?? Number.NaN) - RENEWED_BEFORE_MS;
  // A new token that seems to have ended shows that our clocks differ; then only a refusal tells when it has.
  return { kind: "session", session: { ...known, token, renewAt: renewAt > now ? renewAt : null } };
}

/** Becomes part of an address, so nothing else is asked for. */
const VIN = /^[A-Za-z0-9-]{1,32}$/;

const listAnswer = z.object({
  vehicles: z.array(part({ vin: id, vehicle_name: label })),
  next_page: z.string().nullish(),
});

function listed(
  text: string,
  known: Session,
  { vans: before, page, pages }: NonNullable<Session["listing"]>,
  now: number,
): PullResult<Session> {
  const answer = listAnswer.safeParse(parsed(text));
  if (!answer.success) return unreadable("no list of vans");
  const { vehicles, next_page } = answer.data;
  const own = vehicles.flatMap(({ vin, vehicle_name }) =>
    vin === null || !VIN.test(vin) ? [] : [{ vin, name: vehicle_name }],
  );
  const vans = [...before, ...own];
  if (next_page && next_page !== page && pages + 1 < MAX_LIST_PAGES) {
    return {
      kind: "session",
      session: { ...known, listing: { vans, page: next_page, pages: pages + 1 } },
    };
  }
  const session = { ...known, vans, listedAt: now, listing: null, next: 0, refused: 0 };
  return vans.length > 0 ? { kind: "session", session } : pageOf(null, session, false);
}

function skipped(status: number, known: Session, { vin, name }: Van, since: number): PullResult<Session> {
  const refused = known.refused + 1;
  // No van may be asked for: then it is the account.
  if (known.next + 1 >= known.vans.length && refused >= known.vans.length) {
    return { kind: "refused", reason: "forbidden", detail: `HTTP ${status} for every van` };
  }
  return goOn({ vin, name, signals: [], refused: status }, { ...known, refused }, since);
}

function statusOf(text: string, known: Session, { vin, name }: Van, since: number): PullResult<Session> {
  const answer = parsed(text);
  if (!isRecord(answer) || !Array.isArray(answer.signals)) return unreadable("no status of a van");
  return goOn({ vin, name, signals: answer.signals }, known, since);
}

/** A van that has not moved on, or is refused as before, is not sent again. */
function goOn(
  status: Van & { signals: unknown[]; refused?: number },
  known: Session,
  since: number,
): PullResult<Session> {
  const { rows, sent } = changedRows([status], stateOf, known.sent, since);
  const more = known.next + 1 < known.vans.length;
  const session = { ...known, sent, next: more ? known.next + 1 : 0, refused: more ? known.refused : 0 };
  return pageOf(rows[0] ?? null, session, more, { read: 1, unchanged: 1 - rows.length });
}

function stateOf({ vin, signals, refused }: Van & { signals: unknown[]; refused?: number }) {
  const place = signalNamed("position", signals);
  const { timestamp } = position.parse(place);
  return { device: vin, state: JSON.stringify([place, refused ?? 200]), fixTime: timestamp };
}

function pageOf(
  status: object | null,
  session: Session,
  more: boolean,
  rows = { read: 0, unchanged: 0 },
): PullResult<Session> {
  const body = status === null ? null : JSON.stringify(status);
  return { kind: "page", body, cursor: "", more, session, rows };
}

function unreadable(detail: string): PullResult<never> {
  return { kind: "unavailable", reason: "unreadable_answer", detail };
}
