/** Routes about operators: what they did, and how much the log says. */

import { createRoute, z } from "@hono/zod-openapi";
import { withTimeout } from "../../time.ts";
import { operationOf } from "../access/trail.ts";
import { cursorOf, isPlaceOf, type Place, pageQuery, placeIn } from "./cursors.ts";
import { badCursor, refusals, refused } from "./errors.ts";
import { EXAMPLE_AUDIT } from "./position-examples.ts";
import { type Api, type ApiDeps, TAGS, unavailable } from "./routes.ts";
import { auditSchema, logLevelSchema, newLogLevelSchema } from "./schema/operators.ts";

/** Redis answers in milliseconds or not at all. */
const TRAIL_WITHIN_MS = 4000;

const CONCERNS_ALL = "The log is that of all tenants, and this token is limited to some.";

export function serveOperators(api: Api, deps: ApiDeps): void {
  const { events, guards, logLevel, setLogLevel } = deps;

  api.openapi(auditRoute, async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const { sight, token } = c.var;
    const list = { name: "audit", filter: {} };
    const after = placeIn(list, cursor, isTrailPlace);
    if (after === null) return badCursor(c);
    // A token limited to some tenants must not learn of the other operators and their addresses.
    const by = sight.within === null ? null : token.name;
    const place = after && { at: after[0], shown: after[1] };
    try {
      const found = await withTimeout(TRAIL_WITHIN_MS, guards.trail.latest(limit + 1, by, place));
      const items = found.slice(0, limit);
      const last = items.at(-1);
      if (!last || found.length <= limit) return c.json({ items, next: null }, 200);
      const sameTime = items.filter(({ at }) => at === last.at).length;
      const shown = sameTime + (place?.at === last.at ? place.shown : 0);
      return c.json({ items, next: cursorOf(list, [last.at, shown]) }, 200);
    } catch (error) {
      events.failed({ where: "trail", error });
      return unavailable(c);
    }
  });

  api.openapi(logLevelRoute, (c) => c.json({ level: logLevel() }, 200));

  api.openapi(setLogLevelRoute, async (c) => {
    const { level } = c.req.valid("json");
    if (c.var.sight.within !== null) return refused(c, "role", CONCERNS_ALL);
    await guards.trail.during(
      operationOf(c, "log_level", { from: logLevel(), to: level }),
      async () => setLogLevel(level),
      () => null,
    );
    return c.json({ level: logLevel() }, 200);
  });
}

const isTrailPlace = (place: Place): place is readonly [string, number] =>
  isPlaceOf("string", "number")(place);

const auditRoute = createRoute({
  method: "get",
  path: "/audit",
  operationId: "listAudit",
  tags: [TAGS.operators],
  summary: "What did operators do?",
  description:
    "The latest first, refused attempts included. A token limited to some tenants sees its own actions only.",
  request: { query: z.strictObject(pageQuery) },
  responses: {
    200: {
      description: "A page of the trail",
      content: { "application/json": { schema: auditSchema, example: EXAMPLE_AUDIT } },
    },
    ...refusals("bad_request", "unavailable"),
  },
});

const EXAMPLE_LEVEL = { level: "info" } as const;

const logLevelRoute = createRoute({
  method: "get",
  path: "/log-level",
  operationId: "getLogLevel",
  tags: [TAGS.operators],
  summary: "How much does the log say?",
  description: "The log level of the process that answers.",
  request: { query: z.strictObject({}) },
  responses: {
    200: {
      description: "The log level",
      content: { "application/json": { schema: logLevelSchema, example: EXAMPLE_LEVEL } },
    },
    ...refusals("bad_request"),
  },
});

const setLogLevelRoute = createRoute({
  method: "put",
  path: "/log-level",
  operationId: "setLogLevel",
  tags: [TAGS.operators],
  summary: "Make the log say more or less",
  description:
    "For the process that answers, until it ends. Needs role operate, and is written to the trail.",
  request: {
    body: {
      required: true,
      content: { "application/json": { schema: newLogLevelSchema, example: EXAMPLE_LEVEL } },
    },
  },
  responses: {
    200: {
      description: "The new log level",
      content: { "application/json": { schema: logLevelSchema, example: EXAMPLE_LEVEL } },
    },
    ...refusals("bad_request", "role", "not_json"),
  },
});
