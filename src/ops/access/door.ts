/** The door of the ops endpoint: whom it lets in, by token or session, and which requests it turns down whoever asks. */

import type { Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { getCookie, setCookie } from "hono/cookie";
import type { OpsToken } from "../../config/ops-tokens.ts";
import type { Events } from "../../events.ts";
import { createGuessing } from "../../limits/guessing.ts";
import type { EndedSessions } from "../../queue/redis/ended-sessions.ts";
import type { OpsRefusal } from "../../status.ts";
import { loginPage } from "../page/assets.ts";
import { createEndings } from "./endings.ts";
import { addressOf, isHttps, isOurHost, isSameOrigin, type OwnHosts } from "./origin.ts";
import { createSessions, type Session } from "./session.ts";
import { type OpsEnv, sightOf, type Topology } from "./sight.ts";
import type { Trail } from "./trail.ts";

export interface DoorParts {
  tokens: readonly OpsToken[];
  hosts: OwnHosts;
  topology: Topology;
  trail: Trail;
  endedSessions: EndedSessions;
  events: Pick<Events, "opsRefused" | "authFailed" | "incident">;
}

/** For routes that decide by themselves. */
export interface Guards {
  trail: Trail;
  refuse(c: Context<OpsEnv>, reason: OpsRefusal): Response;
}

/** Under TLS a name that only this host can set, for this host alone; without TLS there is nothing like it. */
const COOKIE_NAMES = { https: "__Host-waypost_session", http: "waypost_session" } as const;
const COOKIE = { httpOnly: true, sameSite: "Strict", path: "/" } as const;
/** A token and a form field's name; anything longer is no login. */
const MAX_LOGIN_BYTES = 4096;

const REFUSALS: Record<OpsRefusal, { status: 403 | 415 | 421; detail: string }> = {
  wrong_host: {
    status: 421,
    detail: "This name is not ours. If it should be, add it to ops.hosts of the configuration.",
  },
  cross_site: {
    status: 403,
    detail:
      "A session may change something only from a page of ours. Send the token as a bearer instead, or name the page's host in ops.hosts.",
  },
  not_json: { status: 415, detail: "The content type must be application/json." },
  role: { status: 403, detail: "This needs a token with role operate; yours has role read." },
};

type Asker =
  | { kind: "known"; token: OpsToken; session: Session | null }
  /** `retryAfterS` once its address was wrong too often. */
  | { kind: "nobody"; retryAfterS: number | null };

/** Methods that change nothing. */
const ASKING = new Set(["GET", "HEAD"]);
/** They look at their body first: a dry run is only a question. */
const DECIDE_BY_THEMSELVES = new Set(["/dead-letters/redrive", "/quarantine/redrive"]);

/**
 * Routes added before are open by whatever name we are asked: orchestrators have names of their own, and are told one word.
 * Routes added afterwards are behind the door. `openRoutes` adds what the login form needs.
 */
export function shutDoor(app: Hono<OpsEnv>, parts: DoorParts, openRoutes: () => void): Guards {
  const { hosts, topology, trail, events } = parts;
  const sessions = createSessions(parts.tokens, Date.now);
  const endings = createEndings(parts.endedSessions, Date.now);
  const guessing = createGuessing({ door: "ops", events, where: () => "ops login" });

  function refuse(c: Context<OpsEnv>, reason: OpsRefusal): Response {
    const { method, path } = c.req;
    events.opsRefused({ reason, method, path, from: addressOf(c) });
    const { status, detail } = REFUSALS[reason];
    return c.json({ error: reason, detail }, status);
  }

  /** Who the request is from; a session that has been ended is nobody's. */
  async function whoAsks(c: Context<OpsEnv>): Promise<Asker> {
    const authorization = c.req.header("authorization");
    let retryAfterS: number | null = null;
    if (authorization !== undefined) {
      const bearer = await guessing.guard(addressOf(c), "", () => sessions.byBearer(authorization));
      if (bearer.kind === "right") return { kind: "known", token: bearer.value, session: null };
      trail.loginFailed(addressOf(c));
      retryAfterS = bearer.retryAfterS;
    }
    // No budget for these: nobody guesses 256 bits, and a page left open with an old session asks every 2 s.
    const session = sessions.byCookie(getCookie(c, COOKIE_NAMES[isHttps(c) ? "https" : "http"]));
    if (session && !(await endings.isEnded(session))) return { kind: "known", token: session.token, session };
    return { kind: "nobody", retryAfterS };
  }

  app.use(async (c, next) => (isOurHost(c, hosts) ? next() : refuse(c, "wrong_host")));

  openRoutes();
  app.get("/login", (c) => c.html(loginPage(null)));
  app.post("/login", bodyLimit({ maxSize: MAX_LOGIN_BYTES }), async (c) => {
    if (!isSameOrigin(c, hosts)) return refuse(c, "cross_site");
    const { token: given } = await c.req.parseBody();
    const text = typeof given === "string" ? given.trim() : "";
    const from = addressOf(c);
    const result = await guessing.guard(from, "", () => sessions.login(text));
    if (result.kind === "right") {
      const { token, cookie, maxAgeS } = result.value;
      const https = isHttps(c);
      setCookie(c, COOKIE_NAMES[https ? "https" : "http"], cookie, {
        ...COOKIE,
        secure: https,
        maxAge: maxAgeS,
      });
      trail.record({ action: "login", by: token.name, from, filter: {}, count: null, outcome: "done" });
      return c.redirect("/", 303);
    }
    trail.loginFailed(from);
    const { retryAfterS } = result;
    if (retryAfterS === null) return c.html(loginPage(WRONG), 401);
    c.header("Retry-After", String(retryAfterS));
    return c.html(loginPage(`Too many wrong tokens from your address. Try again in ${retryAfterS} s.`), 429);
  });
  app.post("/logout", async (c) => {
    if (!isSameOrigin(c, hosts)) return refuse(c, "cross_site");
    for (const [scheme, name] of Object.entries(COOKIE_NAMES)) {
      const cookie = getCookie(c, name);
      const session = sessions.byCookie(cookie);
      if (session && !(await endings.isEnded(session))) {
        endings.end(session);
        const by = session.token.name;
        trail.record({ action: "logout", by, from: addressOf(c), filter: {}, count: null, outcome: "done" });
      }
      const isOwnScheme = (scheme === "https") === isHttps(c);
      if (cookie !== undefined || isOwnScheme)
        setCookie(c, name, "", { ...COOKIE, secure: scheme === "https", maxAge: 0 });
    }
    return c.redirect("/login", 303);
  });

  app.use(async (c, next) => {
    const asker = await whoAsks(c);
    if (asker.kind === "nobody") {
      if (c.req.path === "/" && c.req.header("authorization") === undefined) return c.redirect("/login", 303);
      if (asker.retryAfterS !== null) {
        c.header("Retry-After", String(asker.retryAfterS));
        return c.json({ error: "too_many_wrong_tokens" }, 429);
      }
      c.header("WWW-Authenticate", "Bearer");
      return c.json({ error: "unauthorized" }, 401);
    }
    c.set("token", asker.token);
    c.set("sight", sightOf(asker.token, topology));
    if (ASKING.has(c.req.method)) return next();
    if (asker.session && !isSameOrigin(c, hosts)) return refuse(c, "cross_site");
    if (asker.token.role !== "operate" && !DECIDE_BY_THEMSELVES.has(c.req.path)) return refuse(c, "role");
    if (!isJson(c.req.header("content-type"))) return refuse(c, "not_json");
    return next();
  });

  return { trail, refuse };
}

const WRONG =
  "That is not a token of this gateway. Its tokens are ops.token or ops.tokens in the configuration.";

function isJson(contentType: string | undefined): boolean {
  return /^application\/json\s*(;|$)/i.test(contentType ?? "");
}
