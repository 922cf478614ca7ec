/** Devices, and the timeline of one of them, as the API answers them. */

import { nextSchema } from "../cursors.ts";
import { at, atOrNull, count, msOrNull, page, z } from "./fields.ts";

export const deviceSchema = z
  .object({
    source: z.string(),
    device: z.string(),
    lastSeenAt: atOrNull("When it last sent anything that could be decoded."),
    lastFixAt: atOrNull("Its last reading's fix."),
    lastRejection: z
      .object({ at: at("When it was rejected."), reason: z.string(), count: count() })
      .nullable(),
    clockOffsetMs: msOrNull("Received minus fix where its clock is wrong by a constant."),
    unit: z.string().nullable(),
    unitName: z.string().nullable(),
    technician: z.string().nullable(),
  })
  .openapi("Device");

export const devicesSchema = page(deviceSchema, nextSchema).openapi("Devices");

const candidateSchema = z
  .object({
    source: z.string(),
    device: z.string(),
    unit: z.string(),
    unitName: z.string(),
    technician: z.string().nullable(),
    destination: z.string(),
  })
  .openapi("Candidate");

const eventSchema = z
  .object({
    at: at("When it happened; the last time where it happened more than once."),
    since: atOrNull("The first time."),
    count: count("How often."),
    kind: z.string(),
    reason: z.string().nullable(),
    detail: z.string().nullable(),
    fixAt: atOrNull("When the position was fixed."),
    offsetMs: msOrNull("Received minus fix of the last of them."),
    destination: z.string().nullable(),
    batchId: z.string().nullable(),
    status: count("ServiceTitan's HTTP status.").nullable(),
    traceId: z.string().nullable(),
    tookMs: msOrNull(),
    words: z.string().nullable(),
  })
  .openapi("TimelineEvent");

export const timelineSchema = z
  .object({
    candidates: z.array(candidateSchema).openapi({
      description:
        "Every device that fits, once for each destination it leads to; with exactly one device, its events follow.",
    }),
    device: z
      .object({
        source: z.string(),
        device: z.string(),
        lastSeenAt: atOrNull("When its last reading came that was stored, or was a duplicate."),
      })
      .nullable()
      .openapi({ description: "The device whose events follow; null where none fits, or several do." }),
    events: z.array(eventSchema).openapi({ description: "The latest first." }),
    reachesBackTo: atOrNull("How far back the events reach."),
    unknown: z.array(z.string()).openapi({ description: "What the timeline does not know, in sentences." }),
    sourceEvents: z
      .array(eventSchema)
      .openapi({ description: "Events of the source around that time that name no device." }),
  })
  .openapi("Timeline");

export type DeviceRow = z.output<typeof deviceSchema>;
export type Timeline = z.output<typeof timelineSchema>;
