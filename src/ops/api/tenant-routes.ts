/** Routes about tenants, and about the sources and destinations they consist of. */

import { createRoute, z } from "@hono/zod-openapi";
import { isPlaceOf, pageOf, pageQuery, placeIn } from "./cursors.ts";
import { badCursor, refusals, refused } from "./errors.ts";
import {
  EXAMPLE_DESTINATION,
  EXAMPLE_DESTINATIONS,
  EXAMPLE_SOURCE,
  EXAMPLE_SOURCES,
  EXAMPLE_TENANT,
  EXAMPLE_TENANTS,
} from "./examples.ts";
import { placedProblems } from "./places.ts";
import { type Api, type ApiDeps, TAGS, unavailable, wholeStatus } from "./routes.ts";
import { destinationDetailSchema, destinationsSchema } from "./schema/destination.ts";
import { nameParameter } from "./schema/fields.ts";
import { sourceDetailSchema, sourcesSchema } from "./schema/source.ts";
import { stateSchema, type TenantRow, tenantDetailSchema, tenantsSchema } from "./schema/tenant.ts";
import { destinationDetail, sourceDetail, sourceRow, tenantDetail, tenantRows } from "./tenants.ts";

export function serveTenants(api: Api, deps: ApiDeps): void {
  const { topology } = deps;

  api.openapi(tenantsRoute, async (c) => {
    const { limit, cursor, q, state } = c.req.valid("query");
    const list = { name: "tenants", filter: { q, state } };
    const after = placeIn(list, cursor, isPlaceOf("number", "number", "number", "string"));
    if (after === null) return badCursor(c);
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    const rows = tenantRows(status, topology).filter(
      (row) => isFound(row, q) && (state === undefined || row.state === state),
    );
    return c.json(pageOf(rows, { list, after, limit, placeOf: worstFirst }), 200);
  });

  api.openapi(tenantRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    const detail = tenantDetail(status, topology, tenant);
    if (detail === null) return refused(c, "not_found");
    const instructions = detail.sources.flatMap(({ name }) => {
      const found = deps.instructionsOf(name);
      if (!found) return [];
      const { headers, steps, topics, ...rest } = found;
      return [{ source: name, ...rest, headers: [...headers], steps: [...steps], topics: [...topics] }];
    });
    return c.json({ ...detail, instructions }, 200);
  });

  api.openapi(sourcesRoute, async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const list = { name: "sources", filter: {} };
    const after = placeIn(list, cursor, isPlaceOf("string"));
    if (after === null) return badCursor(c);
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    const { items, next } = pageOf(status.sources, { list, after, limit, placeOf: ({ name }) => [name] });
    return c.json({ items: items.map(sourceRow), next }, 200);
  });

  api.openapi(sourceRoute, async (c) => {
    const { name } = c.req.valid("param");
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    const source = status.sources.find((each) => each.name === name);
    if (!source) return refused(c, "not_found");
    return c.json(sourceDetail(status, source, placedProblems(status, topology)), 200);
  });

  api.openapi(destinationsRoute, async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const list = { name: "destinations", filter: {} };
    const after = placeIn(list, cursor, isPlaceOf("string"));
    if (after === null) return badCursor(c);
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    return c.json(pageOf(status.destinations, { list, after, limit, placeOf: ({ name }) => [name] }), 200);
  });

  api.openapi(destinationRoute, async (c) => {
    const { name } = c.req.valid("param");
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    const destination = status.destinations.find((each) => each.name === name);
    if (!destination) return refused(c, "not_found");
    return c.json(destinationDetail(status, destination, placedProblems(status, topology)), 200);
  });
}

function isFound({ tenant, destinations, sources }: TenantRow, q: string | undefined): boolean {
  const part = q?.toLowerCase();
  return (
    part === undefined ||
    [tenant, ...destinations, ...sources].some((name) => name.toLowerCase().includes(part))
  );
}

