/** The ops endpoint: probes open to all; the API, metrics and the page behind the token. */

import { Hono, type MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import type { Registry } from "prom-client";
import type { OpsToken } from "../config/ops-tokens.ts";
import type { Events } from "../events/events.ts";
import type { EndedSessions } from "../queue/redis/ended-sessions.ts";
import type { Eraser } from "../queue/upkeep/erase.ts";
import { withTimeout } from "../time.ts";
import { shutDoor } from "./access/door.ts";
import { createLinks } from "./access/links.ts";
import type { OwnHosts } from "./access/origin.ts";
import { limitedOwn, type OpsEnv, type OwnParts, type Topology } from "./access/sight.ts";
import type { Trail } from "./access/trail.ts";
import { API_PATH, createApi } from "./api/api.ts";
import { refused } from "./api/errors.ts";
import type { ApiDeps, Devices, LogLevels, ReloadRequest } from "./api/routes.ts";
import type { Captures } from "./captures.ts";
import type { Lookup } from "./lookup.ts";
import { statusMetrics } from "./metrics/scrape.ts";
import { type Asset, LOGIN_ASSETS, PAGE_ASSETS } from "./page/assets.ts";
import type { Redriver } from "./redrive.ts";
import type { Snapshots } from "./snapshot.ts";
import type { OpsInfo } from "./status-document.ts";
import type { Tenants } from "./tenants.ts";

export interface OpsDeps extends Lookup, LogLevels {
  tokens: () => readonly OpsToken[];
  reload: ReloadRequest;
  /** Where the endpoint listens, and its other host names. */
  hosts: OwnHosts;
  topology: Topology;
  snapshots: Snapshots;
  redrive: Redriver;
  captures: Captures;
  instructionsOf: ApiDeps["instructionsOf"];
  erase: Eraser;
  tenants: Tenants;
  devices: Devices;
  /** What this process does itself, for its metrics; the snapshots have what all processes do. */
  own: () => OwnParts;
  registry: Registry;
  /** Whether /metrics of this process has what Redis holds: one process of several. */
  exportsRedis: () => boolean;
  ready: () => Promise<{ ready: boolean; problems: string[] }>;
  info: OpsInfo;
  trail: Trail;
  endedSessions: EndedSessions;
  events: Pick<Events, "failed" | "opsRefused" | "authFailed" | "incident">;
}

/** Redis answers in milliseconds or not at all; probes of Kubernetes give up after 1 s by default. */
const READY_WITHIN_MS = 900;
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

export function createOpsApp(deps: OpsDeps): Hono<OpsEnv> {
  const { events, info, registry } = deps;
  const statusFor = deps.snapshots.of;
  const app = new Hono<OpsEnv>();

  app.use(secure);
  app.notFound((c) => refused(c, "not_found"));
  app.onError((error, c) => {
    // A body that is no JSON: everything else that a request can be is refused by its schema.
    if (error instanceof HTTPException && error.status === 400)
      return refused(c, "bad_request", error.message);
    if (error instanceof HTTPException) return error.getResponse();
    events.failed({ where: "ops", error });
    return refused(c, "internal_error");
  });

  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", async (c) => {
    const ready = await withTimeout(READY_WITHIN_MS, deps.ready()).then(
      (answer) => answer.ready,
      () => false,
    );
    return ready ? c.json({ status: "ok" }) : c.json({ status: "unavailable" }, 503);
  });

  const links = createLinks(deps.tokens, Date.now);
  const guards = shutDoor(app, { ...deps, links }, () => serve(app, LOGIN_ASSETS));

  serve(app, PAGE_ASSETS);
  app.get("/metrics", async (c) => {
    const { sight } = c.var;
    // This process's own metrics carry the names of all tenants as labels.
    const own = sight.within === null ? registry.metrics() : "";
    const [process, status] = await Promise.all([own, statusFor(sight)]);
    const metrics = statusMetrics(status, {
      exportsRedis: deps.exportsRedis(),
      own: limitedOwn(deps.own(), sight),
    });
    return c.body(`${process}\n${metrics}`, 200, { "content-type": registry.contentType });
  });
  app.route(API_PATH, createApi({ ...deps, links, version: info.version, statusFor, guards }));

  return app;
}

const secure: MiddlewareHandler<OpsEnv> = async (c, next) => {
  await next();
  c.header("Content-Security-Policy", c.get("contentSecurityPolicy") ?? CONTENT_SECURITY_POLICY);
  c.header("X-Content-Type-Options", "nosniff");
  c.header("X-Frame-Options", "DENY");
  c.header("Referrer-Policy", "no-referrer");
  c.header("Cross-Origin-Opener-Policy", "same-origin");
  c.header("Cross-Origin-Resource-Policy", "same-origin");
  c.header("Cache-Control", "no-store");
};

function serve(app: Hono<OpsEnv>, assets: readonly Asset[]): void {
  for (const { path, contentType, body } of assets) {
    app.get(path, (c) => c.body(body, 200, { "content-type": contentType }));
  }
}
