/** Decides who may see the ops endpoint: a bearer token, or a signed session that a browser got for it. */

import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** One shift; then the token is asked for again. */
const SESSION_S = 12 * 60 * 60;
/** Failed logins of one address in one window. The token has at least 16 characters, so this only stops noise. */
const MAX_FAILURES = 10;
const WINDOW_MS = 60_000;
/** Addresses remembered; above it the oldest is forgotten. */
const MAX_ADDRESSES = 1000;

export const SESSION_COOKIE = "waypost_session";

export type LoginResult =
  | { kind: "accepted"; cookie: string; maxAgeS: number }
  | { kind: "wrong" }
  | { kind: "too_many"; retryAfterS: number };

export interface Sessions {
  /** The value of an Authorization header. */
  acceptsBearer(authorization: string | undefined): boolean;
  acceptsCookie(cookie: string | undefined): boolean;
  login(token: string, address: string): LoginResult;
}

export function createSessions({ token, now }: { token: string; now: () => number }): Sessions {
  // Derived from the token, so that a new token ends all sessions, and every process knows the key.
  const key = createHmac("sha256", token).update("waypost ops session").digest();
  const failures = new Map<string, { since: number; count: number }>();

  const sign = (expiresAtMs: string) => createHmac("sha256", key).update(expiresAtMs).digest("base64url");

  function acceptsBearer(authorization: string | undefined): boolean {
    const given = authorization?.match(/^Bearer +(.+)$/i)?.[1];
    return given !== undefined && isSame(given, token);
  }

  function acceptsCookie(cookie: string | undefined): boolean {
    const [expiresAtMs = "", signature = ""] = (cookie ?? "").split(".");
    return isSame(signature, sign(expiresAtMs)) && Number(expiresAtMs) > now();
  }

  function login(given: string, address: string): LoginResult {
    const at = now();
    // Before the count: behind a proxy all share one address, and a stranger's noise must not lock the right token out.
    if (isSame(given, token)) {
      const expiresAtMs = String(at + SESSION_S * 1000);
      return { kind: "accepted", cookie: `${expiresAtMs}.${sign(expiresAtMs)}`, maxAgeS: SESSION_S };
    }
    const known = failures.get(address);
    const current = known && at - known.since < WINDOW_MS ? known : { since: at, count: 0 };
    if (current.count >= MAX_FAILURES) {
      return { kind: "too_many", retryAfterS: Math.ceil((current.since + WINDOW_MS - at) / 1000) };
    }
    failures.delete(address);
    failures.set(address, { since: current.since, count: current.count + 1 });
    const oldest = failures.size > MAX_ADDRESSES ? failures.keys().next() : undefined;
    if (oldest && !oldest.done) failures.delete(oldest.value);
    return { kind: "wrong" };
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
