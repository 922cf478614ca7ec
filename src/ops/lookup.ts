/** Looks up single pings and messages in the queue, and answers in the destination's words and units. */

import { isUtf8 } from "node:buffer";
import type { Config } from "../config/config.ts";
import type { Mappings } from "../mapping/mappings.ts";
import type { FoundPing } from "../queue/ledger/ledger.ts";
import type { Queue } from "../queue/queue.ts";
import { MPS_PER, type SpeedUnit } from "../reading.ts";
import { iso } from "../time.ts";

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

/** As many pings as one answer lists: more than a person reads. */
const MAX_PINGS = 200;

export interface LookupDeps {
  config: () => Config;
  mapping: Pick<Mappings, "unitsOf">;
  queue: Pick<Queue, "findPings" | "locateUnit" | "quarantined" | "queryStatus">;
}

export function createLookup({ config, mapping, queue }: LookupDeps): Lookup {
  async function reachesBackTo(): Promise<string | null> {
    return (await queue.queryStatus()).ledger.reachesBackTo;
  }

  /** The pings of the units that the mapping gives a destination's technician, as they were sent. */
  async function queryPings({ destination, technicianId, fromUtc, toUtc }: PingQuery) {
    const speedUnit = config().destinations[destination]?.speedUnit;
    const range = { from: Date.parse(fromUtc), to: Date.parse(toUtc) };
    const units = speedUnit === undefined ? [] : mapping.unitsOf(destination, technicianId);
    const found = await Promise.all(
      units.map(async (unit): Promise<SentPing[]> => {
        const pings = await queue.findPings({ destination, unit, ...range });
        return pings
          .filter(({ fate, technician }) => fate === "delivered" && technician === technicianId)
          .map(({ latitude, longitude, speedMps, headingDeg, fixTime }) => ({
            latitude,
            longitude,
            speed: speedUnit === undefined ? null : speedIn(speedUnit, speedMps),
            heading: headingDeg,
            utcDateTime: iso(fixTime),
          }));
      }),
    );
    const items = found.flat().sort((a, b) => a.utcDateTime.localeCompare(b.utcDateTime));
    return { items, reachesBackTo: await reachesBackTo() };
  }

  const queryUnit: Lookup["queryUnit"] = async ({ destination, unit, fromUtc, toUtc }) => {
    const speedUnit = config().destinations[destination]?.speedUnit;
    const range = { from: Date.parse(fromUtc), to: Date.parse(toUtc) };
    const [now, pings, reach] = await Promise.all([
      queue.locateUnit(destination, unit),
      // One more than is listed shows that there are more.
      queue.findPings({ destination, unit, ...range, limit: MAX_PINGS + 1 }),
      reachesBackTo(),
    ]);
    if (speedUnit === undefined || now === null) return null;
    const { waiting, inFlight, complete, acceptedFixTime, held } = now;
    return {
      speedUnit,
      reachesBackTo: reach,
      now: {
        waiting,
        inFlight,
        complete,
        acceptedFixAt: acceptedFixTime === null ? null : iso(acceptedFixTime),
        held: held.map(({ source, fixTime }) => ({ source, fixAt: iso(fixTime) })),
      },
      more: pings.length > MAX_PINGS,
      pings: pings
        .reverse()
        .slice(0, MAX_PINGS)
        .map((ping) => pingAnswer(ping, speedUnit)),
    };
  };

  const queryMessage: Lookup["queryMessage"] = async (id, source, within) => {
    const found = await queue.quarantined(id, source, within);
    if (!found) return null;
    const { message } = found;
    const body = Buffer.from(message.body);
    const isText = isUtf8(body);
    return {
      id: found.id,
      source: found.source,
      vendor: config().sources[found.source]?.vendor ?? "",
      reason: found.reason,
      problems: found.problems,
      receivedAt: iso(found.receivedAt),
      method: message.method ?? null,
      topic: message.topic ?? null,
      retained: message.retained,
      login: message.login ?? null,
      headers: message.headers,
      query: message.query,
      body: isText ? body.toString() : null,
      bodyBase64: isText ? null : body.toString("base64"),
    };
  };

  return { queryPings, queryUnit, queryMessage };
}

function pingAnswer(ping: FoundPing, speedUnit: SpeedUnit): UnitAnswer["pings"][number] {
  const { fate, latitude, longitude, source, device, technician, batch } = ping;
  return {
    fate,
    fixAt: iso(ping.fixTime),
    receivedAt: iso(ping.receivedAt),
    settledAt: iso(ping.settledAt),
    latitude,
    longitude,
    speed: speedIn(speedUnit, ping.speedMps),
    heading: ping.headingDeg,
    details: ping.details ?? null,
    source,
    device,
    technician,
    batchId: batch.batchId,
    outcome: batch.outcome,
    status: batch.status,
    traceId: batch.traceId,
  };
}

/** The ledger keeps 0.01 m/s, so the last decimal may differ from what was sent. */
function speedIn(unit: SpeedUnit, speedMps: number | null): number | null {
  return speedMps === null ? null : Math.round((speedMps / MPS_PER[unit]) * 100) / 100;
}
