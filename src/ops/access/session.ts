/** Identifies the caller: by the token in a bearer header, or by the session cookie of a browser. */

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { OpsToken } from "../../config/ops-tokens.ts";
import { whileSame } from "../while-same.ts";

/** One shift; after that the token has to be entered again. */
const SESSION_S = 12 * 60 * 60;

export interface Session {
  id: string;
  token: OpsToken;
  /** UTC milliseconds since 1970. */
  endsAtMs: number;
}

/** What a browser gets in exchange for a token. */
export interface Login {
  token: OpsToken;
  cookie: string;
  maxAgeS: number;
}

export interface Sessions {
  /** By the value of an Authorization header. */
  byBearer(authorization: string): OpsToken | null;
  /** By the value of the session cookie. Does not know whether a logout has ended the session. */
  byCookie(cookie: string | undefined): Session | null;
  /** Null when `given` is not a token. */
  login(given: string): Login | null;
}

export function createSessions(tokens: () => readonly OpsToken[], now: () => number): Sessions {
  const known = whileSame(tokens, withKeys);

  /** Compares every token, whichever matches, so that the time taken reveals nothing. */
  function tokenMatching(given: string): OpsToken | null {
    const digest = digestOf(given);
    const matches = known().map((each) => (timingSafeEqual(each.digest, digest) ? each.token : null));
    return matches.find((token) => token !== null) ?? null;
  }

  function byBearer(authorization: string): OpsToken | null {
    const given = authorization.match(/^Bearer +(.+)$/i)?.[1];
    return given === undefined ? null : tokenMatching(given);
  }

  function byCookie(cookie: string | undefined): Session | null {
    const [name = "", id = "", endsAt = "", signature = ""] = (cookie ?? "").split(".");
    const own = known().find(({ token }) => token.name === name);
    if (!own || !isSame(signature, sign(own.key, `${name}.${id}.${endsAt}`))) return null;
    return Number(endsAt) > now() ? { id, token: own.token, endsAtMs: Number(endsAt) } : null;
  }

  function openSession(token: OpsToken): string {
    const own = known().find((each) => each.token === token);
    const signed = `${token.name}.${randomBytes(16).toString("hex")}.${now() + SESSION_S * 1000}`;
    return own ? `${signed}.${sign(own.key, signed)}` : "";
  }

  function login(given: string): Login | null {
    const token = tokenMatching(given);
    return token && { token, cookie: openSession(token), maxAgeS: SESSION_S };
  }

  return { byBearer, byCookie, login };
}

function withKeys(tokens: readonly OpsToken[]) {
  return tokens.map((token) => ({
    token,
    digest: digestOf(token.token),
    // Derived from the token, so that a new token ends the old sessions, and every process knows the key.
    key: createHmac("sha256", token.token).update("waypost ops session").digest(),
  }));
}

function sign(key: Buffer, text: string): string {
  return createHmac("sha256", key).update(text).digest("base64url");
}

/** Constant time for any lengths: it compares digests, not texts. */
function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(digestOf(given), digestOf(expected));
}

function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
