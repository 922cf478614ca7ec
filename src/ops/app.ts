/** The ops endpoint: probes open to all; status, metrics, lookups and the page behind the token. */

import { Hono, type MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import type { Registry } from "prom-client";
import { z } from "zod";
import type { OpsToken } from "../config/ops-tokens.ts";
import type { Events } from "../events/events.ts";
import type { EndedSessions } from "../queue/redis/ended-sessions.ts";
import type { BrokerState, IncidentState, PollerState, QueueStatus, SpoolStatus } from "../status.ts";
import { withTimeout } from "../time.ts";
import { shutDoor } from "./access/door.ts";
import type { OwnHosts } from "./access/origin.ts";
import type { OpsEnv, Topology } from "./access/sight.ts";
import type { Trail } from "./access/trail.ts";
import type { ClockWatch } from "./diagnose/clocks.ts";
import type { MappingFacts } from "./diagnose/mapping.ts";
import { type Lookup, serveLookup } from "./lookup-routes.ts";
import { statusMetrics } from "./metrics/scrape.ts";
import { type Asset, LOGIN_ASSETS, PAGE_ASSETS } from "./page/assets.ts";
import { type Redriver, serveRedrives } from "./redrive-routes.ts";
import { createSnapshots } from "./snapshot.ts";
import { brokerStatus, type OpsInfo, pollerStatus } from "./status-document.ts";

export interface OpsDeps extends Lookup {
  tokens: readonly OpsToken[];
  /** Where the endpoint listens, and its other host names. */
  hosts: OwnHosts;
  topology: Topology;
  /** With `within`, lists and sums cover these destinations only; the rest covers everything. */
  queryStatus: (within?: ReadonlySet<string>) => Promise<QueueStatus>;
  /** Whether messages could be stored the last time one was, and Redis is connected. */
  isStoring: () => boolean;
  /** For tests: how old a shared snapshot of the status may be. */
  snapshotEveryMs?: number;
  brokers: () => BrokerState[];
  pollers: () => PollerState[];
  spool: () => SpoolStatus | null;
  redrive: Redriver;
  clocks: ClockWatch;
  incidents: () => IncidentState[];
  /** Null: no mapping is configured. */
  mapping: () => MappingFacts | null;
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
/** The trail is one of few questions that Redis answers by itself. */
const TRAIL_WITHIN_MS = 4000;
/** Entries of the trail in one answer: by default, and at most. */
const TRAIL_ENTRIES = 200;
const MAX_TRAIL_ENTRIES = 1000;

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

const trailQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MAX_TRAIL_ENTRIES).default(TRAIL_ENTRIES),
});

export function createOpsApp(deps: OpsDeps): Hono<OpsEnv> {
  const { clocks, events, info, registry, trail } = deps;
  const snapshots = createSnapshots({
    queryStatus: deps.queryStatus,
    isStoring: deps.isStoring,
    facts: () => ({
      brokers: deps.brokers().map(brokerStatus),
      pollers: deps.pollers().map(pollerStatus),
      spool: deps.spool(),
      clocks: clocks.offenders(),
      incidents: deps.incidents(),
      mapping: deps.mapping(),
    }),
    info,
    failed: (error) => events.failed({ where: "status", error }),
    everyMs: deps.snapshotEveryMs,
  });
  const statusFor = snapshots.of;
  const app = new Hono<OpsEnv>();

  app.use(secure);
  app.notFound((c) => c.json({ error: "not_found" }, 404));
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    events.failed({ where: "ops", error });
    return c.json({ error: "internal_error" }, 500);
  });

  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", async (c) => {
    const ready = await withTimeout(READY_WITHIN_MS, deps.ready()).then(
      (answer) => answer.ready,
      () => false,
    );
    return ready ? c.json({ status: "ok" }) : c.json({ status: "unavailable" }, 503);
  });

  const guards = shutDoor(app, deps, () => serve(app, LOGIN_ASSETS));

  serve(app, PAGE_ASSETS);
  app.get("/status", async (c) => {
    const status = await statusFor(c.var.sight);
    return c.json(status, "sources" in status ? 200 : 503);
  });
  app.get("/metrics", async (c) => {
    const { sight } = c.var;
    // This process's own metrics carry the names of all tenants as labels.
    const own = sight.within === null ? registry.metrics() : "";
    const [process, status] = await Promise.all([own, statusFor(sight)]);
    const metrics = statusMetrics(status, { exportsRedis: deps.exportsRedis() });
    return c.body(`${process}\n${metrics}`, 200, { "content-type": registry.contentType });
  });
  app.get("/quarantine", async (c) => {
    const status = await statusFor(c.var.sight);
    return "sources" in status ? c.json(status.quarantine) : c.json(status, 503);
  });
  app.get("/dead-letters", async (c) => {
    const status = await statusFor(c.var.sight);
    return "sources" in status ? c.json(status.deadLetters) : c.json(status, 503);
  });
  app.get("/trail", async (c) => {
    const query = trailQuery.safeParse(c.req.query());
    if (!query.success) {
      return c.json({ error: "bad_query", problems: [`limit: must be 1 to ${MAX_TRAIL_ENTRIES}`] }, 400);
    }
    // A token limited to some tenants must not learn of the other operators and their addresses.
    const by = c.var.sight.within === null ? null : c.var.token.name;
    try {
      return c.json({ entries: await withTimeout(TRAIL_WITHIN_MS, trail.latest(query.data.limit, by)) });
    } catch (error) {
      events.failed({ where: "trail", error });
      return c.json({ error: "unavailable", detail: "Redis does not answer; the log has the trail." }, 503);
    }
  });
  serveLookup(app, deps, trail);
  serveRedrives(app, deps.redrive, guards);

  return app;
}

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

function serve(app: Hono<OpsEnv>, assets: readonly Asset[]): void {
  for (const { path, contentType, body } of assets) {
    app.get(path, (c) => c.body(body, 200, { "content-type": contentType }));
  }
}
