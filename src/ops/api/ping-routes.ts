/** Routes that answer where the pings of a technician or of a unit went. */

import { createRoute, z } from "@hono/zod-openapi";
import { iso } from "../../time.ts";
import { operationOf } from "../access/trail.ts";
import { refusals, refused, wrongParameters } from "./errors.ts";
import { EXAMPLE_GPS_PINGS, EXAMPLE_UNIT_PINGS } from "./position-examples.ts";
import { type Api, type ApiDeps, TAGS } from "./routes.ts";
import { nameParameter, timeParameter } from "./schema/fields.ts";
import { gpsPingsSchema, unitPingsSchema } from "./schema/pings.ts";

const DAY_MS = 86_400_000;
/** The ledger is searched hour by hour. */
const MAX_RANGE_MS = 31 * DAY_MS;
const RANGE_RULE = "must be after fromUtc, by at most 31 days";

export function servePings(api: Api, { queryPings, queryUnit, guards: { trail } }: ApiDeps): void {
  api.openapi(unitPingsRoute, async (c) => {
    const { destination, unit, fromUtc, toUtc } = c.req.valid("query");
    const to = toUtc === undefined ? Date.now() : Date.parse(toUtc);
    const from = fromUtc === undefined ? to - DAY_MS : Date.parse(fromUtc);
    if (!isRange(from, to)) return wrongParameters(c, [{ parameter: "toUtc", detail: RANGE_RULE }]);
    if (!c.var.sight.seesDestination(destination)) return refused(c, "not_found");
    const asked = { destination, unit, fromUtc: iso(from), toUtc: iso(to) };
    const answer = await trail.during(
      operationOf(c, "unit_pings", asked),
      () => queryUnit(asked),
      (found) => found?.pings.length ?? 0,
    );
    return answer ? c.json({ ...asked, ...answer }, 200) : refused(c, "not_found");
  });

  api.openapi(gpsPingsRoute, async (c) => {
    const query = c.req.valid("query");
    const [from, to] = [Date.parse(query.fromUtc), Date.parse(query.toUtc)];
    if (!isRange(from, to)) return wrongParameters(c, [{ parameter: "toUtc", detail: RANGE_RULE }]);
    const { destinations } = c.var.sight;
    // A technician's id is unique within one tenant only.
    const destination = query.destination ?? (destinations.length === 1 ? destinations[0] : undefined);
    if (destination === undefined) {
      const detail = `is required where there are several: ${named(destinations)}`;
      return wrongParameters(c, [{ parameter: "destination", detail }]);
    }
    if (!destinations.includes(destination)) return refused(c, "not_found");
    const { technicianId } = query;
    const asked = { destination, technicianId, fromUtc: iso(from), toUtc: iso(to) };
    const answer = await trail.during(
      operationOf(c, "gps_pings", asked),
      () => queryPings(asked),
      ({ items }) => items.length,
    );
    return c.json(answer, 200);
  });
}

function isRange(from: number, to: number): boolean {
  return from <= to && to - from <= MAX_RANGE_MS;
}

/** As many as a sentence can hold. */
const MAX_NAMED = 20;

function named(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return names.slice(0, MAX_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

const unitPingsRoute = createRoute({
  method: "get",
  path: "/unit-pings",
  operationId: "getUnitPings",
  tags: [TAGS.pings],
  summary: "Where did the pings of a unit go?",
  description: "What became of each, the latest fix first, and which are still on their way.",
  request: {
    query: z.strictObject({
      destination: nameParameter("Its destination.", "acme"),
      unit: z
        .string()
        .trim()
        .min(1)
        .max(300)
        .openapi({ description: "The unit, as ServiceTitan knows it.", example: "V-12" }),
      fromUtc: timeParameter("Left out: a day before the end.").optional(),
      toUtc: timeParameter("Left out: now.").optional().openapi({ example: "2026-11-20T19:00:00Z" }),
    }),
  },
  responses: {
    200: {
      description: "The pings of the unit",
      content: { "application/json": { schema: unitPingsSchema, example: EXAMPLE_UNIT_PINGS } },
    },
    ...refusals("bad_request", "not_found"),
  },
});

const gpsPingsRoute = createRoute({
  method: "get",
  path: "/gps-pings",
  operationId: "listGpsPings",
  tags: [TAGS.pings],
  summary: "What was delivered for a technician?",
  description: "The pings that ServiceTitan accepted for a technician, as they were sent, by time of fix.",
  request: {
    query: z.strictObject({
      destination: nameParameter("Needed where the token sees several.", "acme").optional(),
      technicianId: nameParameter("Whose.", "42"),
      fromUtc: timeParameter("From this fix on."),
      toUtc: timeParameter("To this fix.").openapi({ example: "2026-11-20T19:00:00Z" }),
    }),
  },
  responses: {
    200: {
      description: "The delivered pings",
      content: { "application/json": { schema: gpsPingsSchema, example: EXAMPLE_GPS_PINGS } },
    },
    ...refusals("bad_request", "not_found"),
  },
});
