/** Access tokens by OAuth client credentials: one per credential and process, renewed before it expires. */

import { setTimeout as delay } from "node:timers/promises";
import { type Backoff, backoffMs } from "../time.ts";
import { isRecord } from "../untrusted.ts";
import { parseJson, retryAfterMs } from "./answer.ts";
import type { Answer, Http, HttpRequest } from "./exchange.ts";

export interface Credential {
  /** The token service; `/connect/token` is added unless it is there. */
  authUrl: string;
  clientId: string;
  clientSecret: string;
}

export interface Token {
  readonly value: string;
  /** By the tokens' clock: after this a new one is fetched while this one is still used. */
  readonly refreshAt: number;
  /** By the tokens' clock: after this it is not used any more. */
  readonly unusableAt: number;
}

export type TokenResult =
  | { kind: "token"; token: Token }
  /** Passes by itself: the network, a 5xx, too many requests. */
  | { kind: "unavailable"; detail: string; afterMs: number }
  /** A person has to correct the credentials. */
  | { kind: "refused"; detail: string; afterMs: number };

type Failure = Exclude<TokenResult, { kind: "token" }>;

export interface Tokens {
  /** Never rejects. Callers share a fetch under way. */
  get(credential: Credential, timeoutMs: number): Promise<TokenResult>;
  /** Drops a token that was refused; does nothing if another has replaced it. */
  invalidate(credential: Credential, token: Token): void;
}

/** A slower answer is given up; integrators report answers well below a second. */
const MAX_TIMEOUT_MS = 15_000;
/** A token must outlive the request it travels with, and the difference between two clocks. */
const MARGIN_MS = 30_000;
/** Renewed at 75 to 85 % of its life, drawn anew each time: credentials fetched together drift apart. */
const REFRESH_FROM = 0.75;
const REFRESH_SPREAD = 0.1;
/** ServiceTitan gives 900 s; an answer without a lifetime counts as this one. */
const ASSUMED_LIFE_MS = 300_000;
const MAX_LIFE_MS = 86_400_000;
/** The token endpoint is throttled: at most one request a second, and after failures less and less. */
const MIN_SPACING_MS = 1000;
/** Half of a wait is drawn, so that processes sharing a credential do not ask at the same moment. */
const BACKOFF: Backoff = { firstMs: MIN_SPACING_MS, maxMs: 30_000, jitter: 0.5 };

interface Entry {
  token: Token | null;
  fetching: Promise<TokenResult> | null;
  failure: Failure | null;
  failures: number;
  /** By the tokens' clock: no request before. */
  notBefore: number;
}

/**
 * `now` gives milliseconds that only grow: with a clock that can be set back, a failure while it was ahead would make
 * every later request wait for as long.
 */
export function createTokens({
  http,
  now = () => performance.now(),
}: {
  http: Http;
  now?: () => number;
}): Tokens {
  const entries = new Map<string, Entry>();

  function entryOf({ authUrl, clientId, clientSecret }: Credential): Entry {
    // With the secret, so that a destination with a wrong secret does not work by another destination's token.
    const key = JSON.stringify([authUrl, clientId, clientSecret]);
    let entry = entries.get(key);
    if (entry === undefined) {
      entry = { token: null, fetching: null, failure: null, failures: 0, notBefore: 0 };
      entries.set(key, entry);
    }
    return entry;
  }

  function get(credential: Credential, timeoutMs: number): Promise<TokenResult> {
    const entry = entryOf(credential);
    const at = now();
    const { token } = entry;
    if (token !== null && at < token.unusableAt) {
      if (at >= token.refreshAt && at >= entry.notBefore && entry.fetching === null) {
        start(entry, credential, timeoutMs);
      }
      return Promise.resolve({ kind: "token", token });
    }
    if (entry.fetching !== null) return entry.fetching;
    if (entry.failure !== null && at < entry.notBefore) {
      return Promise.resolve({ ...entry.failure, afterMs: entry.notBefore - at });
    }
    return start(entry, credential, timeoutMs);
  }

  function start(entry: Entry, credential: Credential, timeoutMs: number): Promise<TokenResult> {
    const fetching = fetchInto(entry, credential, timeoutMs).finally(() => {
      entry.fetching = null;
    });
    entry.fetching = fetching;
    return fetching;
  }

  async function fetchInto(entry: Entry, credential: Credential, timeoutMs: number): Promise<TokenResult> {
    // A wait happens only when a token was refused within a second of being fetched.
    const early = entry.notBefore - now();
    if (early > 0) await delay(Math.min(early, MIN_SPACING_MS));
    // The lifetime counts from before the request, so that a slow answer does not lengthen it.
    const at = now();
    const result = await request(http, credential, Math.min(timeoutMs, MAX_TIMEOUT_MS), at);
    if (result.kind === "token") {
      entry.token = result.token;
      entry.failure = null;
      entry.failures = 0;
      entry.notBefore = at + MIN_SPACING_MS;
      return result;
    }
    const afterMs = Math.max(Math.ceil(backoffMs(entry.failures, BACKOFF)), result.afterMs);
    entry.failures++;
    entry.notBefore = now() + afterMs;
    entry.failure = { ...result, afterMs };
    return entry.failure;
  }

  function invalidate(credential: Credential, token: Token): void {
    const entry = entryOf(credential);
    if (entry.token === token) entry.token = null;
  }

  return { get, invalidate };
}

