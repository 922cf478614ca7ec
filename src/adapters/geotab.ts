/** Geotab MyGeotab: asked for new position records (LogRecord) since a version, in a session that may end at any time. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { each } from "./kit/each.ts";
import { degrees, id, isoTime, isRecord, items, kph, text as line, part } from "./kit/fields.ts";
import {
  definePull,
  type PullAnswer,
  type PullContext,
  type PullResult,
  parsed,
  troubleOf,
} from "./kit/pull.ts";

/** Rows asked for at once, of 50,000 at most: an answer of about a megabyte, and 300,000 fixes a minute. */
const FEED_ROWS = 5000;
/** `Get` gives no more, whatever it is asked for, and does not say that there are more. */
const DEVICE_ROWS = 5000;
const HOSTS = /^([a-z0-9-]+\.)+geotab\.com$/;

/** What stands where a record belongs to no device. */
const NO_DEVICE = new Set(["NoDeviceId", "UnknownDeviceId"]);

/** An object, but on some types the bare id. */
const device = z
  .unknown()
  .optional()
  .transform((value) => (isRecord(value) ? value.id : value))
  .pipe(id.transform((text) => (text !== null && NO_DEVICE.has(text) ? null : text)));

const record = part({
  device,
  dateTime: isoTime,
  latitude: degrees,
  longitude: degrees,
  speed: kph,
});

export const geotab = defineAdapter({
  vendor: "geotab",
  docs: "https://developers.geotab.com/myGeotab/guides/dataFeed",
  evidence: "documented",
  unknown: "how a speed that is invalid is written",
  transports: ["pull"],
  auth: [],
  speedUnit: "kph",
  payload: z.object({
    result: z.object({ data: items, toVersion: z.string() }),
    /** A record has only its device's id; `parse` puts the names beside the page. */
    names: z
      .unknown()
      .optional()
      .transform((value) => (isRecord(value) ? value : {})),
  }),
  decode: ({ result, names }) =>
    each(result.data, (sent, index) => {
      const { device, dateTime, latitude, longitude, speed } = record.parse(sent);
      return {
        path: `result.data[${index}]`,
        deviceId: device,
        fixTime: dateTime,
        latitude,
        longitude,
        speedMps: speed,
        // Records have none; what DeviceStatusInfo calls bearing may belong to another moment.
        headingDeg: null,
        ...(device !== null && Object.hasOwn(names, device)
          ? { details: { deviceName: line.parse(names[device]) } }
          : {}),
      };
    }),
  pull: definePull<Session>({
    baseUrl: "https://my.geotab.com",
    hosts: HOSTS,
    needs: ["secret", "username", "database"],
    minIntervalMs: 1010,
    intervalMs: 10_000,
    // GetFeed is allowed 60 times a minute.
    minGapMs: 1010,
    // The server keeps no position of its own, and a version stays what it is.
    cursorLifetimeMs: null,
    request,
    parse,
  }),
});

interface Session {
  /** Null after it expired: names outlive it. */
  login: Login | null;
  names: ReadonlyMap<string, string>;
  /** Names come in pages: rows after this id are still to be asked for; null when none are. */
  namesAfter: string | null;
  /** Devices that `Get Device` does not name, so that each of them makes us ask for the names only once. */
  nameless: ReadonlySet<string>;
}

interface Login {
  /** Where the login says the next requests go. */
  baseUrl: string;
  credentials: z.output<typeof credentials>;
}

const NOTHING_KNOWN: Session = { login: null, names: new Map(), namesAfter: "", nameless: new Set() };

type Context = PullContext<Session>;

const credentials = z.object({ database: z.string(), userName: z.string(), sessionId: z.string().min(1) });
const loginAnswer = z.object({ result: z.object({ credentials, path: z.string() }) });
const devicesAnswer = z.object({ result: z.array(part({ id, name: line })) });
const feedAnswer = z.object({
  result: z.object({
    data: z.array(part({ device })),
    toVersion: z.string().min(1),
  }),
});
const failure = z.object({
  error: z.object({
    data: z.object({ type: z.string() }).partial().optional(),
    errors: z.array(z.object({ name: z.string() }).partial()).optional(),
  }),
});

function request({ baseUrl, account, cursor, since, session }: Context) {
  if (!session?.login) {
    const { username: userName, database, secret: password } = account;
    return call(baseUrl, "Authenticate", { database, userName, password });
  }
  const { credentials, baseUrl: host } = session.login;
  if (session.namesAfter !== null) {
    const sort = session.namesAfter === "" ? {} : { sort: { sortBy: "id", offset: session.namesAfter } };
    const propertySelector = { fields: ["id", "name"], isIncluded: true };
    const params = { typeName: "Device", resultsLimit: DEVICE_ROWS, propertySelector, ...sort, credentials };
    return call(host, "Get", params);
  }
  const from =
    cursor === null ? { search: { fromDate: new Date(since).toISOString() } } : { fromVersion: cursor };
  const params = { typeName: "LogRecord", resultsLimit: FEED_ROWS, ...from, credentials };
  return call(host, "GetFeed", params);
}

function call(baseUrl: string, method: string, params: object) {
  return {
    method: "POST" as const,
    url: `${baseUrl}/apiv1`,
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  };
}

