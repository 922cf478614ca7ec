/** The settings of one tenant in a document of its own: a file of `tenants.d/`, or what the API was given. */

import { z } from "zod";
import { destinationSchema } from "./destination-schema.ts";
import { brokerSchema, deviceSchema } from "./mqtt-schema.ts";
import { file, nameSchema } from "./setting-types.ts";
import { sourceSchema } from "./source-schema.ts";
import { tenantLimitsSchema } from "./tenant-limits-schema.ts";

const named = <Entry extends z.ZodType>(entry: Entry) =>
  z.record(nameSchema, entry).refine((entries) => Object.keys(entries).length > 0, "must name at least one");

const tenantMappingSchema = z
  .strictObject({
    file: file.optional().describe("CSV, JSON or YAML. It is read again whenever it changes."),
    rows: z
      .array(z.record(z.string(), z.unknown()))
      .min(1)
      .max(10_000)
      .optional()
      .describe("The rows themselves, each with the columns of a mapping file; at most 10,000."),
  })
  .refine(
    ({ file: name, rows }) => (name === undefined) !== (rows === undefined),
    "must be either file or rows",
  );

export const tenantSchema = z.strictObject({
  sources: named(sourceSchema).describe(
    "Who sends for this tenant. Each names a destination of this document.",
  ),
  destinations: named(destinationSchema).describe("Where its pings go."),
  mapping: tenantMappingSchema
    .optional()
    .describe("Which of its devices is which unit. Left out: a device is its own unit."),
  mqtt: z
    .strictObject({
      brokers: z.record(nameSchema, brokerSchema).default({}).describe("Brokers of its own."),
      listen: z
        .strictObject({
          devices: z.array(deviceSchema).min(1).describe("Its logins at the embedded broker."),
        })
        .optional(),
    })
    .prefault({}),
  limits: tenantLimitsSchema.prefault({}).describe("What it may send and have waiting. Left out: no limit."),
});

/** One tenant's document, with all defaults. */
export type TenantSettings = z.output<typeof tenantSchema>;

/** Where a tenant's document comes from. */
export type TenantOrigin = { kind: "file"; file: string } | { kind: "api" };
