/** Routes that answer for single things: the pings of a unit or a technician, and one message of the quarantine. */

import type { Hono } from "hono";
import { z } from "zod";
import { iso } from "../time.ts";
import type { OpsEnv } from "./access/sight.ts";
import { operationOf, type Trail } from "./access/trail.ts";

/** One position as it was sent, for the read-back. */
export interface SentPing {
  latitude: number;
  longitude: number;
  /** In the destination's speed unit, as sent; null where unknown. */
  speed: number | null;
  heading: number | null;
  utcDateTime: string;
}

export interface PingQuery {
  destination: string;
  technicianId: string;
  /** ISO, UTC, milliseconds. */
  fromUtc: string;
  toUtc: string;
}

export interface UnitQuery {
  destination: string;
  unit: string;
  /** ISO, UTC, milliseconds. */
  fromUtc: string;
  toUtc: string;
}

/** Where a unit's pings went, the latest fix first, and which of them are still on the way. Times are ISO, UTC. */
export interface UnitAnswer {
  /** Unit of `speed`, as the destination gets it. */
  speedUnit: string;
  /** The oldest time the ledger covers; null when it is empty. */
  reachesBackTo: string | null;
  now: {
    waiting: number;
    inFlight: number;
    /** False: only the newest of the waiting pings were searched. */
    complete: boolean;
    acceptedFixAt: string | null;
    /** By device: a device that no mapping row names has no unit yet. */
    held: { source: string; fixAt: string }[];
  };
  /** The time range holds more pings than are listed. */
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

/** A message in quarantine, as `waypost decode --quarantined` reads it, without its credentials. */
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
  /** Null for a sender without a login of its own. */
  login: string | null;
  headers: Readonly<Record<string, string>>;
  query: Readonly<Record<string, string>>;
  /** The body, where it is UTF-8; otherwise `bodyBase64` has it. */
  body: string | null;
  bodyBase64: string | null;
}

export interface Lookup {
  /** Null for a destination that is not configured. */
  queryUnit(query: UnitQuery): Promise<UnitAnswer | null>;
  queryPings(query: PingQuery): Promise<{ items: SentPing[]; reachesBackTo: string | null }>;
  /** Messages of sources outside `within` count as not there. */
  queryMessage(id: string, source: string | null, within?: ReadonlySet<string>): Promise<WholeMessage | null>;
}

const DAY_MS = 86_400_000;
/** The ledger is searched hour by hour. */
const MAX_RANGE_MS = 31 * DAY_MS;
const RANGE_RULE = "must be after fromUtc, by at most 31 days";

/** Milliseconds since 1970. */
function isRange(from: number, to: number): boolean {
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

const pingQuery = z
  .strictObject({
    destination: z.string().min(1).max(40).optional(),
    technicianId: z.string().min(1).max(100),
    fromUtc: time,
    toUtc: time,
  })
  .refine(({ fromUtc, toUtc }) => isRange(Date.parse(fromUtc), Date.parse(toUtc)), {
    path: ["toUtc"],
    error: RANGE_RULE,
  });

export function serveLookup(app: Hono<OpsEnv>, lookup: Lookup, trail: Trail): void {
  app.get("/pings", async (c) => {
    const query = unitQuery.safeParse(c.req.query());
    if (!query.success) return c.json({ error: "bad_query", problems: problemsOf(query.error) }, 400);
    const { destination, unit, from, to } = query.data;
    if (!c.var.sight.seesDestination(destination)) return c.json(UNKNOWN_DESTINATION, 404);
    const asked = { destination, unit, fromUtc: iso(from), toUtc: iso(to) };
    const answer = await trail.during(
      operationOf(c, "unit_pings", asked),
      () => lookup.queryUnit(asked),
      (found) => found?.pings.length ?? 0,
    );
    return answer ? c.json({ ...asked, ...answer }) : c.json(UNKNOWN_DESTINATION, 404);
  });

  app.get("/gps-pings", async (c) => {
    const query = pingQuery.safeParse(c.req.query());
    if (!query.success) return c.json({ error: "bad_query", problems: problemsOf(query.error) }, 400);
    const { technicianId, fromUtc, toUtc } = query.data;
    const { destinations } = c.var.sight;
    // A technician's id is unique within one tenant only.
    const destination = query.data.destination ?? (destinations.length === 1 ? destinations[0] : undefined);
    if (destination === undefined) {
      const problem = `destination: is required where there are several: ${destinations.join(", ")}`;
      return c.json({ error: "bad_query", problems: [problem] }, 400);
    }
    if (!destinations.includes(destination)) return c.json(UNKNOWN_DESTINATION, 404);
    const asked = {
      destination,
      technicianId,
      fromUtc: iso(Date.parse(fromUtc)),
      toUtc: iso(Date.parse(toUtc)),
    };
    const answer = await trail.during(
      operationOf(c, "gps_pings", asked),
      () => lookup.queryPings(asked),
      ({ items }) => items.length,
    );
    return c.json(answer);
  });

  // The form of a Redis stream id, so that no other route of the quarantine matches.
  app.get("/quarantine/:id{[0-9]{1,20}-[0-9]{1,20}}", async (c) => {
    const id = c.req.param("id");
    const source = c.req.query("source") ?? null;
    const message = await trail.during(
      operationOf(c, "quarantined_message", { id, ...(source === null ? {} : { source }) }),
      () => lookup.queryMessage(id, source, c.var.sight.within?.sources),
      (found) => (found ? 1 : 0),
    );
    return message ? c.json(message) : c.json({ error: "not_found" }, 404);
  });
}

/** The answer for what does not exist and for what belongs to another tenant. */
const UNKNOWN_DESTINATION = { error: "unknown_destination" };

function problemsOf({ issues }: z.ZodError): string[] {
  return issues.map(({ path, message }) => `${path.join(".") || "query"}: ${message}`);
}
