/** Routes about the gateway as a whole: its status, its problems, its latest deliveries. */

import { createRoute, z } from "@hono/zod-openapi";
import { isPlaceOf, nextSchema, pageOf, pageQuery, placeIn } from "./cursors.ts";
import { badCursor, refusals } from "./errors.ts";
import { EXAMPLE_PROBLEMS, EXAMPLE_STATUS } from "./examples.ts";
import { placedProblems } from "./places.ts";
import { EXAMPLE_DELIVERIES } from "./position-examples.ts";
import { type Api, type ApiDeps, TAGS, unavailable, wholeStatus } from "./routes.ts";
import { nameParameter, page } from "./schema/fields.ts";
import { deliveriesSchema } from "./schema/pings.ts";
import { kindSchema, problemSchema, severitySchema, whoseSchema } from "./schema/problem.ts";
import { statusSchema } from "./schema/status.ts";
import { smallStatus } from "./small-status.ts";

export function serveGateway(api: Api, deps: ApiDeps): void {
  api.openapi(statusRoute, async (c) => {
    c.req.valid("query");
    return c.json(smallStatus(await deps.statusFor(c.var.sight), deps.topology), 200);
  });

  api.openapi(problemsRoute, async (c) => {
    const { limit, cursor, ...wanted } = c.req.valid("query");
    const list = { name: "problems", filter: wanted };
    const after = placeIn(list, cursor, isPlaceOf("number", "string"));
    if (after === null) return badCursor(c);
    const status = await deps.statusFor(c.var.sight);
    const fitting = placedProblems(status, deps.topology).filter(
      (problem) =>
        (wanted.severity ?? problem.severity) === problem.severity &&
        (wanted.kind ?? problem.kind) === problem.kind &&
        (wanted.whose ?? problem.whose) === problem.whose &&
        (wanted.tenant ?? problem.tenant) === problem.tenant &&
        (wanted.source ?? problem.source) === problem.source,
    );
    const placeOf = ({ severity, id }: (typeof fitting)[number]) => [severity === "error" ? 0 : 1, id];
    return c.json(pageOf(fitting, { list, after, limit, placeOf }), 200);
  });

  api.openapi(deliveriesRoute, async (c) => {
    const { destination } = c.req.valid("query");
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    const { recent, ...ledger } = status.ledger;
    const items = recent.filter((each) => destination === undefined || each.destination === destination);
    return c.json({ ...ledger, items }, 200);
  });
}

const statusRoute = createRoute({
  method: "get",
  path: "/status",
  operationId: "getStatus",
  tags: [TAGS.gateway],
  summary: "Is it healthy?",
  description:
    "What is true of the whole gateway, of a size that does not grow with the number of tenants. It answers 200 also while Redis is away; `available` is false then. Sums and problems cover what the token may see.",
  request: { query: z.strictObject({}) },
  responses: {
    200: {
      description: "The status",
      content: { "application/json": { schema: statusSchema, example: EXAMPLE_STATUS } },
    },
    ...refusals("bad_request"),
  },
});

const problemsRoute = createRoute({
  method: "get",
  path: "/problems",
  operationId: "listProblems",
  tags: [TAGS.gateway],
  summary: "What is wrong?",
  description:
    "Every problem that lasts, errors first. Each says since when, whose it is, and what to do next.",
  request: {
    query: z.strictObject({
      severity: severitySchema
        .optional()
        .openapi({ description: "Only of this severity.", example: "error" }),
      kind: kindSchema.optional().openapi({ description: "Only of this kind.", example: "sending_paused" }),
      tenant: nameParameter("Only of the tenant with this number.", "1000001").optional(),
      source: nameParameter("Only of this source.", "vans").optional(),
      whose: whoseSchema
        .optional()
        .openapi({ description: "Only those that this one has to mend.", example: "vendor" }),
      ...pageQuery,
    }),
  },
  responses: {
    200: {
      description: "A page of problems",
      content: {
        "application/json": {
          schema: page(problemSchema, nextSchema).openapi("Problems"),
          example: EXAMPLE_PROBLEMS,
        },
      },
    },
    ...refusals("bad_request"),
  },
});

const deliveriesRoute = createRoute({
  method: "get",
  path: "/deliveries",
  operationId: "listDeliveries",
  tags: [TAGS.pings],
  summary: "What was sent last?",
  description: "The latest entries of the ledger, and how far back the whole of it reaches.",
  request: {
    query: z.strictObject({
      destination: nameParameter("Only to this destination.", "acme").optional(),
    }),
  },
  responses: {
    200: {
      description: "The latest deliveries",
      content: { "application/json": { schema: deliveriesSchema, example: EXAMPLE_DELIVERIES } },
    },
    ...refusals("bad_request", "unavailable"),
  },
});
