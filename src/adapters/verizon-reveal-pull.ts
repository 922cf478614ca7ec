/** How Verizon Connect Reveal is asked: the vehicles' numbers every hour, then their last positions, a hundred numbers at once. */

import { z } from "zod";
import { id, isoTimeAssumedUtc, isRecord, label, part } from "./kit/fields.ts";
import {
  definePull,
  type PullAnswer,
  type PullContext,
  type PullResult,
  parsed,
  troubleOf,
} from "./kit/pull.ts";
import { changedRows, type Sent, type State } from "./kit/unchanged.ts";

/** As many as clients of the vendor send; it publishes no limit. */
const NUMBERS_AT_ONCE = 100;
/** How late a new vehicle, or a new name, is noticed. */
const NAMES_EVERY_MS = 3_600_000;

export const revealOptions = z
  .strictObject({
    /** Of the customer's own application. Becomes part of a header. */
    appId: z.string().regex(/^[\w.-]{1,100}$/, "must be the application's id, such as fleetmatics-p-us-…"),
    /** What names a device. The push knows the number and the VIN as well. */
    deviceId: z.enum(["VehicleNumber", "VehicleId", "VIN"]).default("VehicleNumber"),
  })
  .optional();

export type Options = z.output<typeof revealOptions>;

export const vehicle = part({ VehicleId: id, VehicleNumber: id, Name: label, VIN: id });
export type Vehicle = z.output<typeof vehicle>;

/** A page as it becomes a message: the vendor's rows, and what is known beside them. */
export interface RevealPage {
  locations: unknown[];
  /** The vehicles of these rows, by number. */
  vehicles: Record<string, unknown>;
  /** Vehicles that cannot be asked for: the customer has given them no number. */
  unnumbered: unknown[];
  /** Of the host that was asked, where it is known. */
  speedUnit: "mph" | null;
}

export const revealPull = definePull<Session, Options>({
  baseUrl: "https://fim.api.us.fleetmatics.com",
  hosts: /^fim\.api\.(us|eu)\.fleetmatics\.com$/,
  needs: ["secret", "username"],
  minIntervalMs: 30_000,
  intervalMs: 30_000,
  minGapMs: 250,
  cursorLifetimeMs: null,
  request,
  parse,
});

interface Session {
  /** Null after it ended: all else outlives it. */
  token: string | null;
  /** By number, those that can be asked for; null before they are known. */
  vehicles: ReadonlyMap<string, Vehicle> | null;
  /** UTC milliseconds since 1970, of the vehicles. */
  namedAt: number;
  /** Without a number, and not told yet. */
  unnumbered: readonly Vehicle[];
  /** Of the vehicles, the first that is asked for next. */
  next: number;
  /** How many are asked for at once: fewer while the vendor refuses a list because of one of them. */
  atOnce: number;
  sent: Sent;
}

type Context = PullContext<Session, Options>;

const NOTHING_KNOWN: Session = {
  ...{ token: null, vehicles: null, namedAt: 0, unnumbered: [], next: 0 },
  ...{ atOnce: NUMBERS_AT_ONCE, sent: new Map() },
};

type Step =
  | { kind: "token" }
  | { kind: "names"; token: string }
  | { kind: "positions"; token: string; numbers: readonly string[]; vehicles: ReadonlyMap<string, Vehicle> };

/** What is asked next, and so what an answer is about. */
function stepOf({ session, now }: Context): Step {
  if (!session?.token) return { kind: "token" };
  const { token, vehicles, namedAt, next, atOnce } = session;
  // Between two rounds only: new names in the midst of one would leave vehicles out of it.
  const isDue = next === 0 && now - namedAt >= NAMES_EVERY_MS;
  if (vehicles === null || vehicles.size === 0 || isDue) return { kind: "names", token };
  const numbers = [...vehicles.keys()].slice(next, next + atOnce);
  return { kind: "positions", token, numbers, vehicles };
}

function request(context: Context) {
  const { baseUrl, account, options } = context;
  const step = stepOf(context);
  if (step.kind === "token") {
    const basic = Buffer.from(`${account.username}:${account.secret}`).toString("base64");
    const headers = { authorization: `Basic ${basic}`, accept: "text/plain" };
    return { method: "GET" as const, url: `${baseUrl}/token`, headers, isLogin: true as const };
  }
  const authorization = `Atmosphere atmosphere_app_id=${options?.appId ?? ""}, Bearer ${step.token}`;
  const headers = { authorization, accept: "application/json" };
  return step.kind === "names"
    ? { method: "GET" as const, url: `${baseUrl}/cmd/v1/vehicles`, headers }
    : {
        method: "POST" as const,
        url: `${baseUrl}/rad/v1/vehicles/locations`,
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify(step.numbers),
      };
}

function parse(answer: PullAnswer, context: Context): PullResult<Session> {
  const step = stepOf(context);
  const known = context.session ?? NOTHING_KNOWN;
  const trouble = troubleOf(answer.status);
  if (step.kind === "token") return trouble ?? withToken(answer.text, known);
  // How long a token lives is not published.
  if (answer.status === 401) return { kind: "session_expired", session: { ...known, token: null } };
  if (step.kind === "names") {
    const isOld = trouble?.kind === "unavailable" && known.vehicles !== null && known.vehicles.size > 0;
    // Positions go on under the names that are known.
    if (isOld) return { kind: "session", session: { ...known, namedAt: context.now } };
    return trouble ?? named(answer.text, known, context.now);
  }
  if (answer.status === 400 || answer.status === 404) return withoutOne(answer.status, step, known, context);
  return trouble ?? located(answer.text, step, known, context);
}

