/** The ops endpoint: probes in the open; status, metrics, read-back and the page behind the token. */

import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { getCookie, setCookie } from "hono/cookie";
import { HTTPException } from "hono/http-exception";
import type { Registry } from "prom-client";
import { z } from "zod";
import type { Events } from "../events.ts";
import { createGuessing } from "../guessing.ts";
import type { BrokerState, IncidentState, PollerState, QueueStatus, SpoolStatus } from "../status.ts";
import type { ClockWatch } from "./clocks.ts";
import { diagnoseIncidents } from "./diagnose-incidents.ts";
import { diagnoseSpool, redisUnreachable } from "./diagnose-outside.ts";
import {
  type NoStatus,
  type OpsInfo,
  processStatus,
  type StatusDocument,
  statusDocument,
} from "./document.ts";
import { statusMetrics } from "./metrics.ts";
import { type Asset, LOGIN_ASSETS, loginPage, PAGE_ASSETS } from "./page/assets.ts";
import { isRange, type Questions, RANGE_RULE, serveQuestions } from "./questions.ts";
import { createRedriveRoutes, type RedriveRoutesParts } from "./redrive-routes.ts";
import { createSessions, SESSION_COOKIE } from "./session.ts";

/** One position as it was sent, for the read-back. */
export interface SentPing {
  latitude: number;
  longitude: number;
  /** In the destination's speed unit, as sent; null where unknown. */
  speed: number | null;
  heading: number | null;
  utcDateTime: string;
}

export interface PingQuery {
  technicianId: string;
  /** ISO, UTC, milliseconds. */
  fromUtc: string;
  toUtc: string;
}

export interface OpsParts extends Questions {
  token: string;
  queryStatus: () => Promise<QueueStatus>;
  queryPings: (query: PingQuery) => Promise<{ items: SentPing[]; reachesBackTo: string | null }>;
  brokers: () => BrokerState[];
  pollers: () => PollerState[];
  spool: () => SpoolStatus | null;
  redrive: RedriveRoutesParts;
  clocks: ClockWatch;
  incidents: () => IncidentState[];
  registry: Registry;
  ready: () => Promise<{ ready: boolean; problems: string[] }>;
  info: OpsInfo;
  events: Pick<Events, "failed" | "authFailed" | "incident">;
}

/** Redis answers in milliseconds or not at all; probes of Kubernetes give up after 1 s unless told otherwise. */
const READY_WITHIN_MS = 900;
/** The page asks every 2 s and must hear of a Redis that hangs. */
const STATUS_WITHIN_MS = 4000;
/** A token and a form field's name; anything longer is no login. */
const MAX_LOGIN_BYTES = 4096;

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

const pingQuery = z
  .strictObject({
    technicianId: z.string().min(1).max(100),
    fromUtc: z.iso.datetime({ offset: true, error: "must be a time such as 2026-11-20T14:00:00Z" }),
    toUtc: z.iso.datetime({ offset: true, error: "must be a time such as 2026-11-20T15:00:00Z" }),
  })
  .refine(({ fromUtc, toUtc }) => isRange(Date.parse(fromUtc), Date.parse(toUtc)), {
    path: ["toUtc"],
    error: RANGE_RULE,
  });

