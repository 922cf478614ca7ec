/** The door of the ops endpoint: lets in requests with a token or a session, and refuses those that no caller may make. */

import type { Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { getCookie, setCookie } from "hono/cookie";
import type { OpsToken } from "../../config/ops-tokens.ts";
import type { Events } from "../../events/events.ts";
import { createGuessing } from "../../limits/guessing.ts";
import type { EndedSessions } from "../../queue/redis/ended-sessions.ts";
import type { OpsRefusal } from "../../status/operators.ts";
import { refused } from "../api/errors.ts";
import { loginPage } from "../page/assets.ts";
import { createEndings } from "./endings.ts";
import { type Links, OPEN_PATH } from "./links.ts";
import { cookieOfLink, goOnPage, sessionOfLink } from "./open-link.ts";
import { addressOf, isHttps, isOurHost, isSameOrigin, type OwnHosts } from "./origin.ts";
import { createSessions, type Session } from "./session.ts";
import { type OpsEnv, sightOf, type Topology } from "./sight.ts";
import type { Trail } from "./trail.ts";

export interface DoorDeps {
  tokens: () => readonly OpsToken[];
  hosts: OwnHosts;
  topology: Topology;
  trail: Trail;
  endedSessions: EndedSessions;
  links: Links;
  events: Pick<Events, "opsRefused" | "authFailed" | "incident">;
}

/** For routes that check the role themselves. */
export interface Guards {
  trail: Trail;
  refuse: ReturnType<typeof createDoor>["refuse"];
}

/** Under TLS a name that only this host can set, for this host alone; without TLS there is no such protection. */
const COOKIE_NAMES = { https: "__Host-waypost_session", http: "waypost_session" } as const;
const COOKIE = { httpOnly: true, sameSite: "Strict", path: "/" } as const;
/** A token and the name of a form field; a longer body is no login. */
const MAX_LOGIN_BYTES = 4096;

const DETAILS: Record<OpsRefusal, string> = {
  wrong_host: "This name is not ours. If it should be, add it to ops.hosts of the configuration.",
  cross_site:
    "A session may change something only from a page of ours. Send the token as a bearer instead, or name the page's host in ops.hosts.",
  not_json: "The content type must be application/json.",
  role: "This needs a token with role operate; yours has role read.",
};

type Caller =
  | { kind: "known"; token: OpsToken; session: Session | null }
  /** `retryAfterS` once its address was wrong too often. */
  | { kind: "unknown"; retryAfterS: number | null };

const SAFE_METHODS = new Set(["GET", "HEAD"]);
/** These read their body before they check the role: a dry run changes nothing. */
const CHECK_ROLE_THEMSELVES = new Set(["/api/v1/dead-letters/redrive", "/api/v1/quarantine/redrive"]);

/**
 * Routes added before are open under any host name: orchestrators use names of their own, and get one word. Routes added
 * afterwards are behind the door. `openRoutes` adds what the login form needs.
 */
export function shutDoor(app: Hono<OpsEnv>, deps: DoorDeps, openRoutes: () => void): Guards {
  const { hosts, topology, trail } = deps;
  const door = createDoor(deps);
  const { identify, refuse } = door;

  app.use(async (c, next) => (isOurHost(c, hosts) ? next() : refuse(c, "wrong_host")));
  openRoutes();
  serveLogin(app, deps, door);
  serveOpenLink(app, deps, door);
  serveLogout(app, deps, door);

  app.use(async (c, next) => {
    const caller = await identify(c);
    if (caller.kind === "unknown") return turnAway(c, caller.retryAfterS);
    const { token, session } = caller;
    c.set("token", token);
    c.set("sight", sightOf(token, topology));
    c.set("isStillIn", async () => session === null || (await door.isOpen(session)));
    if (SAFE_METHODS.has(c.req.method)) return next();
    if (session && !isSameOrigin(c, hosts)) return refuse(c, "cross_site");
    if (token.role !== "operate" && !CHECK_ROLE_THEMSELVES.has(c.req.path)) return refuse(c, "role");
    if (!isJson(c.req.header("content-type"))) return refuse(c, "not_json");
    // The library that reads the body knows one spelling.
    c.req.raw.headers.set("content-type", "application/json");
    return next();
  });

  return { trail, refuse };
}

type Door = ReturnType<typeof createDoor>;

function createDoor({ tokens, endedSessions, links, topology, trail, events }: DoorDeps) {
  const sessions = createSessions(tokens, Date.now);
  const endings = createEndings(endedSessions, Date.now);
  const guessing = createGuessing({ door: "ops", events, where: () => "ops login" });

  function refuse<R extends OpsRefusal>(c: Context<OpsEnv>, reason: R) {
    const { method, path } = c.req;
    events.opsRefused({ reason, method, path, from: addressOf(c) });
    return refused(c, reason, DETAILS[reason]);
  }

  /** The session that a cookie proves, unless it has been ended. */
  async function sessionOf(cookie: string | undefined): Promise<Session | null> {
    const session = sessions.byCookie(cookie) ?? sessionOfLink(cookie ?? "", links, topology);
    return session && !(await endings.isEnded(session)) ? session : null;
  }

  async function isOpen(session: Session): Promise<boolean> {
    return session.endsAtMs > Date.now() && !(await endings.isEnded(session));
  }

  async function identify(c: Context<OpsEnv>): Promise<Caller> {
    const authorization = c.req.header("authorization");
    let retryAfterS: number | null = null;
    if (authorization !== undefined) {
      const bearer = await guessing.guard(addressOf(c), "", () => sessions.byBearer(authorization));
      if (bearer.kind === "right") return { kind: "known", token: bearer.value, session: null };
      trail.loginFailed(addressOf(c));
      retryAfterS = bearer.retryAfterS;
    }
    // Cookies have no budget: 256 bits cannot be guessed, and a page left open with an old session asks every 2 s.
    const session = await sessionOf(getCookie(c, COOKIE_NAMES[isHttps(c) ? "https" : "http"]));
    return session ? { kind: "known", token: session.token, session } : { kind: "unknown", retryAfterS };
  }

  return { sessions, endings, guessing, refuse, sessionOf, isOpen, identify };
}

/** What a person opens in a browser. */
const PAGES = /^\/(tenants\/[^/]+)?$/;

function turnAway(c: Context<OpsEnv>, retryAfterS: number | null): Response {
  if (PAGES.test(c.req.path) && c.req.header("authorization") === undefined) return c.redirect("/login", 303);
  if (retryAfterS !== null) {
    c.header("Retry-After", String(retryAfterS));
    return refused(c, "too_many_wrong_tokens", `Try again in ${retryAfterS} s.`);
  }
  c.header("WWW-Authenticate", "Bearer");
  return refused(
    c,
    "unauthorized",
    "Send a token of ops.token or ops.tokens as a bearer, or log in at /login.",
  );
}

function serveLogin(
  app: Hono<OpsEnv>,
  { hosts, trail }: DoorDeps,
  { sessions, guessing, refuse }: Door,
): void {
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
}

function serveOpenLink(app: Hono<OpsEnv>, { trail, links, topology }: DoorDeps, { sessionOf }: Door): void {
  app.get(`${OPEN_PATH}:link`, async (c) => {
    const cookie = cookieOfLink(c.req.param("link"));
    const link = links.read(c.req.param("link"));
    const session = sessionOfLink(cookie, links, topology) && (await sessionOf(cookie));
    if (!link || !session) return c.html(loginPage(NO_LINK), 404);
    const https = isHttps(c);
    const maxAge = Math.floor((session.endsAtMs - Date.now()) / 1000);
    setCookie(c, COOKIE_NAMES[https ? "https" : "http"], cookie, { ...COOKIE, secure: https, maxAge });
    const filter = { tenant: link.tenant, by: link.by };
    const from = addressOf(c);
    trail.record({ action: "login", by: session.token.name, from, filter, count: null, outcome: "done" });
    return c.html(goOnPage(link.tenant));
  });
}

function serveLogout(
  app: Hono<OpsEnv>,
  { hosts, trail }: DoorDeps,
  { endings, refuse, sessionOf }: Door,
): void {
  app.post("/logout", async (c) => {
    if (!isSameOrigin(c, hosts)) return refuse(c, "cross_site");
    for (const [scheme, name] of Object.entries(COOKIE_NAMES)) {
      const cookie = getCookie(c, name);
      const session = await sessionOf(cookie);
      if (session) {
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
}

const NO_LINK = "This link has ended, or is none of ours. Ask whoever gave it to you for a new one.";

const WRONG =
  "That is not a token of this gateway. Its tokens are ops.token or ops.tokens in the configuration.";

function isJson(contentType: string | undefined): boolean {
  return /^application\/json\s*(;|$)/i.test(contentType ?? "");
}
