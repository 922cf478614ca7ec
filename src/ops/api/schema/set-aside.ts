/** What was set aside, quarantined messages and dead letters, and what redriving does to it, as the API answers. */

import { nextSchema } from "../cursors.ts";
import { at, atOrNull, count, nameParameter, timeParameter, z } from "./fields.ts";

const quarantinedSchema = z
  .object({
    id: z.string(),
    at: at("When the message arrived."),
    source: z.string(),
    reason: z.string(),
    problem: z.string().openapi({ description: "The first of the decoder's complaints." }),
  })
  .openapi("Quarantined");

const deadLetterSchema = z
  .object({
    id: z.string(),
    at: at("When it was dead-lettered."),
    destination: z.string(),
    source: z.string(),
    unit: z.string(),
    externalId: z.string(),
    fixAt: at("When the position was fixed."),
    reason: z.string(),
    message: z.string().openapi({ description: "ServiceTitan's words." }),
  })
  .openapi("DeadLetter");

export const quarantineSchema = z
  .object({
    count: count("Of all messages in quarantine, whatever the filter."),
    bytes: count(),
    oldestAt: atOrNull("When the oldest of them arrived."),
    items: z.array(quarantinedSchema),
    next: nextSchema,
  })
  .openapi("Quarantine");

export const deadLettersSchema = z
  .object({
    count: count("Of all dead letters, whatever the filter."),
    bytes: count(),
    items: z.array(deadLetterSchema),
    next: nextSchema,
  })
  .openapi("DeadLetters");

export const wholeMessageSchema = z
  .object({
    id: z.string(),
    source: z.string(),
    vendor: z.string(),
    reason: z.string(),
    problems: z.array(z.string()),
    receivedAt: at("When it arrived."),
    method: z.string().nullable(),
    topic: z.string().nullable(),
    retained: z.boolean(),
    login: z.string().nullable(),
    headers: z.record(z.string(), z.string()),
    query: z.record(z.string(), z.string()),
    body: z.string().nullable().openapi({ description: "Where it is UTF-8." }),
    bodyBase64: z.string().nullable().openapi({ description: "Where it is not." }),
  })
  .openapi("WholeMessage", { description: "As `waypost decode --quarantined` reads it." });

/** Everything given has to fit. */
export const filterFields = {
  source: nameParameter("Only of this source.", "vans").optional(),
  destination: nameParameter("Only for this destination.", "acme").optional(),
  unit: nameParameter("Only of this unit.", "V-12").max(300).optional(),
  reason: nameParameter("Only set aside for this reason.", "malformed").optional(),
  from: timeParameter("Only set aside since this time.").optional(),
  to: timeParameter("Only set aside until this time.").optional(),
};

export const redriveRequestSchema = z
  .strictObject({
    ...filterFields,
    mode: z.enum(["dry_run", "do"]).openapi({
      description: "`dry_run` changes nothing and reports what would happen; `do` needs role operate.",
    }),
  })
  .openapi("RedriveRequest");

export const deadLettersRedrivenSchema = z
  .object({
    matched: count(),
    waiting: count("Waiting again, to be sent like any other ping."),
    expired: count("Older than the destination allows: never sent."),
    superseded: count("Older than a ping of the unit accepted since."),
    examples: z.array(
      z.object({
        unit: z.string(),
        destination: z.string(),
        fixTime: z.string(),
        reason: z.string(),
        message: z.string(),
      }),
    ),
  })
  .openapi("DeadLettersRedriven");

export const quarantineRedrivenSchema = z
  .object({
    matched: count(),
    readable: count("Can be decoded now."),
    readings: count(),
    staying: count("Still cannot be decoded, or could not be stored now."),
    examples: z.array(
      z.object({
        id: z.string(),
        source: z.string(),
        before: z.string(),
        after: z.string(),
        readings: z.array(
          z.object({
            deviceId: z.string(),
            fixTime: z.string(),
            latitude: z.number(),
            longitude: z.number(),
          }),
        ),
      }),
    ),
  })
  .openapi("QuarantineRedriven");
