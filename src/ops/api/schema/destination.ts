/** A destination, as the API answers it. */

import { nextSchema } from "../cursors.ts";
import { at, atOrNull, count, ms, msOrNull, page, policySchema, z } from "./fields.ts";
import { problemSchema } from "./problem.ts";

const gateSchema = z
  .object({
    state: z.enum(["open", "paused", "probing", "ramping"]),
    reason: z.string().nullable(),
    untilMs: z.number().nullable().openapi({ description: "UTC milliseconds since 1970." }),
    ratePerSecond: z.number(),
  })
  .openapi("Gate", { description: "A circuit breaker with a ramp." });

const freshnessSchema = z
  .object({
    units: count(),
    p50AgeMs: ms(),
    p95AgeMs: ms(),
    maxAgeMs: ms(),
    sending: z.object({ units: count(), p50AgeMs: ms() }).nullable().openapi({
      description: "The same of units whose devices have sent within 5 minutes; null while all is fresh.",
    }),
  })
  .openapi("Freshness", {
    description: "Age of the newest accepted position of each unit that has reported within the last hour.",
  });

const destinationSchema = z
  .object({
    name: z.string(),
    scope: z.string().openapi({ description: "What ServiceTitan counts requests against: app and tenant." }),
    tenant: z.string(),
    provider: z.string(),
    scopeGate: gateSchema,
    gate: gateSchema,
    waiting: count(),
    inFlight: count(),
    held: count("Readings that wait for a mapping row."),
    oldestWaitingAgeMs: msOrNull(),
    newestAcceptedAgeMs: msOrNull(),
    freshness: freshnessSchema.nullable(),
    bufferBytes: count(),
    bufferLimitBytes: count(),
    unitsKnown: count(),
    silentUnits: z.array(z.object({ unit: z.string(), lastFixAt: at("Its last fix."), ageMs: ms() })),
    lanes: z.array(
      z.object({
        lane: count(),
        waiting: count(),
        inFlight: count(),
        batchId: z.string().nullable(),
        batchAgeMs: msOrNull(),
        unansweredMs: msOrNull(),
      }),
    ),
    deadLetters: count(),
    lastOutcome: z.string().nullable(),
    lastOutcomeAt: atOrNull("When the last attempt ended."),
  })
  .openapi("Destination");

export const destinationDetailSchema = destinationSchema
  .extend({ problems: z.array(problemSchema), policies: z.array(policySchema) })
  .openapi("DestinationDetail");

export const destinationsSchema = page(destinationSchema, nextSchema).openapi("Destinations");

export type DestinationDetail = z.output<typeof destinationDetailSchema>;
