/** The example answers about devices, pings and what was set aside: of the fleet of examples.ts. */

import type { z } from "@hono/zod-openapi";
import { AT, EARLIER, YESTERDAY } from "./examples.ts";
import type { devicesSchema, timelineSchema } from "./schema/devices.ts";
import type { auditSchema } from "./schema/operators.ts";
import type { deliveriesSchema, gpsPingsSchema, unitPingsSchema } from "./schema/pings.ts";
import type {
  deadLettersRedrivenSchema,
  deadLettersSchema,
  quarantineRedrivenSchema,
  quarantineSchema,
  wholeMessageSchema,
} from "./schema/set-aside.ts";

export const EXAMPLE_DEVICES: z.output<typeof devicesSchema> = {
  items: [
    {
      source: "vans",
      device: "352099001761481",
      lastSeenAt: EARLIER,
      lastFixAt: EARLIER,
      lastRejection: { at: YESTERDAY, reason: "too_old", count: 3 },
      clockOffsetMs: null,
      unit: "V-12",
      unitName: "Van 12",
      technician: "42",
    },
  ],
  next: null,
};

export const EXAMPLE_TIMELINE: z.output<typeof timelineSchema> = {
  candidates: [
    {
      source: "vans",
      device: "352099001761481",
      unit: "V-12",
      unitName: "Van 12",
      technician: "42",
      destination: "acme",
    },
  ],
  device: { source: "vans", device: "352099001761481", lastSeenAt: AT },
  events: [
    {
      at: AT,
      since: null,
      count: 1,
      kind: "delivered",
      reason: null,
      detail: null,
      fixAt: EARLIER,
      offsetMs: 1800,
      destination: "acme",
      batchId: "b-9f1c",
      status: 200,
      traceId: "trace-77",
      tookMs: 118,
      words: null,
    },
  ],
  reachesBackTo: YESTERDAY,
  unknown: ["Refused messages name no device: those of the source are listed beside."],
  sourceEvents: [],
};

export const EXAMPLE_QUARANTINE: z.output<typeof quarantineSchema> = {
  count: 2,
  bytes: 1820,
  oldestAt: YESTERDAY,
  items: [
    {
      id: "1795199803000-0",
      at: EARLIER,
      source: "vans",
      reason: "malformed",
      problem: "position: Invalid input: expected object, received undefined",
    },
  ],
  next: "WyJhIixbIjE3OTUxOTk4MDMwMDAtMCJdXQ",
};

export const EXAMPLE_MESSAGE: z.output<typeof wholeMessageSchema> = {
  id: "1795199803000-0",
  source: "vans",
  vendor: "bouncie",
  reason: "malformed",
  problems: ["position: Invalid input: expected object, received undefined"],
  receivedAt: EARLIER,
  method: "POST",
  topic: null,
  retained: false,
  login: null,
  headers: { "content-type": "application/json" },
  query: {},
  body: '{"eventType":"tripData"}',
  bodyBase64: null,
};

export const EXAMPLE_EXPORTED_MESSAGE = `{"id":"1795199803000-0","source":"vans","reason":"malformed"}\n`;
export const EXAMPLE_EXPORTED_LETTER = `{"id":"1795199803000-0","unit":"V-12","reason":"failed"}\n`;

export const EXAMPLE_DEAD_LETTERS: z.output<typeof deadLettersSchema> = {
  count: 1,
  bytes: 380,
  items: [
    {
      id: "1795199803000-0",
      at: AT,
      destination: "acme",
      source: "vans",
      unit: "V-12",
      externalId: "vans:352099001761481:1795199798000",
      fixAt: EARLIER,
      reason: "failed",
      message: "Unit 'V-12' is not configured for provider waypost.",
    },
  ],
  next: null,
};

export const EXAMPLE_QUARANTINE_REDRIVEN: z.output<typeof quarantineRedrivenSchema> = {
  matched: 2,
  readable: 1,
  readings: 1,
  staying: 1,
  examples: [
    {
      id: "1795199803000-0",
      source: "vans",
      before: "position: Invalid input: expected object, received undefined",
      after: "1 readings, 0 rejections",
      readings: [{ deviceId: "352099001761481", fixTime: EARLIER, latitude: 30.2672, longitude: -97.7431 }],
    },
  ],
};

export const EXAMPLE_DEAD_LETTERS_REDRIVEN: z.output<typeof deadLettersRedrivenSchema> = {
  matched: 1,
  waiting: 1,
  expired: 0,
  superseded: 0,
  examples: [
    {
      unit: "V-12",
      destination: "acme",
      fixTime: EARLIER,
      reason: "failed",
      message: "Unit 'V-12' is not configured for provider waypost.",
    },
  ],
};

export const EXAMPLE_GPS_PINGS: z.output<typeof gpsPingsSchema> = {
  items: [{ latitude: 30.2672, longitude: -97.7431, speed: 34, heading: 45, utcDateTime: EARLIER }],
  reachesBackTo: YESTERDAY,
};

export const EXAMPLE_UNIT_PINGS: z.output<typeof unitPingsSchema> = {
  destination: "acme",
  unit: "V-12",
  fromUtc: YESTERDAY,
  toUtc: AT,
  speedUnit: "mph",
  reachesBackTo: YESTERDAY,
  now: { waiting: 1, inFlight: 0, complete: true, acceptedFixAt: EARLIER, held: [] },
  more: false,
  pings: [
    {
      fate: "delivered",
      fixAt: EARLIER,
      receivedAt: EARLIER,
      settledAt: AT,
      latitude: 30.2672,
      longitude: -97.7431,
      speed: 34,
      heading: 45,
      details: { driver: "Ana" },
      source: "vans",
      device: "352099001761481",
      technician: "42",
      batchId: "b-9f1c",
      outcome: "delivered",
      status: 200,
      traceId: "trace-77",
    },
  ],
};

export const EXAMPLE_DELIVERIES: z.output<typeof deliveriesSchema> = {
  batches: 3120,
  bytes: 2_410_000,
  reachesBackTo: YESTERDAY,
  items: [
    {
      at: AT,
      destination: "acme",
      batchId: "b-9f1c",
      pings: 4,
      outcome: "delivered",
      status: 200,
      tookMs: 118,
    },
  ],
};

export const EXAMPLE_AUDIT: z.output<typeof auditSchema> = {
  items: [
    { at: AT, action: "login", by: "boss", from: "10.0.0.7", filter: {}, count: null, outcome: "done" },
  ],
  next: null,
};
