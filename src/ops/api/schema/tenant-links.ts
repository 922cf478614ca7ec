/** Links to a tenant's page, and erasures. */

import { at, count, z } from "./fields.ts";

const MAX_HOURS = 7 * 24;

export const newLinkSchema = z
  .strictObject({
    hours: z
      .int()
      .min(1)
      .max(MAX_HOURS)
      .default(1)
      .openapi({ description: "How long it opens the page.", example: 24 }),
  })
  .openapi("NewLink");

export const linkSchema = z
  .object({
    tenant: z.string(),
    path: z.string().openapi({ description: "To follow the address of the ops endpoint." }),
    until: at("When it ends."),
  })
  .openapi("Link");

export const erasureSchema = z
  .strictObject({
    unit: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .openapi({ description: "Only this unit, by its id at ServiceTitan.", example: "V-12" }),
  })
  .openapi("Erasure");

export const erasedSchema = z
  .object({
    tenant: z.string(),
    unit: z.string().nullable(),
    erased: z
      .object({
        waiting: count("Pings that waited to be sent."),
        held: count("Readings that waited for a mapping row."),
        deadLetters: count(),
        quarantined: count("Raw messages; of a unit, those that name it or a device of it."),
        ledgerBatches: count("Batches that told of it."),
        ledgerPings: count(),
        devices: count("Devices whose fingerprints, timelines and last fixes were remembered."),
        units: count("Units whose newest accepted fix was remembered."),
      })
      .openapi("ErasedCounts"),
  })
  .openapi("Erased");
