/** A gateway at work, as the queue would describe it, for tests of what ops makes of it. */

import type { UnitAnswer, WholeMessage } from "../../src/ops/lookup.ts";
import type { Accounting } from "../../src/status/accounting.ts";
import { identityOf } from "../../src/status/accounting.ts";
import type {
  DestinationStatus,
  GateStatus,
  QueueStatus,
  SourcePulse,
  SourceStatus,
} from "../../src/status/queue.ts";
import { iso } from "../../src/time.ts";

export const AT = "2026-11-20T18:30:00.000Z";

/** The time so long before `AT`. */
export function before(ms: number): string {
  return new Date(Date.parse(AT) - ms).toISOString();
}

export const OPEN: GateStatus = { state: "open", reason: null, untilMs: null, ratePerSecond: 20 };

const ACCOUNTING: Accounting = {
  messages: 12_480,
  refused: 14,
  ignored: 1_203,
  handshakes: 1,
  malformed: 2,
  decoded: 11_260,
  readings: 45_386,
  rejected: 412,
  duplicates: 96,
  stored: 44_878,
  delivered: 44_201,
  deadLettered: 3,
  expired: 21,
  superseded: 340,
  dropped: 0,
  held: 5,
  waiting: 208,
  inFlight: 100,
};

/** Of a source that sends every few seconds, as of a time: all of it is good, and it is silent five minutes later. */
function pulseAt(at: string): SourcePulse {
  const lastGoodMs = Date.parse(at) - 400;
  return {
    lastGoodAt: iso(lastGoodMs),
    challengedAt: null,
    usualGapMs: 15_000,
    silentFrom: iso(lastGoodMs + 300_000),
    refusals: null,
    rejections: null,
    last5Min: { messages: 60, decoded: 60, readings: 60, stored: 60, delivered: 58 },
    last15Min: { messages: 180, decoded: 180, readings: 180, stored: 180, delivered: 178 },
    last60Min: { messages: 720, decoded: 720, readings: 720, stored: 720, delivered: 718 },
  };
}

export const PULSE = pulseAt(AT);

export function source(changes: Partial<SourceStatus> = {}): SourceStatus {
  const accounting = changes.accounting ?? ACCOUNTING;
  return {
    name: "bouncie-vans",
    vendor: "bouncie",
    transport: "webhook",
    destination: "acme-austin",
    accounting,
    rejectedBy: { null_island: 301, too_old: 88, no_fix: 23 },
    defects: { speed_too_high: 41, heading_out_of_range: 7 },
    refusedBy: { unauthenticated: 14 },
    conflictingFixes: 2,
    redriven: { messages: 0, pings: 0 },
    lastMessageAt: before(400),
    pulse: PULSE,
    troubled: [],
    identity: identityOf(accounting),
    ...changes,
  };
}

export function destination(changes: Partial<DestinationStatus> = {}): DestinationStatus {
  return {
    name: "acme-austin",
    scope: "7f3a.1015",
    tenant: "1015",
    provider: "AcmeGPS",
    scopeGate: OPEN,
    gate: OPEN,
    waiting: 208,
    inFlight: 100,
    held: 5,
    oldestWaitingAgeMs: 840,
    newestAcceptedAgeMs: 1_310,
    freshness: { units: 205, p50AgeMs: 3_100, p95AgeMs: 6_400, maxAgeMs: 8_900, sending: null },
    bufferBytes: 61_234,
    bufferLimitBytes: 256_000_000,
    unitsKnown: 212,
    silentUnits: [],
    lanes: [
      { lane: 0, waiting: 61, inFlight: 100, batchId: "b-9f1c", batchAgeMs: 120, unansweredMs: null },
      { lane: 1, waiting: 48, inFlight: 0, batchId: null, batchAgeMs: null, unansweredMs: null },
      { lane: 2, waiting: 57, inFlight: 0, batchId: null, batchAgeMs: null, unansweredMs: null },
      { lane: 3, waiting: 42, inFlight: 0, batchId: null, batchAgeMs: null, unansweredMs: null },
    ],
    deadLetters: 0,
    lastOutcome: "delivered",
    lastOutcomeAt: before(310),
    ...changes,
  };
}

