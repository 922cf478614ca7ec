/** Decides who may see the ops endpoint: a bearer token, or a signed session that a browser got for it. */

import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** One shift; then the token is asked for again. */
const SESSION_S = 12 * 60 * 60;

export const SESSION_COOKIE = "waypost_session";

/** What a browser is given for the token. */
export interface Session {
  cookie: string;
  maxAgeS: number;
}

export interface Sessions {
  /** The value of an Authorization header. */
  acceptsBearer(authorization: string | undefined): boolean;
  acceptsCookie(cookie: string | undefined): boolean;
  /** Null when it is not the token. */
  login(token: string): Session | null;
}

export function createSessions({ token, now }: { token: string; now: () => number }): Sessions {
  // Derived from the token, so that a new token ends all sessions, and every process knows the key.
  const key = createHmac("sha256", token).update("waypost ops session").digest();

  const sign = (expiresAtMs: string) => createHmac("sha256", key).update(expiresAtMs).digest("base64url");

  function acceptsBearer(authorization: string | undefined): boolean {
    const given = authorization?.match(/^Bearer +(.+)$/i)?.[1];
    return given !== undefined && isSame(given, token);
  }

  function acceptsCookie(cookie: string | undefined): boolean {
    const [expiresAtMs = "", signature = ""] = (cookie ?? "").split(".");
    return isSame(signature, sign(expiresAtMs)) && Number(expiresAtMs) > now();
  }

  function login(given: string): Session | null {
    if (!isSame(given, token)) return null;
    const expiresAtMs = String(now() + SESSION_S * 1000);
    return { cookie: `${expiresAtMs}.${sign(expiresAtMs)}`, maxAgeS: SESSION_S };
  }

  return { acceptsBearer, acceptsCookie, login };
}

/** Constant time whatever the lengths: digests are compared, not texts. */
function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