/** Visible characters only, since it becomes part of a header. */
const TOKEN = /^[\x21-\x7e]{8,8192}$/;

/** The bare token; clients also met a text of JSON, and an object. */
function withToken(sent: string, known: Session): PullResult<Session> {
  const json = parsed(sent);
  const inside = isRecord(json) ? (json.Token ?? json.token) : json;
  const token = typeof inside === "string" ? inside : sent.trim();
  if (!TOKEN.test(token) || /^[<{["]/.test(token)) return unreadable("no token");
  return { kind: "session", session: { ...known, token } };
}

function named(sent: string, known: Session, now: number): PullResult<Session> {
  const json = parsed(sent);
  const list = isRecord(json) ? json.Vehicles : json;
  if (!Array.isArray(list)) return unreadable("no list of vehicles");
  const all = list.map((one) => vehicle.parse(one));
  const vehicles = new Map(
    all.flatMap((one) => (one.VehicleNumber === null ? [] : [[one.VehicleNumber, one] as const])),
  );
  const unnumbered = all.filter(({ VehicleNumber }) => VehicleNumber === null);
  const session = { ...known, vehicles, namedAt: now, unnumbered, next: 0, atOnce: NUMBERS_AT_ONCE };
  return vehicles.size > 0
    ? { kind: "session", session }
    : pageOf([], session, { speedUnit: null, more: false, since: now });
}

function located(
  sent: string,
  { numbers, vehicles }: Extract<Step, { kind: "positions" }>,
  known: Session,
  { baseUrl, since }: Context,
): PullResult<Session> {
  const rows = parsed(sent);
  if (!Array.isArray(rows)) return unreadable("no list of positions");
  const end = known.next + numbers.length;
  const more = end < vehicles.size;
  const atOnce = Math.min(known.atOnce * 2, NUMBERS_AT_ONCE);
  const session = { ...known, next: more ? end : 0, atOnce };
  return pageOf(rows, session, { speedUnit: unitAt(baseUrl), more, since });
}

/**
 * A number that the vendor does not know, or whose vehicle is outside the data plan, is refused with all that are asked for
 * beside it: by halves it is found and left out until the vehicles are read again.
 */
function withoutOne(
  status: number,
  { numbers, vehicles }: Extract<Step, { kind: "positions" }>,
  known: Session,
  { baseUrl, since }: Context,
): PullResult<Session> {
  const [number = ""] = numbers;
  if (numbers.length > 1) {
    return { kind: "session", session: { ...known, atOnce: Math.ceil(numbers.length / 2) } };
  }
  if (vehicles.size === 1) return { kind: "refused", reason: "bad_request", detail: `HTTP ${status}` };
  const others = new Map(vehicles);
  others.delete(number);
  const more = known.next < others.size;
  const session = { ...known, vehicles: others, next: more ? known.next : 0 };
  const refused = [{ VehicleNumber: number, StatusCode: status }];
  return pageOf(refused, session, { speedUnit: unitAt(baseUrl), more, since });
}

/** What clients read from US accounts; one of a European account reads km/h, which the source has to state. */
function unitAt(baseUrl: string): "mph" | null {
  return new URL(baseUrl).hostname === "fim.api.us.fleetmatics.com" ? "mph" : null;
}

function pageOf(
  rows: readonly unknown[],
  session: Session,
  { speedUnit, more, since }: { speedUnit: "mph" | null; more: boolean; since: number },
): PullResult<Session> {
  const { unnumbered } = session;
  const { rows: locations, sent } = changedRows(rows, stateOf, session.sent, since);
  const numbers = locations.flatMap((one) => (isRecord(one) ? (id.parse(one.VehicleNumber) ?? []) : []));
  const vehicles = Object.fromEntries(
    numbers.flatMap((number) => {
      const one = session.vehicles?.get(number);
      return one ? [[number, one]] : [];
    }),
  );
  const isEmpty = locations.length === 0 && unnumbered.length === 0;
  const body: RevealPage = { locations, vehicles, unnumbered: [...unnumbered], speedUnit };
  return {
    kind: "page",
    body: isEmpty ? null : JSON.stringify(body),
    cursor: "",
    more,
    session: { ...session, sent, unnumbered: [] },
    rows: { read: rows.length, unchanged: rows.length - locations.length },
  };
}

function stateOf(sent: unknown): State | null {
  if (!isRecord(sent)) return null;
  const device = id.parse(sent.VehicleNumber);
  if (device === null) return null;
  const { StatusCode, ContentResource } = sent;
  const value = isRecord(ContentResource) && isRecord(ContentResource.Value) ? ContentResource.Value : {};
  return {
    device,
    state: JSON.stringify([StatusCode, value.UpdateUTC, value.Latitude, value.Longitude]),
    fixTime: isoTimeAssumedUtc.parse(value.UpdateUTC),
  };
}

function unreadable(detail: string): PullResult<never> {
  return { kind: "unavailable", reason: "unreadable_answer", detail };
}