/** Nothing wrong, at the time that is given. */
export function healthy(changes: Partial<QueueStatus> = {}): QueueStatus {
  const { at = AT } = changes;
  return {
    at,
    sources: [source({ lastMessageAt: iso(Date.parse(at) - 400), pulse: pulseAt(at) })],
    destinations: [destination()],
    redis: {
      reachable: true,
      version: "7.0.15",
      aof: "everysec",
      maxmemoryPolicy: "noeviction",
      usedMemoryBytes: 41_200_000,
      maxMemoryBytes: 2_000_000_000,
      writable: true,
      problems: [],
    },
    jobs: { waiting: 0, active: 1, delayed: 0, failed: 0 },
    quarantine: { count: 0, bytes: 0, oldestAt: null, recent: [] },
    deadLetters: { count: 0, bytes: 0, recent: [] },
    ledger: {
      batches: 3_120,
      bytes: 2_410_000,
      reachesBackTo: before(26 * 3_600_000),
      recent: Array.from({ length: 8 }, (_, index) => ({
        at: before(310 + index * 970),
        destination: "acme-austin",
        batchId: `b-9f1${index}`,
        pings: 100 - index * 7,
        outcome: "delivered",
        status: 200,
        tookMs: 118 + index * 9,
      })),
    },
    orphans: [],
    unmapped: [],
    ...changes,
  };
}

/** A bad night: two tenants, one refused by ServiceTitan, one behind, and most of what can be wrong beside it. */
export function troubled(): QueueStatus {
  const little: Accounting = {
    ...ACCOUNTING,
    messages: 3_204,
    refused: 0,
    ignored: 0,
    handshakes: 0,
    malformed: 4,
    decoded: 3_200,
    readings: 3_200,
    rejected: 140,
    duplicates: 0,
    stored: 3_060,
    delivered: 1_840,
    deadLettered: 2,
    expired: 0,
    superseded: 0,
    dropped: 0,
    held: 0,
    waiting: 1_218,
    inFlight: 0,
  };
  return healthy({
    sources: [
      source(),
      source({
        name: "motive",
        vendor: "motive",
        accounting: little,
        rejectedBy: { in_future: 140 },
        defects: {},
        refusedBy: {},
        conflictingFixes: 0,
        lastMessageAt: before(3_100),
      }),
      source({
        name: "trackers",
        vendor: "traccar",
        transport: "broker",
        destination: "blue-plumbing",
        accounting: little,
        rejectedBy: { no_fix: 140 },
        defects: {},
        refusedBy: {},
        conflictingFixes: 0,
        lastMessageAt: before(65_000),
      }),
    ],
    destinations: [
      destination({
        scopeGate: {
          state: "paused",
          reason: "throttled",
          untilMs: Date.parse(AT) + 4_000,
          ratePerSecond: 20,
        },
        waiting: 1_426,
        oldestWaitingAgeMs: 74_000,
        newestAcceptedAgeMs: 78_000,
        freshness: { units: 200, p50AgeMs: 80_400, p95AgeMs: 84_000, maxAgeMs: 2_400_000, sending: null },
        bufferBytes: 221_000_000,
        silentUnits: [
          { unit: "Van 12", lastFixAt: before(2_400_000), ageMs: 2_400_000 },
          { unit: "Van 40", lastFixAt: before(5_400_000), ageMs: 5_400_000 },
        ],
        deadLetters: 5,
        lastOutcome: "throttled",
      }),
      destination({
        name: "blue-plumbing",
        scope: "7f3a.2207",
        tenant: "2207",
        gate: { state: "paused", reason: "forbidden", untilMs: Date.parse(AT) + 30_000, ratePerSecond: 20 },
        waiting: 1_218,
        inFlight: 0,
        held: 0,
        oldestWaitingAgeMs: 412_000,
        newestAcceptedAgeMs: 415_000,
        freshness: { units: 118, p50AgeMs: 417_000, p95AgeMs: 420_000, maxAgeMs: 421_000, sending: null },
        lanes: [0, 1, 2, 3].map((lane) => ({
          lane,
          waiting: lane === 0 ? 309 : 303,
          inFlight: 0,
          batchId: null,
          batchAgeMs: null,
          unansweredMs: null,
        })),
        lastOutcome: "blocked",
        lastOutcomeAt: before(12_000),
      }),
    ],
    quarantine: {
      count: 6,
      bytes: 9_410,
      oldestAt: before(7_200_000),
      recent: [
        {
          id: "1795199803000-0",
          at: before(33_000),
          source: "motive",
          reason: "malformed",
          problem: "vehicle.current_location: Invalid input: expected object, received string",
        },
      ],
    },
    deadLetters: {
      count: 5,
      bytes: 1_900,
      recent: [
        {
          id: "d-1",
          at: before(80_000),
          destination: "acme-austin",
          unit: "Van 7",
          externalId: "bouncie-vans:352099001761481:1732126080000",
          reason: "failed",
          message: "Unit 'Van 7' is not configured for provider AcmeGPS.",
        },
      ],
    },
    orphans: [],
    unmapped: [
      { source: "bouncie-vans", device: "352099001761999", lastFixAt: before(40_000), policy: "hold" },
      { source: "trackers", device: "tk-0042", lastFixAt: before(90_000), policy: "forward" },
    ],
  });
}

