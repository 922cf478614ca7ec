/** Pings of a technician and of a unit, and the latest deliveries, as the API answers them. */

import { at, atOrNull, count, ms, z } from "./fields.ts";

export const gpsPingsSchema = z
  .object({
    items: z.array(
      z
        .object({
          latitude: z.number(),
          longitude: z.number(),
          speed: z.number().nullable().openapi({ description: "In the destination's speed unit, as sent." }),
          heading: z.number().nullable(),
          utcDateTime: at("When the position was fixed."),
        })
        .openapi("SentPing"),
    ),
    reachesBackTo: atOrNull("The oldest time the ledger covers; null where it is empty."),
  })
  .openapi("GpsPings");

const unitPingSchema = z
  .object({
    fate: z.string(),
    fixAt: at("When the position was fixed."),
    receivedAt: at("When it arrived."),
    settledAt: at("When its fate was settled."),
    latitude: z.number(),
    longitude: z.number(),
    speed: z.number().nullable(),
    heading: z.number().nullable(),
    details: z.record(z.string(), z.unknown()).nullable(),
    source: z.string(),
    device: z.string(),
    technician: z.string().nullable(),
    batchId: z.string(),
    outcome: z.string(),
    status: count("ServiceTitan's HTTP status.").nullable(),
    traceId: z.string().nullable(),
  })
  .openapi("UnitPing");

export const unitPingsSchema = z
  .object({
    destination: z.string(),
    unit: z.string(),
    fromUtc: z.string(),
    toUtc: z.string(),
    speedUnit: z.string(),
    reachesBackTo: atOrNull("The oldest time the ledger covers; null where it is empty."),
    now: z.object({
      waiting: count(),
      inFlight: count(),
      complete: z.boolean().openapi({ description: "False: only the newest of the waiting were searched." }),
      acceptedFixAt: atOrNull("The newest fix that ServiceTitan accepted."),
      held: z.array(z.object({ source: z.string(), fixAt: at("When the position was fixed.") })),
    }),
    more: z.boolean().openapi({ description: "The time range holds more pings than are listed." }),
    pings: z.array(unitPingSchema).openapi({ description: "The latest fix first." }),
  })
  .openapi("UnitPings");

export const deliveriesSchema = z
  .object({
    batches: count("In the ledger."),
    bytes: count(),
    reachesBackTo: atOrNull("The oldest time the ledger covers; null where it is empty."),
    items: z.array(
      z
        .object({
          at: at("When the attempt ended."),
          destination: z.string(),
          batchId: z.string(),
          pings: count(),
          outcome: z.string(),
          status: count().nullable(),
          tookMs: ms(),
        })
        .openapi("Delivery"),
    ),
  })
  .openapi("Deliveries");
