/** Routes for one thing: where a unit's pings went, and one message of the quarantine, whole. */

import type { Hono } from "hono";
import { z } from "zod";

export interface UnitQuery {
  destination: string;
  unit: string;
  /** ISO, UTC, milliseconds. */
  fromUtc: string;
  toUtc: string;
}

/** Where a unit's pings went, the latest fix first, and what of it has not come to an end. Times are ISO, UTC. */
export interface UnitAnswer {
  /** Of `speed`, as the destination gets it. */
  speedUnit: string;
  /** How far the ledger knows anything at all; null when it is empty. */
  reachesBackTo: string | null;
  now: {
    waiting: number;
    inFlight: number;
    /** False: only the newest of what waits was looked through. */
    complete: boolean;
    acceptedFixAt: string | null;
    /** By device: what no mapping row names has no unit yet. */
    held: { source: string; fixAt: string }[];
  };
  /** There are more in this time than are listed. */
  more: boolean;
  pings: {
    fate: string;
    fixAt: string;
    receivedAt: string;
    settledAt: string;
    latitude: number;
    longitude: number;
    speed: number | null;
    heading: number | null;
    details: object | null;
    source: string;
    device: string;
    technician: string | null;
    batchId: string;
    outcome: string;
    status: number | null;
    traceId: string | null;
  }[];
}

/** A message in quarantine, as `waypost decode --quarantined` reads it. What proved its sender is not kept. */
export interface WholeMessage {
  id: string;
  source: string;
  vendor: string;
  reason: string;
  problems: string[];
  /** ISO, UTC. */
  receivedAt: string;
  method: string | null;
  topic: string | null;
  retained: boolean;
  /** Of a sender with a login of its own. */
  login: string | null;
  headers: Readonly<Record<string, string>>;
  query: Readonly<Record<string, string>>;
  /** The body, where it is UTF-8; otherwise `bodyBase64` has it. */
  body: string | null;
  bodyBase64: string | null;
}

export interface Questions {
  /** Null for a destination that is not configured. */
  queryUnit(query: UnitQuery): Promise<UnitAnswer | null>;
  queryMessage(id: string, source: string | null): Promise<WholeMessage | null>;
}

const DAY_MS = 86_400_000;
/** The ledger is looked through by the hour. */
const MAX_RANGE_MS = 31 * DAY_MS;
export const RANGE_RULE = "must be after fromUtc, by at most 31 days";

/** Milliseconds since 1970. */
export function isRange(from: number, to: number): boolean {
  return from <= to && to - from <= MAX_RANGE_MS;
}

const time = z.iso.datetime({ offset: true, error: "must be a time such as 2026-11-20T14:00:00Z" });
const unitQuery = z
  .strictObject({
    destination: z.string().min(1).max(40),
    unit: z.string().trim().min(1).max(300),
    /** Default: a day before the end. */
    fromUtc: time.optional(),
    /** Default: now. */
    toUtc: time.optional(),
  })
  .transform(({ destination, unit, fromUtc, toUtc }) => {
    const to = toUtc === undefined ? Date.now() : Date.parse(toUtc);
    return { destination, unit, from: fromUtc === undefined ? to - DAY_MS : Date.parse(fromUtc), to };
  })
  .refine(({ from, to }) => isRange(from, to), { path: ["toUtc"], error: RANGE_RULE });

/** Redis' own form of an entry's id. */
const messageId = z.string().regex(/^\d{1,20}-\d{1,20}$/);

export function serveQuestions(app: Hono, questions: Questions): void {
  app.get("/pings", async (c) => {
    const query = unitQuery.safeParse(c.req.query());
    if (!query.success) {
      const problems = query.error.issues.map(
        (issue) => `${issue.path.join(".") || "query"}: ${issue.message}`,
      );
      return c.json({ error: "bad_query", problems }, 400);
    }
    const { destination, unit, from, to } = query.data;
    const asked = {
      destination,
      unit,
      fromUtc: new Date(from).toISOString(),
      toUtc: new Date(to).toISOString(),
    };
    const answer = await questions.queryUnit(asked);
    return answer ? c.json({ ...asked, ...answer }) : c.json({ error: "unknown_destination" }, 404);
  });

  app.get("/quarantine/:id", async (c) => {
    const id = messageId.safeParse(c.req.param("id"));
    const message = id.success ? await questions.queryMessage(id.data, c.req.query("source") ?? null) : null;
    return message ? c.json(message) : c.json({ error: "not_found" }, 404);
  });
}