/** By errors, then warnings, then by how long a ping has waited. */
function worstFirst({ problems, oldestWaitingAgeMs, tenant }: TenantRow) {
  return [-problems.error, -problems.warning, -(oldestWaitingAgeMs ?? -1), tenant];
}

const tenantsRoute = createRoute({
  method: "get",
  path: "/tenants",
  operationId: "listTenants",
  tags: [TAGS.tenants],
  summary: "Which tenants are there?",
  description: "The worst first: by errors, then warnings, then by how long a ping has waited.",
  request: {
    query: z.strictObject({
      q: nameParameter(
        "A part, in any case, of a tenant's name or number, or of the name of a destination or source.",
        "acm",
      ).optional(),
      state: stateSchema.optional().openapi({ description: "Only those in this state.", example: "active" }),
      ...pageQuery,
    }),
  },
  responses: {
    200: {
      description: "A page of tenants",
      content: { "application/json": { schema: tenantsSchema, example: EXAMPLE_TENANTS } },
    },
    ...refusals("bad_request", "unavailable"),
  },
});

const tenantRoute = createRoute({
  method: "get",
  path: "/tenants/{tenant}",
  operationId: "getTenant",
  tags: [TAGS.tenants],
  summary: "How is one tenant?",
  description: "Its destinations, sources and problems.",
  request: {
    params: z.object({ tenant: nameParameter("Its name, or its number at ServiceTitan.", "1000001") }),
  },
  responses: {
    200: {
      description: "The tenant",
      content: { "application/json": { schema: tenantDetailSchema, example: EXAMPLE_TENANT } },
    },
    ...refusals("bad_request", "not_found", "unavailable"),
  },
});

const sourcesRoute = createRoute({
  method: "get",
  path: "/sources",
  operationId: "listSources",
  tags: [TAGS.tenants],
  summary: "Which sources are there?",
  description: "By name, each with its accounting.",
  request: { query: z.strictObject(pageQuery) },
  responses: {
    200: {
      description: "A page of sources",
      content: { "application/json": { schema: sourcesSchema, example: EXAMPLE_SOURCES } },
    },
    ...refusals("bad_request", "unavailable"),
  },
});

const sourceRoute = createRoute({
  method: "get",
  path: "/sources/{name}",
  operationId: "getSource",
  tags: [TAGS.tenants],
  summary: "How is one source?",
  description: "Its accounting, problems, policies, wrong clocks, and devices without a mapping row.",
  request: { params: z.object({ name: nameParameter("The source's name in the configuration.", "vans") }) },
  responses: {
    200: {
      description: "The source",
      content: { "application/json": { schema: sourceDetailSchema, example: EXAMPLE_SOURCE } },
    },
    ...refusals("bad_request", "not_found", "unavailable"),
  },
});

const destinationsRoute = createRoute({
  method: "get",
  path: "/destinations",
  operationId: "listDestinations",
  tags: [TAGS.tenants],
  summary: "Which destinations are there?",
  description: "By name, each with its backlog, lanes, gates and freshness.",
  request: { query: z.strictObject(pageQuery) },
  responses: {
    200: {
      description: "A page of destinations",
      content: { "application/json": { schema: destinationsSchema, example: EXAMPLE_DESTINATIONS } },
    },
    ...refusals("bad_request", "unavailable"),
  },
});

const destinationRoute = createRoute({
  method: "get",
  path: "/destinations/{name}",
  operationId: "getDestination",
  tags: [TAGS.tenants],
  summary: "How is one destination?",
  description: "Its backlog, lanes, gates, freshness, problems and policies.",
  request: {
    params: z.object({ name: nameParameter("The destination's name in the configuration.", "acme") }),
  },
  responses: {
    200: {
      description: "The destination",
      content: { "application/json": { schema: destinationDetailSchema, example: EXAMPLE_DESTINATION } },
    },
    ...refusals("bad_request", "not_found", "unavailable"),
  },
});
