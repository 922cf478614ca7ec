/** Route that has the gateway read its configuration again. */

import { createRoute, z } from "@hono/zod-openapi";
import { operationOf } from "../access/trail.ts";
import { refusals, refused } from "./errors.ts";
import { type Api, type ApiDeps, TAGS } from "./routes.ts";
import { reloadSchema } from "./schema/operators.ts";

const CONCERNS_ALL = "The configuration is that of all tenants, and this token is limited to some.";
const NOTHING_TO_READ = "The gateway was started without files: there is nothing to read again.";

export function serveReload(api: Api, { guards, reload }: ApiDeps): void {
  api.openapi(reloadRoute, async (c) => {
    if (c.var.sight.within !== null) return refused(c, "role", CONCERNS_ALL);
    const result = await guards.trail.during(operationOf(c, "reload", {}), reload, (answer) =>
      answer.kind === "refused" || answer.kind === "not_possible" ? null : answer.changes.length,
    );
    switch (result.kind) {
      case "refused":
        return c.json({ result: result.kind, changes: [], restart: [], problems: [...result.problems] }, 200);
      case "not_possible":
        return c.json({ result: result.kind, changes: [], restart: [], problems: [NOTHING_TO_READ] }, 200);
      default: {
        const { kind, changes, restart } = result;
        return c.json({ result: kind, changes: [...changes], restart: [...restart], problems: [] }, 200);
      }
    }
  });
}

const reloadRoute = createRoute({
  method: "post",
  path: "/reload",
  operationId: "reload",
  tags: [TAGS.operators],
  summary: "Read the configuration again",
  description:
    "The process that answers reads its files now; the others do by themselves within seconds. Everything is checked before anything is taken up, and a wrong configuration changes nothing. Needs role operate, and is written to the trail.",
  request: {
    body: { required: true, content: { "application/json": { schema: z.strictObject({}), example: {} } } },
  },
  responses: {
    200: {
      description: "What became of it",
      content: {
        "application/json": {
          schema: reloadSchema,
          example: {
            result: "applied",
            changes: ["source vans changed"],
            restart: ["http.port"],
            problems: [],
          },
        },
      },
    },
    ...refusals("bad_request", "role", "not_json"),
  },
});
