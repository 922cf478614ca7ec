/** A tenant that came through the API: its document, what a change answers, and what asks for one. */

import { z } from "./fields.ts";
import { stateSchema } from "./tenant.ts";

/** With a letter, so that no name is taken for a number at ServiceTitan. */
const TENANT_NAME = /^(?=.*[a-z])[a-z0-9][a-z0-9-]{0,39}$/;

export const documentSchema = z.record(z.string(), z.unknown()).openapi("TenantSettings", {
  description:
    "As a file of tenants.d/ has it: sources, destinations, mapping, mqtt, limits; docs/tenants.md. A secret is write-only and reads `(set)`; sent back like that, it stays. `(generate)` in the place of a source's secret makes one.",
});

export const newTenantSchema = z
  .strictObject({
    tenant: z
      .string()
      .regex(TENANT_NAME, "must be lower-case letters, digits and dashes, at most 40, with a letter")
      .openapi({ description: "Its name.", example: "bolt" }),
    document: documentSchema,
  })
  .openapi("NewTenant");

export const tenantDocumentSchema = z
  .object({
    tenant: z.string(),
    state: stateSchema,
    revision: z.number().int().openapi({ description: "Of its last change; the ETag is the same." }),
    document: documentSchema,
  })
  .openapi("TenantDocument");

export const changedTenantSchema = tenantDocumentSchema
  .extend({
    secrets: z
      .array(z.object({ pointer: z.string(), secret: z.string() }))
      .openapi({ description: "Those that were made, each with its place. They are shown this once." }),
  })
  .openapi("ChangedTenant");

export const deletedTenantSchema = z
  .object({ tenant: z.string(), state: z.literal("deleted") })
  .openapi("DeletedTenant");

export const resealedSchema = z
  .object({
    resealed: z.number().int().openapi({ description: "Tenants whose secrets were sealed anew." }),
  })
  .openapi("Resealed");
