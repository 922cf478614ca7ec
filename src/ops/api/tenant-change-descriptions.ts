/** Describes the routes that create, read, replace, pause, resume and delete tenants. */

import { createRoute, z } from "@hono/zod-openapi";
import { type ErrorType, refusals } from "./errors.ts";
import { TAGS } from "./routes.ts";
import { nameParameter } from "./schema/fields.ts";
import {
  changedTenantSchema,
  deletedTenantSchema,
  documentSchema,
  newTenantSchema,
  resealedSchema,
  tenantDocumentSchema,
} from "./schema/tenant-document.ts";
import {
  EXAMPLE_CHANGED,
  EXAMPLE_CREATED,
  EXAMPLE_DOCUMENT,
  EXAMPLE_NEW,
  EXAMPLE_SETTINGS,
} from "./tenant-document-examples.ts";

const tags = [TAGS.tenants];
const NOTHING = z.strictObject({});
const params = z.object({ tenant: nameParameter("Its name.", "zephyr") });
const idempotencyKey = z.string().min(1).max(200).optional().openapi({
  description: "A text of your choice: the same request with the same key is done once, within 24 h.",
  example: "2026-11-20-zephyr-1",
});
const ifMatch = z.string().max(100).optional().openapi({
  description: "The ETag of the document that is meant, or `*`. Without it the answer is 428.",
  example: "*",
});

const json = <Schema extends z.ZodType>(schema: Schema, example: z.output<Schema>) => ({
  content: { "application/json": { schema, example } },
});
const changed = (description: string, example = EXAMPLE_CHANGED) => ({
  200: { description, ...json(changedTenantSchema, example) },
});
/** Two types of one status are described by the first of them. */
const OF_CHANGES = [
  ...(["bad_request", "role", "not_found", "exists", "changed", "too_large", "not_json"] as const),
  ...(["wrong_document", "unavailable"] as const),
] satisfies ErrorType[];

export const createTenantRoute = createRoute({
  method: "post",
  path: "/tenants",
  operationId: "createTenant",
  tags,
  summary: "Add a tenant",
  description:
    "It is checked as part of the whole configuration, by the same rules as files, and every process uses it within 2 s. Needs a token with role operate that sees all tenants.",
  request: {
    query: NOTHING,
    headers: z.object({ "idempotency-key": idempotencyKey }),
    body: { required: true, ...json(newTenantSchema, EXAMPLE_NEW) },
  },
  responses: {
    ...changed("The tenant, with the secrets that were made", EXAMPLE_CREATED),
    ...refusals(...OF_CHANGES),
  },
});

export const getDocumentRoute = createRoute({
  method: "get",
  path: "/tenants/{tenant}/document",
  operationId: "getTenantDocument",
  tags,
  summary: "What is a tenant's configuration?",
  description:
    "Of a tenant that came through the API. Secrets read `(set)`; the ETag is what If-Match wants.",
  request: { params, query: NOTHING },
  responses: {
    200: { description: "The document", ...json(tenantDocumentSchema, EXAMPLE_DOCUMENT) },
    ...refusals("bad_request", "not_found", "not_ours", "unavailable"),
  },
});

export const exportTenantRoute = createRoute({
  method: "get",
  path: "/tenants/{tenant}/export",
  operationId: "exportTenant",
  tags,
  summary: "Take a tenant's configuration out",
  description: "As YAML, in the form of a file of tenants.d/. In the place of each secret stands `(sealed)`.",
  request: { params, query: NOTHING },
  responses: {
    200: {
      description: "The document as YAML",
      content: { "application/yaml": { schema: z.string(), example: "sources: {}\n" } },
    },
    ...refusals("bad_request", "not_found", "not_ours", "unavailable"),
  },
});

export const replaceTenantRoute = createRoute({
  method: "put",
  path: "/tenants/{tenant}/document",
  operationId: "replaceTenant",
  tags,
  summary: "Change a tenant",
  description:
    "The whole document. A secret that is sent as `(set)` stays as it is. Needs a token with role operate that sees all tenants.",
  request: {
    params,
    query: NOTHING,
    headers: z.object({ "idempotency-key": idempotencyKey, "if-match": ifMatch }),
    body: { required: true, ...json(documentSchema, EXAMPLE_SETTINGS) },
  },
  responses: { ...changed("The tenant as it is now"), ...refusals(...OF_CHANGES, "no_condition") },
});

export const pauseTenantRoute = createRoute({
  method: "post",
  path: "/tenants/{tenant}/pause",
  operationId: "pauseTenant",
  tags,
  summary: "Take in nothing for a tenant",
  description:
    "Webhooks answer 503, brokers keep their messages, its vendors are not polled. What waits is still sent. Needs role operate.",
  request: { params, query: NOTHING, headers: z.object({ "idempotency-key": idempotencyKey }) },
  responses: { ...changed("The tenant as it is now"), ...refusals(...OF_CHANGES) },
});

export const resumeTenantRoute = createRoute({
  method: "post",
  path: "/tenants/{tenant}/resume",
  operationId: "resumeTenant",
  tags,
  summary: "Take in again what a tenant sends",
  description: "Ends a pause. Needs role operate.",
  request: { params, query: NOTHING, headers: z.object({ "idempotency-key": idempotencyKey }) },
  responses: { ...changed("The tenant as it is now"), ...refusals(...OF_CHANGES) },
});

export const deleteTenantRoute = createRoute({
  method: "delete",
  path: "/tenants/{tenant}",
  operationId: "deleteTenant",
  tags,
  summary: "Take a tenant away",
  description:
    "Its configuration goes; what is stored of it stays until it is too old, or is erased before. Needs a token with role operate that sees all tenants.",
  request: {
    params,
    query: NOTHING,
    headers: z.object({ "idempotency-key": idempotencyKey, "if-match": ifMatch }),
  },
  responses: {
    200: {
      description: "It is gone",
      ...json(deletedTenantSchema, { tenant: "zephyr", state: "deleted" }),
    },
    ...refusals(...OF_CHANGES, "no_condition"),
  },
});

export const resealRoute = createRoute({
  method: "post",
  path: "/reseal",
  operationId: "resealTenants",
  tags,
  summary: "Seal all secrets with the first key",
  description:
    "After a new key was put in front of the old one in WAYPOST_SEAL_KEY of every process. Then the old one can go.",
  request: { query: NOTHING },
  responses: {
    200: { description: "How many tenants it concerned", ...json(resealedSchema, { resealed: 3 }) },
    ...refusals("bad_request", "role", "not_json", "no_seal_key", "unavailable"),
  },
});
