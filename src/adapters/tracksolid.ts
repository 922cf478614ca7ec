/** Tracksolid Pro's open API: asked for the last position of every device of an account, by signed calls. */

import { hash } from "node:crypto";
import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { each } from "./kit/each.ts";
import {
  degrees,
  flag,
  id,
  isoTimeAssumedUtc,
  isRecord,
  items,
  kph,
  label,
  noFixUnlessSaid,
  number,
  part,
} from "./kit/fields.ts";
import {
  definePull,
  type PullAnswer,
  type PullContext,
  type PullResult,
  parsed,
  troubleOf,
} from "./kit/pull.ts";
import { changedRows, type Sent, type State } from "./kit/unchanged.ts";

const row = part({
  imei: id,
  deviceName: label,
  gpsTime: isoTimeAssumedUtc,
  lat: degrees,
  lng: degrees,
  speed: kph,
  direction: degrees,
  // LBS and WIFI are places of the network.
  posType: noFixUnlessSaid("gps"),
  accStatus: flag,
});

const options = z
  .strictObject({
    /** The application's key and the secret that signs its calls. */
    appKey: z.string().min(1),
    appSecret: z.string().min(1),
    /** The account whose devices are asked for, where it is another one than the user's own. */
    target: z.string().min(1).optional(),
  })
  .optional();

export const tracksolid = defineAdapter({
  vendor: "tracksolid",
  docs: "https://tracksolidprodocs.jimicloud.com",
  evidence: "documented",
  unknown: "unit of speed (km/h is read); how often it may be asked",
  transports: ["pull"],
  auth: [],
  speedUnit: "kph",
  options,
  settingProblems: ({ options }) =>
    options ? [] : ["options: is required: appKey and appSecret of the application that asks"],
  payload: z.object({ result: items }),
  decode: ({ result }) =>
    each(result, (sent, index) => {
      const { imei, gpsTime, lat, lng, speed, direction, posType, accStatus, deviceName } = row.parse(sent);
      return {
        path: `result[${index}]`,
        deviceId: imei,
        fixTime: gpsTime,
        latitude: lat,
        longitude: lng,
        speedMps: speed,
        headingDeg: direction,
        noFix: posType,
        details: { deviceName, ignition: accStatus },
      };
    }),
  pull: definePull<Session, z.output<typeof options>>({
    baseUrl: "https://us-open.tracksolidpro.com",
    hosts: /^(us|eu|hk)-open\.tracksolidpro\.com$/,
    needs: ["secret", "username"],
    // No limit is published. Its answer "too often" is respected.
    minIntervalMs: 10_000,
    intervalMs: 30_000,
    minGapMs: 1000,
    cursorLifetimeMs: null,
    request,
    parse,
  }),
});

interface Session {
  /** Null after it ended: what was sent outlives it. */
  token: string | null;
  /** UTC milliseconds since 1970: asks for another one from then on. */
  renewAt: number;
  sent: Sent;
}

type Context = PullContext<Session, z.output<typeof options>>;

/** The longest that the vendor gives. */
const TOKEN_LIFETIME_S = 7200;
/** Tokens are given in whole seconds and travel; one that ends meanwhile is answered by 1004 and costs one request. */
const RENEWED_BEFORE_MS = 60_000;

const loginAnswer = z.object({
  result: z.object({ accessToken: z.string().min(1), expiresIn: number }),
});

function tokenOf({ session, now }: Context): string | null {
  return session === null || now >= session.renewAt ? null : session.token;
}

function request(context: Context) {
  const { baseUrl, account, options, now } = context;
  const token = tokenOf(context);
  const { username = "" } = account;
  const own =
    token === null
      ? {
          method: "jimi.oauth.token.get",
          user_id: username,
          user_pwd_md5: hash("md5", account.secret),
          expires_in: String(TOKEN_LIFETIME_S),
        }
      : {
          method: "jimi.user.device.location.list",
          access_token: token,
          target: options?.target ?? username,
        };
  const parameters = {
    app_key: options?.appKey ?? "",
    timestamp: new Date(now).toISOString().slice(0, 19).replace("T", " "),
    format: "json",
    sign_method: "md5",
    v: "1.0",
    ...own,
  };
  return {
    method: "POST" as const,
    url: `${baseUrl}/route/rest`,
    headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
    ...(token === null ? { isLogin: true as const } : {}),
    body: new URLSearchParams({
      ...parameters,
      sign: signatureOf(parameters, options?.appSecret ?? ""),
    }).toString(),
  };
}

/** As the vendor documents it: names and values, sorted by name, with nothing in between, between twice the secret. */
function signatureOf(parameters: Readonly<Record<string, string>>, appSecret: string): string {
  const sorted = Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1));
  return hash("md5", `${appSecret}${sorted.flat().join("")}${appSecret}`).toUpperCase();
}

function parse(answer: PullAnswer, context: Context): PullResult<Session> {
  const trouble = troubleOf(answer.status);
  if (trouble) return trouble;
  const raw = parsed(answer.text);
  const isLogin = tokenOf(context) === null;
  const sent = context.session?.sent ?? new Map();
  if (!isRecord(raw)) return unreadable("no object");
  const problem = problemOf(raw.code, isLogin, sent);
  if (problem) return problem;
  if (isLogin) {
    const given = loginAnswer.safeParse(raw);
    if (!given.success) return unreadable("no answer to a login");
    const { accessToken, expiresIn } = given.data.result;
    // What cannot be read is as long as was asked for.
    const lifetimeMs = 1000 * (expiresIn !== null && expiresIn > 0 ? expiresIn : TOKEN_LIFETIME_S);
    const renewAt = context.now + Math.max(lifetimeMs - RENEWED_BEFORE_MS, RENEWED_BEFORE_MS);
    return { kind: "session", session: { token: accessToken, renewAt, sent } };
  }
  const { result } = raw;
  if (!Array.isArray(result) || context.session === null) return unreadable("no list of positions");
  const changed = changedRows(result, stateOf, sent, context.since);
  return {
    kind: "page",
    body: changed.rows.length === 0 ? null : JSON.stringify({ result: changed.rows }),
    cursor: "",
    more: false,
    session: { ...context.session, sent: changed.sent },
    rows: { read: result.length, unchanged: result.length - changed.rows.length },
  };
}

/** Errors come with 200, as a number. Silent devices are left out of a list, which is no error. */
function problemOf(code: unknown, isLogin: boolean, sent: Sent): PullResult<Session> | null {
  const detail = `code ${String(code).slice(0, 20)}`;
  switch (String(code)) {
    case "0":
      return null;
    case "1001":
      return { kind: "refused", reason: "unauthorized", detail };
    case "1004":
      return isLogin
        ? { kind: "refused", reason: "unauthorized", detail }
        : { kind: "session_expired", session: { token: null, renewAt: 0, sent } };
    case "1006":
      return { kind: "throttled" };
    default:
      return { kind: "unavailable", reason: "vendor_error", detail };
  }
}

function stateOf(sent: unknown): State | null {
  if (!isRecord(sent)) return null;
  const device = id.parse(sent.imei);
  if (device === null) return null;
  const state = JSON.stringify([sent.gpsTime, sent.lat, sent.lng, sent.posType]);
  return { device, state, fixTime: isoTimeAssumedUtc.parse(sent.gpsTime) };
}

function unreadable(detail: string): PullResult<never> {
  return { kind: "unavailable", reason: "unreadable_answer", detail };
}
