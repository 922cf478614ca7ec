/** A tenant, as a row of the list and whole, as the API answers it. */

import { nextSchema } from "../cursors.ts";
import { destinationDetailSchema } from "./destination.ts";
import { atOrNull, count, msOrNull, page, z } from "./fields.ts";
import { problemSchema, severitiesSchema } from "./problem.ts";
import { sourceDetailSchema } from "./source.ts";

export const stateSchema = z.enum(["active", "paused"]);

export const tenantSchema = z
  .object({
    tenant: z.string().openapi({
      description: "The name of its document; its number at ServiceTitan where it has none.",
    }),
    origin: z
      .enum(["main", "file", "api"])
      .openapi({ description: "Where it is configured: the main file, one of its own, or through the API." }),
    state: stateSchema.openapi({ description: "`paused`: nothing is taken in; what waits is still sent." }),
    destinations: z.array(z.string()),
    sources: z.array(z.string()),
    problems: severitiesSchema,
    waiting: count(),
    inFlight: count(),
    oldestWaitingAgeMs: msOrNull("Of the ping that has waited for longest."),
    newestAcceptedAgeMs: msOrNull("Of the newest position that ServiceTitan accepted."),
    freshnessP50AgeMs: msOrNull("Of its worst destination: age of the position of half its units."),
    lastMessageAt: atOrNull("When the last message of any of its sources arrived."),
  })
  .openapi("Tenant");

export const tenantsSchema = page(tenantSchema, nextSchema).openapi("Tenants");

export const tenantDetailSchema = z
  .object({
    at: z.iso.datetime(),
    tenant: tenantSchema,
    problems: z.array(problemSchema),
    destinations: z.array(destinationDetailSchema),
    sources: z.array(sourceDetailSchema),
  })
  .openapi("TenantDetail");

export type TenantRow = z.output<typeof tenantSchema>;
export type TenantDetail = z.output<typeof tenantDetailSchema>;
