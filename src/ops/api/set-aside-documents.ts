/** How the routes about what was set aside are described. */

import { createRoute, z } from "@hono/zod-openapi";
import { pageQuery } from "./cursors.ts";
import { refusals } from "./errors.ts";
import {
  EXAMPLE_DEAD_LETTERS,
  EXAMPLE_DEAD_LETTERS_REDRIVEN,
  EXAMPLE_EXPORTED_LETTER,
  EXAMPLE_EXPORTED_MESSAGE,
  EXAMPLE_MESSAGE,
  EXAMPLE_QUARANTINE,
  EXAMPLE_QUARANTINE_REDRIVEN,
} from "./position-examples.ts";
import { TAGS } from "./routes.ts";
import { nameParameter } from "./schema/fields.ts";
import {
  deadLettersRedrivenSchema,
  deadLettersSchema,
  filterFields,
  quarantineRedrivenSchema,
  quarantineSchema,
  redriveRequestSchema,
  wholeMessageSchema,
} from "./schema/set-aside.ts";

/** A message that could not be decoded names neither unit nor destination. */
const { unit: _, destination: __, ...messageFilter } = filterFields;
const REQUEST_EXAMPLE = { mode: "dry_run", source: "vans" } as const;

export const quarantineRoute = createRoute({
  method: "get",
  path: "/quarantine",
  operationId: "listQuarantine",
  tags: [TAGS.setAside],
  summary: "What could not be decoded?",
  description: "Messages in quarantine, the newest first.",
  request: { query: z.strictObject({ ...messageFilter, ...pageQuery }) },
  responses: {
    200: {
      description: "A page of messages",
      content: { "application/json": { schema: quarantineSchema, example: EXAMPLE_QUARANTINE } },
    },
    ...refusals("bad_request", "not_found", "unavailable"),
  },
});

export const deadLettersRoute = createRoute({
  method: "get",
  path: "/dead-letters",
  operationId: "listDeadLetters",
  tags: [TAGS.setAside],
  summary: "What did ServiceTitan refuse for good?",
  description: "Dead letters, the newest first.",
  request: { query: z.strictObject({ ...filterFields, ...pageQuery }) },
  responses: {
    200: {
      description: "A page of dead letters",
      content: { "application/json": { schema: deadLettersSchema, example: EXAMPLE_DEAD_LETTERS } },
    },
    ...refusals("bad_request", "not_found", "unavailable"),
  },
});

export const quarantinedMessageRoute = createRoute({
  method: "get",
  path: "/quarantine/{id}",
  operationId: "getQuarantinedMessage",
  tags: [TAGS.setAside],
  summary: "What did the vendor send?",
  description: "One message, whole and without its credentials, as `waypost decode --quarantined` reads it.",
  request: {
    params: z.object({
      id: z
        .string()
        .regex(/^\d{1,20}-\d{1,20}$/, "must be an id of the list, such as 1795199803000-0")
        .openapi({ description: "Its id in the list.", example: "1795199803000-0" }),
    }),
    query: z.strictObject({
      source: nameParameter(
        "Ids are unique within one tenant only: its source tells which is meant.",
        "vans",
      ).optional(),
    }),
  },
  responses: {
    200: {
      description: "The message",
      content: { "application/json": { schema: wholeMessageSchema, example: EXAMPLE_MESSAGE } },
    },
    ...refusals("bad_request", "not_found"),
  },
});

/** A plain string, since the library types what it takes for JSON, and this is not one JSON value. */
const JSON_LINES: string = "application/x-ndjson";
const LINES = z.string().openapi({ description: "One JSON object a line, the oldest first." });

export const exportQuarantineRoute = createRoute({
  method: "get",
  path: "/quarantine/export",
  operationId: "exportQuarantine",
  tags: [TAGS.setAside],
  summary: "Take the quarantine away",
  description: "Every message that fits, as JSON lines.",
  request: { query: z.strictObject(filterFields) },
  responses: {
    200: {
      description: "The messages",
      content: { [JSON_LINES]: { schema: LINES, example: EXAMPLE_EXPORTED_MESSAGE } },
    },
    ...refusals("bad_request", "not_found"),
  },
});

export const exportDeadLettersRoute = createRoute({
  method: "get",
  path: "/dead-letters/export",
  operationId: "exportDeadLetters",
  tags: [TAGS.setAside],
  summary: "Take the dead letters away",
  description: "Every dead letter that fits, as JSON lines.",
  request: { query: z.strictObject(filterFields) },
  responses: {
    200: {
      description: "The dead letters",
      content: { [JSON_LINES]: { schema: LINES, example: EXAMPLE_EXPORTED_LETTER } },
    },
    ...refusals("bad_request", "not_found"),
  },
});

const redriveRequest = {
  body: {
    required: true,
    content: { "application/json": { schema: redriveRequestSchema, example: REQUEST_EXAMPLE } },
  },
};

export const redriveQuarantineRoute = createRoute({
  method: "post",
  path: "/quarantine/redrive",
  operationId: "redriveQuarantine",
  tags: [TAGS.setAside],
  summary: "Decode the quarantine again",
  description: "Messages that can be decoded now are stored like any other; a dry run shows the difference.",
  request: redriveRequest,
  responses: {
    200: {
      description: "What became of them",
      content: {
        "application/json": { schema: quarantineRedrivenSchema, example: EXAMPLE_QUARANTINE_REDRIVEN },
      },
    },
    ...refusals("bad_request", "role", "not_found", "not_json"),
  },
});

export const redriveDeadLettersRoute = createRoute({
  method: "post",
  path: "/dead-letters/redrive",
  operationId: "redriveDeadLetters",
  tags: [TAGS.setAside],
  summary: "Send dead letters again",
  description: "Those that are still young and new enough wait again; a dry run counts them.",
  request: redriveRequest,
  responses: {
    200: {
      description: "What became of them",
      content: {
        "application/json": { schema: deadLettersRedrivenSchema, example: EXAMPLE_DEAD_LETTERS_REDRIVEN },
      },
    },
    ...refusals("bad_request", "role", "not_found", "not_json"),
  },
});