export function createOpsApp(parts: OpsParts): Hono {
  const { brokers, pollers, clocks, events, info, registry } = parts;
  const sessions = createSessions({ token: parts.token, now: Date.now });
  const guessing = createGuessing({ door: "ops", events, where: () => "ops login" });
  const queryStatus = shared(() => within(STATUS_WITHIN_MS, parts.queryStatus()));
  const app = new Hono();

  async function currentStatus(): Promise<StatusDocument | NoStatus> {
    const about = {
      process: processStatus(info, Date.now()),
      brokers: brokers(),
      pollers: pollers(),
      spool: parts.spool(),
      incidents: parts.incidents(),
    };
    try {
      const queue = await queryStatus();
      return statusDocument({ ...about, queue, clocks: clocks.offenders(), policies: info.policies });
    } catch (error) {
      events.failed({ where: "status", error });
      const detail = error instanceof Error ? error.message : String(error);
      return {
        at: new Date().toISOString(),
        ...about,
        problems: [
          redisUnreachable(detail),
          ...diagnoseSpool(about.spool),
          ...diagnoseIncidents(about.incidents, Date.now()),
        ],
      };
    }
  }

  app.use(secure);
  app.notFound((c) => c.json({ error: "not_found" }, 404));
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    events.failed({ where: "ops", error });
    return c.json({ error: "internal_error" }, 500);
  });

  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", async (c) => {
    const ready = await within(READY_WITHIN_MS, parts.ready()).then(
      (answer) => answer.ready,
      () => false,
    );
    return ready ? c.json({ status: "ok" }) : c.json({ status: "unavailable" }, 503);
  });

  serve(app, LOGIN_ASSETS);
  app.get("/login", (c) => c.html(loginPage(null)));
  app.post("/login", bodyLimit({ maxSize: MAX_LOGIN_BYTES }), async (c) => {
    const { token } = await c.req.parseBody();
    const given = typeof token === "string" ? token.trim() : "";
    const login = await guessing.guard(addressOf(c), "", () => sessions.login(given));
    if (login.kind === "right") {
      const { cookie, maxAgeS } = login.value;
      setCookie(c, SESSION_COOKIE, cookie, { ...COOKIE, secure: isHttps(c), maxAge: maxAgeS });
      return c.redirect("/", 303);
    }
    if (login.retryAfterS === null) {
      return c.html(loginPage("That is not the token. It is ops.token in the configuration."), 401);
    }
    c.header("Retry-After", String(login.retryAfterS));
    return c.html(
      loginPage(`Too many wrong tokens from your address. Try again in ${login.retryAfterS} s.`),
      429,
    );
  });
  app.post("/logout", (c) => {
    setCookie(c, SESSION_COOKIE, "", { ...COOKIE, secure: isHttps(c), maxAge: 0 });
    return c.redirect("/login", 303);
  });

  app.use(async (c, next) => {
    const authorization = c.req.header("authorization");
    const bearer =
      authorization === undefined
        ? null
        : await guessing.guard(addressOf(c), "", () => sessions.acceptsBearer(authorization) || null);
    if (bearer?.kind === "right") return next();
    // No budget for these: nobody guesses 256 bits, and a page left open with an old session asks every 2 s.
    if (sessions.acceptsCookie(getCookie(c, SESSION_COOKIE))) return next();
    if (c.req.path === "/" && bearer === null) return c.redirect("/login", 303);
    if (bearer !== null && bearer.retryAfterS !== null) {
      c.header("Retry-After", String(bearer.retryAfterS));
      return c.json({ error: "too_many_wrong_tokens" }, 429);
    }
    c.header("WWW-Authenticate", "Bearer");
    return c.json({ error: "unauthorized" }, 401);
  });

  serve(app, PAGE_ASSETS);
  app.get("/status", async (c) => {
    const status = await currentStatus();
    return c.json(status, "sources" in status ? 200 : 503);
  });
  app.get("/metrics", async (c) => {
    const [process, status] = await Promise.all([registry.metrics(), currentStatus().then(statusMetrics)]);
    return c.body(`${process}\n${status}`, 200, { "content-type": registry.contentType });
  });
  app.get("/quarantine", async (c) => {
    const status = await currentStatus();
    return "sources" in status ? c.json(status.quarantine) : c.json(status, 503);
  });
  serveQuestions(app, parts);
  app.get("/dead-letters", async (c) => {
    const status = await currentStatus();
    return "sources" in status ? c.json(status.deadLetters) : c.json(status, 503);
  });
  app.get("/gps-pings", async (c) => {
    const query = pingQuery.safeParse(c.req.query());
    if (!query.success) {
      const problems = query.error.issues.map(
        (issue) => `${issue.path.join(".") || "query"}: ${issue.message}`,
      );
      return c.json({ error: "bad_query", problems }, 400);
    }
    const { technicianId, fromUtc, toUtc } = query.data;
    return c.json(await parts.queryPings({ technicianId, fromUtc: utc(fromUtc), toUtc: utc(toUtc) }));
  });
  app.route("/", createRedriveRoutes(parts.redrive));

  return app;
}

const COOKIE = { httpOnly: true, sameSite: "Strict", path: "/" } as const;

const secure: MiddlewareHandler = async (c, next) => {
  await next();
  c.header("Content-Security-Policy", CONTENT_SECURITY_POLICY);
  c.header("X-Content-Type-Options", "nosniff");
  c.header("X-Frame-Options", "DENY");
  c.header("Referrer-Policy", "no-referrer");
  c.header("Cross-Origin-Opener-Policy", "same-origin");
  c.header("Cross-Origin-Resource-Policy", "same-origin");
  c.header("Cache-Control", "no-store");
};

function serve(app: Hono, assets: readonly Asset[]): void {
  for (const { path, contentType, body } of assets) {
    app.get(path, (c) => c.body(body, 200, { "content-type": contentType }));
  }
}

/** A proxy in front may speak TLS for us; whoever forges the header only loses his own session. */
function isHttps(c: Context): boolean {
  return c.req.header("x-forwarded-proto") === "https" || c.req.url.startsWith("https:");
}

/** The peer as the Node server knows it; requests made without a server have none. */
function addressOf(c: Context): string {
  const server: { incoming?: { socket?: { remoteAddress?: string } } } | undefined = c.env;
  return server?.incoming?.socket?.remoteAddress ?? "unknown";
}

function utc(time: string): string {
  return new Date(time).toISOString();
}

/** Several viewers at once are one question to Redis. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | null = null;
  return () => {
    underWay ??= ask().finally(() => {
      underWay = null;
    });
    return underWay;
  };
}

async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