/** As many companies, each with a destination and two sources; one of them is in trouble. */
export function manyTenants(tenants: number): QueueStatus {
  const names = Array.from({ length: tenants }, (_, index) => `company-${index}`);
  const [, troubledOne] = troubled().destinations;
  return healthy({
    sources: names.flatMap((name) =>
      ["vans", "trackers"].map((kind) => source({ name: `${name}-${kind}`, destination: name })),
    ),
    destinations: [
      ...names
        .slice(1)
        .map((name, index) =>
          destination({ name, tenant: String(1_000_001 + index), scope: `7f3a.${1_000_001 + index}` }),
        ),
      ...(troubledOne ? [troubledOne] : []),
    ],
  });
}

/** A unit with a ping that was delivered, one that was refused, and one on its way. */
export function unitAnswer(): UnitAnswer {
  const ping: UnitAnswer["pings"][number] = {
    fate: "delivered",
    fixAt: before(21_000),
    receivedAt: before(19_500),
    settledAt: before(18_900),
    latitude: 30.2671531,
    longitude: -97.7430608,
    speed: 34.2,
    heading: 271,
    details: {
      street: "12 Elm St",
      city: "Austin",
      region: "TX",
      postalCode: "78701",
      ignition: true,
      odometerM: 120_400_500,
      accuracyM: 4,
      altitudeM: 149,
      batteryPct: 87,
      driver: "Ana",
      vendorEvent: "trip",
    },
    source: "bouncie-vans",
    device: "352099001761481",
    technician: "42",
    batchId: "b-9f1c",
    outcome: "delivered",
    status: 200,
    traceId: "trace-77",
  };
  return {
    speedUnit: "mph",
    reachesBackTo: before(26 * 3_600_000),
    now: {
      waiting: 3,
      inFlight: 1,
      complete: true,
      acceptedFixAt: before(21_000),
      held: [{ source: "trackers", fixAt: before(40_000) }],
    },
    more: false,
    pings: [
      ping,
      {
        ...ping,
        fate: "dead_lettered",
        fixAt: before(51_000),
        speed: null,
        heading: null,
        details: null,
        outcome: "partial",
      },
    ],
  };
}

export function wholeMessage(): WholeMessage {
  return {
    id: "1795199803000-0",
    source: "motive",
    vendor: "motive",
    reason: "malformed",
    problems: ["vehicle.current_location: Invalid input: expected object, received string"],
    receivedAt: before(33_000),
    method: "POST",
    topic: null,
    retained: false,
    login: null,
    headers: { "content-type": "application/json" },
    query: {},
    body: '{"vehicle":{"current_location":"<b>here</b>"}}',
    bodyBase64: null,
  };
}
