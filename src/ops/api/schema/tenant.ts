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

const instructionsSchema = z
  .object({
    source: z.string(),
    vendor: z.string(),
    address: z
      .string()
      .nullable()
      .openapi({ description: "Where the vendor sends to; null where Waypost asks the vendor." }),
    headers: z.array(z.object({ name: z.string(), value: z.string() })).openapi({
      description:
        "What stands in the request; the secret, which is shown once when it is made, is `<secret>`.",
    }),
    steps: z.array(z.string()),
    topics: z.array(z.string()).openapi({ description: "MQTT: `%u` is the user name of the device." }),
    docs: z.string().openapi({ description: "The vendor's own pages." }),
  })
  .openapi("Instructions", { description: "What to enter at the vendor of a source." });

export const tenantDetailSchema = z
  .object({
    at: z.iso.datetime(),
    tenant: tenantSchema,
    problems: z.array(problemSchema),
    destinations: z.array(destinationDetailSchema),
    sources: z.array(sourceDetailSchema),
    instructions: z.array(instructionsSchema),
  })
  .openapi("TenantDetail");

export type TenantRow = z.output<typeof tenantSchema>;
export type TenantDetail = z.output<typeof tenantDetailSchema>;