function parse(answer: PullAnswer, { baseUrl, session }: Context): PullResult<Session> {
  const trouble = troubleOf(answer.status);
  if (trouble) return trouble;
  const { raw, text } = readable(answer.text);
  const failed = failure.safeParse(raw);
  if (!session?.login) {
    const known = session ?? NOTHING_KNOWN;
    return failed.success ? problemOf(failed.data, answer, null) : loggedIn(raw, known, baseUrl);
  }
  if (session.namesAfter !== null) {
    if (!failed.success) return named(raw, session);
    const problem = problemOf(failed.data, answer, session);
    // An account that may not list devices can still read their positions.
    return problem.kind === "refused" ? namesDone(session, session.names) : problem;
  }
  return failed.success ? problemOf(failed.data, answer, session) : fetched(raw, text, session);
}

/** Errors come with 200. They are told apart by type, never by text. */
function problemOf(
  { error }: z.output<typeof failure>,
  { headers }: PullAnswer,
  session: Session | null,
): PullResult<Session> {
  const type = error.data?.type ?? error.errors?.[0]?.name ?? "";
  const detail = type.slice(0, 80);
  switch (type) {
    case "InvalidUserException":
      // The same word for a wrong password and for a session that has ended.
      return session === null
        ? { kind: "refused", reason: "unauthorized", detail }
        : { kind: "session_expired", session: { ...session, login: null } };
    case "ExpiredPasswordException":
      return { kind: "refused", reason: "unauthorized", detail };
    case "InvalidPermissionsException":
      return { kind: "refused", reason: "forbidden", detail };
    case "MissingMethodException":
      return { kind: "refused", reason: "bad_request", detail };
    case "OverLimitException":
      // Without a wait it is no quota: more was asked for than may be.
      return headers["retry-after"] === undefined
        ? { kind: "refused", reason: "over_limit", detail }
        : { kind: "throttled" };
    case "DbUnavailableException":
    case "ServiceUnavailableException":
    case "DatabaseMaintenanceException":
      return { kind: "unavailable", reason: "vendor_unavailable", detail };
    default:
      return { kind: "unavailable", reason: "vendor_error", detail };
  }
}

function loggedIn(raw: unknown, known: Session, baseUrl: string): PullResult<Session> {
  const answer = loginAnswer.safeParse(raw);
  if (!answer.success) return unreadable("no answer to a login");
  const { credentials, path } = answer.data.result;
  const host = path.toLowerCase();
  if (path !== "ThisServer" && !HOSTS.test(host)) {
    return { kind: "refused", reason: "foreign_host", detail: host.slice(0, 80) };
  }
  const login = { baseUrl: path === "ThisServer" ? baseUrl : `https://${host}`, credentials };
  return { kind: "session", session: { ...known, login } };
}

function named(raw: unknown, session: Session): PullResult<Session> {
  const answer = devicesAnswer.safeParse(raw);
  if (!answer.success) return namesDone(session, session.names);
  const rows = answer.data.result;
  const names = new Map(session.names);
  for (const { id, name } of rows) if (id !== null && name !== null) names.set(id, name);
  const last = rows.at(-1)?.id ?? null;
  if (rows.length < DEVICE_ROWS || last === null) return namesDone(session, names);
  return { kind: "session", session: { ...session, names, namesAfter: last } };
}

function namesDone(session: Session, names: Session["names"]): PullResult<Session> {
  return { kind: "session", session: { ...session, names, namesAfter: null } };
}

function fetched(raw: unknown, text: string, session: Session): PullResult<Session> {
  const answer = feedAnswer.safeParse(raw);
  if (!answer.success) return unreadable("no page of a feed");
  const { data, toVersion } = answer.data.result;
  const ids = new Set(data.flatMap(({ device }) => device ?? []));
  const names = [...ids].flatMap((id) => {
    const name = session.names.get(id);
    return name === undefined ? [] : [[id, name]];
  });
  const unnamed = [...ids].filter((id) => !session.names.has(id) && !session.nameless.has(id));
  return {
    kind: "page",
    body: data.length === 0 ? null : withNames(text, Object.fromEntries(names)),
    cursor: toVersion,
    more: data.length >= FEED_ROWS,
    session:
      unnamed.length === 0
        ? session
        : { ...session, namesAfter: "", nameless: new Set([...session.nameless, ...unnamed]) },
  };
}

/**
 * An invalid speed is NaN, and how Geotab writes that is not documented: where a page is no JSON, bare `NaN` and
 * `Infinity` in it are taken for null. Unread, it would come again for ever.
 */
function readable(text: string): { raw: unknown; text: string } {
  const raw = parsed(text);
  if (raw !== undefined) return { raw, text };
  const mended = outsideTexts(text, (code) => code.replace(/-?\b(?:NaN|Infinity)\b/g, "null"));
  return { raw: parsed(mended), text: mended };
}

/** Changes what stands between the texts of a piece of JSON, in one pass over it. */
function outsideTexts(json: string, change: (code: string) => string): string {
  const pieces: string[] = [];
  for (let at = 0; at < json.length; ) {
    const quote = json.indexOf('"', at);
    const start = quote === -1 ? json.length : quote;
    let end = start + 1;
    while (end < json.length && json[end] !== '"') end += json[end] === "\\" ? 2 : 1;
    pieces.push(change(json.slice(at, start)), json.slice(start, end + 1));
    at = end + 1;
  }
  return pieces.join("");
}

/** The page's own text stays as it came, so that no number in it is written anew. */
function withNames(text: string, names: Record<string, string>): string {
  return `${text.slice(0, text.lastIndexOf("}"))},"names":${JSON.stringify(names)}}`;
}

function unreadable(detail: string): PullResult<never> {
  return { kind: "unavailable", reason: "unreadable_answer", detail };
}
