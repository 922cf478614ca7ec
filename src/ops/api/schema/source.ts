/** A source and its accounting, as the API answers them. */

import { nextSchema } from "../cursors.ts";
import { at, atOrNull, count, counts, ms, page, policySchema, z } from "./fields.ts";
import { problemSchema } from "./problem.ts";

export const accountingSchema = z
  .object({
    messages: count(),
    refused: count(),
    ignored: count(),
    handshakes: count(),
    malformed: count(),
    decoded: count(),
    readings: count(),
    rejected: count(),
    duplicates: count(),
    stored: count(),
    delivered: count(),
    deadLettered: count(),
    expired: count(),
    superseded: count(),
    dropped: count(),
    held: count(),
    waiting: count(),
    inFlight: count(),
  })
  .openapi("Accounting", {
    description:
      "messages = refused + ignored + handshakes + malformed + decoded; readings = rejected + duplicates + stored; stored = delivered + deadLettered + expired + superseded + dropped + held + waiting + inFlight.",
  });

export const identitySchema = z
  .object({ messages: count(), readings: count(), stored: count() })
  .openapi("Identity", { description: "Left side minus right side of each equation; 0 where it holds." });

const badRunSchema = z
  .object({ run: count(), since: z.string(), lastAt: z.string(), share: z.number() })
  .openapi("BadRun");

const pulseSchema = z
  .object({
    lastGoodAt: z.string().nullable(),
    challengedAt: z.string().nullable(),
    usualGapMs: z.number().nullable(),
    silentFrom: z.string().nullable(),
    refusals: badRunSchema.nullable(),
    rejections: badRunSchema.nullable(),
    last5Min: counts("Every counter that moved within the last 5 minutes.").readonly(),
    last15Min: counts("The same of 15 minutes.").readonly(),
    last60Min: counts("The same of 60 minutes.").readonly(),
  })
  .openapi("Pulse", { description: "How the source has been sending lately, against its own usual." });

const troubledSchema = z
  .object({
    device: z.string(),
    since: at("When its first reading was rejected."),
    lastAt: at("When its last reading was rejected."),
    rejected: count("Readings rejected since then."),
    messages: count("Messages these came in."),
    good: count("Good readings since then."),
    goodInARow: count("Of these, in a row after the last rejection."),
    goodAt: atOrNull("When the last good one came."),
    reason: z.string().openapi({ description: "Why the last one was rejected." }),
    offsetMs: z.object({ least: ms(), greatest: ms() }).nullable().openapi({
      description: "Received minus fix of those rejected for this reason; null where none is known.",
    }),
  })
  .openapi("TroubledDevice", { description: "A device whose readings are rejected." });

const sourceSchema = z
  .object({
    name: z.string(),
    vendor: z.string(),
    transport: z.enum(["webhook", "mqtt", "broker", "pull"]),
    destination: z.string(),
    accounting: accountingSchema,
    rejectedBy: counts("Rejected readings by reason."),
    defects: counts(
      "Fields made null because they were implausible, and times that were corrected, by reason.",
    ),
    refusedBy: counts("Refused messages by reason."),
    conflictingFixes: count("Second readings of one device and instant that differ from the first."),
    redriven: z.object({ messages: count(), pings: count() }),
    lastMessageAt: atOrNull("When the last message arrived."),
    identity: identitySchema,
    pulse: pulseSchema,
    troubled: z
      .array(troubledSchema)
      .openapi({ description: "Devices whose readings are rejected; at most 50 for each scope it feeds." }),
  })
  .openapi("Source");

export const sourceDetailSchema = sourceSchema
  .extend({
    problems: z.array(problemSchema),
    policies: z.array(policySchema),
    clocks: z
      .array(
        z.object({
          source: z.string(),
          deviceId: z.string(),
          offsetMs: z.number(),
          text: z.string(),
          looksLikeTimeZone: z.boolean(),
        }),
      )
      .openapi({ description: "Devices whose clock is wrong by a constant." }),
    unmapped: z
      .array(
        z.object({
          source: z.string(),
          device: z.string(),
          lastFixAt: z.string().nullable(),
          policy: z.enum(["forward", "hold"]),
        }),
      )
      .openapi({ description: "Devices that no mapping row names." }),
  })
  .openapi("SourceDetail");

export const sourcesSchema = page(sourceSchema, nextSchema).openapi("Sources");

export type SourceRow = z.output<typeof sourceSchema>;
export type SourceDetail = z.output<typeof sourceDetailSchema>;