/** The request for a token, but for the time it may take. */
export function tokenRequestOf({
  authUrl,
  clientId,
  clientSecret,
}: Credential): Omit<HttpRequest, "timeoutMs"> {
  const url = new URL(authUrl);
  return {
    origin: url.origin,
    path: url.pathname.endsWith("/connect/token")
      ? url.pathname
      : `${url.pathname.replace(/\/$/, "")}/connect/token`,
    headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: clientSecret,
    }).toString(),
  };
}

async function request(
  http: Http,
  credential: Credential,
  timeoutMs: number,
  at: number,
): Promise<TokenResult> {
  const exchanged = await http.exchange({ ...tokenRequestOf(credential), timeoutMs });
  if (exchanged.kind === "failed") {
    return unavailable(`The token endpoint gave no answer (${exchanged.code}).`, 0);
  }
  return resultOf(exchanged.answer, at);
}

/** Bodies are never quoted: errors can echo the client id, good answers hold the token. */
function resultOf(answer: Answer, at: number): TokenResult {
  const { status, body } = answer;
  const json = body === null ? undefined : parseJson(body);
  if (status >= 200 && status <= 299) {
    const token = isRecord(json) ? tokenOf(json, at) : null;
    if (token !== null) return { kind: "token", token };
    return unavailable(`The token endpoint answered ${status} without a usable token.`, 0);
  }
  const { words, passes } = tokenRefusalOf(answer);
  if (passes) {
    const afterMs = retryAfterMs(answer, Date.now()) ?? 0;
    return unavailable(`The token endpoint cannot serve now (${words}).`, afterMs);
  }
  return { kind: "refused", detail: `The token endpoint refused the credentials (${words}).`, afterMs: 0 };
}

/** What an answer without a token says; `passes`: by itself, where nobody has to correct the credentials. */
export function tokenRefusalOf({ status, body }: Answer): {
  code: string | null;
  words: string;
  passes: boolean;
} {
  const json = body === null ? undefined : parseJson(body);
  const said = isRecord(json) ? json.error : undefined;
  const code = typeof said === "string" && OAUTH_ERRORS.has(said) ? said : null;
  const passes = status === 408 || status === 429 || status >= 500 || code === "temporarily_unavailable";
  return { code, words: code === null ? `HTTP ${status}` : `${code}, HTTP ${status}`, passes };
}

function unavailable(detail: string, afterMs: number): Failure {
  return { kind: "unavailable", detail, afterMs };
}

function tokenOf(json: Record<string, unknown>, at: number): Token | null {
  const value = json.access_token;
  // It travels in a header: printable ASCII, or the header cannot be sent.
  if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) return null;
  const lifeS = Number(json.expires_in);
  const lifeMs = lifeS > 0 ? Math.min(lifeS * 1000, MAX_LIFE_MS) : ASSUMED_LIFE_MS;
  return {
    value,
    refreshAt: at + lifeMs * (REFRESH_FROM + Math.random() * REFRESH_SPREAD),
    // The whole margin would use up a lifetime of two minutes or less.
    unusableAt: at + lifeMs - Math.min(MARGIN_MS, lifeMs / 4),
  };
}

/** RFC 6749 §5.2, and the two of §4.1.2.1 that servers use here as well. Any other text may be an echo. */
const OAUTH_ERRORS = new Set([
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_scope",
  "server_error",
  "temporarily_unavailable",
]);
