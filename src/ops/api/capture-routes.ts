/** Routes about captures: the next messages of a source, scrubbed, so that a customer can send them to us. */

import { createRoute, z } from "@hono/zod-openapi";
import { operationOf } from "../access/trail.ts";
import { refusals, refused } from "./errors.ts";
import { type Api, type ApiDeps, TAGS, unavailable } from "./routes.ts";
import { at, count, nameParameter } from "./schema/fields.ts";

/** Ten megabytes at most, with bodies of fifty kilobytes. */
const MAX_MESSAGES = 200;
const MAX_MINUTES = 60;

export function serveCaptures(api: Api, { captures, topology, guards, events }: ApiDeps): void {
  api.openapi(startRoute, async (c) => {
    const wanted = c.req.valid("json");
    if (!topology.sources.has(wanted.source) || !c.var.sight.seesSource(wanted.source))
      return refused(c, "not_found");
    const filter = { source: wanted.source, count: String(wanted.count), minutes: String(wanted.minutes) };
    try {
      const started = await guards.trail.during(
        operationOf(c, "capture", filter),
        () => captures.start(wanted),
        (capture) => capture.count,
      );
      return c.json(started, 200);
    } catch (error) {
      events.failed({ where: "capture", error });
      return unavailable(c);
    }
  });

  api.openapi(messagesRoute, async (c) => {
    const { source, id } = c.req.valid("query");
    if (!topology.sources.has(source) || !c.var.sight.seesSource(source)) return refused(c, "not_found");
    try {
      return c.json({ items: await captures.messages(source, id) }, 200);
    } catch (error) {
      events.failed({ where: "capture", error });
      return unavailable(c);
    }
  });
}

const startSchema = z
  .strictObject({
    source: nameParameter("The source.", "vans"),
    count: z
      .int()
      .min(1)
      .max(MAX_MESSAGES)
      .default(20)
      .openapi({ description: "How many messages.", example: 20 }),
    minutes: z
      .int()
      .min(1)
      .max(MAX_MINUTES)
      .default(10)
      .openapi({ description: "For so long at most.", example: 10 }),
  })
  .openapi("NewCapture");

const startedSchema = z
  .object({
    id: z.string().openapi({ description: "Asks for its messages." }),
    source: z.string(),
    count: count("How many messages it takes."),
    until: at("When it ends at the latest."),
  })
  .openapi("Capture");

const capturedSchema = z
  .object({
    items: z
      .array(z.unknown())
      .openapi({ description: "Messages, as `waypost decode --captured` reads them." }),
  })
  .openapi("CapturedMessages");

const startRoute = createRoute({
  method: "post",
  path: "/captures",
  operationId: "startCapture",
  tags: [TAGS.operators],
  summary: "Capture a source's next messages",
  description:
    "Ids are replaced, positions shifted, credentials left out. Needs role operate, and is written to the trail.",
  request: {
    body: {
      required: true,
      content: {
        "application/json": { schema: startSchema, example: { source: "vans", count: 20, minutes: 10 } },
      },
    },
  },
  responses: {
    200: {
      description: "The capture",
      content: {
        "application/json": {
          schema: startedSchema,
          example: { id: "vans:1", source: "vans", count: 20, until: "2026-10-26T15:00:00.000Z" },
        },
      },
    },
    ...refusals("bad_request", "role", "not_json", "not_found", "unavailable"),
  },
});

const messagesRoute = createRoute({
  method: "get",
  path: "/captures",
  operationId: "listCaptured",
  tags: [TAGS.operators],
  summary: "What has a capture so far?",
  description: "The scrubbed messages, in the order they came; for ten minutes after its end.",
  request: {
    query: z.strictObject({
      source: nameParameter("The source.", "vans"),
      id: nameParameter("The capture's id.", "vans:1"),
    }),
  },
  responses: {
    200: {
      description: "The messages",
      content: {
        "application/json": {
          schema: capturedSchema,
          example: { items: [{ vendor: "bouncie", outcome: "decoded", body: "{}" }] },
        },
      },
    },
    ...refusals("bad_request", "not_found", "unavailable"),
  },
});
