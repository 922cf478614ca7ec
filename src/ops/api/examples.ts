/** The example answers about the gateway and its tenants: one tenant, whose fleet sends by webhook. */

import type { z } from "@hono/zod-openapi";
import type { Accounting } from "../../status/accounting.ts";
import type { destinationDetailSchema, destinationsSchema } from "./schema/destination.ts";
import type { ApiProblem } from "./schema/problem.ts";
import type { SourceDetail, sourcesSchema } from "./schema/source.ts";
import type { SmallStatus } from "./schema/status.ts";
import type { TenantDetail, tenantsSchema } from "./schema/tenant.ts";

export const AT = "2026-11-20T18:30:00.000Z";
export const EARLIER = "2026-11-20T18:29:58.000Z";
export const YESTERDAY = "2026-11-19T16:30:00.000Z";

const ACCOUNTING: Accounting = {
  messages: 1250,
  refused: 0,
  ignored: 40,
  handshakes: 0,
  malformed: 2,
  decoded: 1208,
  readings: 4800,
  rejected: 12,
  duplicates: 8,
  stored: 4780,
  delivered: 4760,
  deadLettered: 1,
  expired: 0,
  superseded: 6,
  dropped: 0,
  held: 0,
  waiting: 9,
  inFlight: 4,
};
const IDENTITY = { messages: 0, readings: 0, stored: 0 };

const PROBLEM: ApiProblem = {
  id: "p-5c1f",
  kind: "sending_paused",
  severity: "warning",
  where: "tenant 1000001 (acme)",
  whose: "servicetitan",
  what: "ServiceTitan asks for fewer requests.",
  doNext: "Nothing: sending goes on by itself.",
  since: EARLIER,
  subjects: [],
  tenant: "1000001",
  source: null,
  destination: null,
};

const { problems: _, policies: __, clocks: ___, unmapped: ____, ...SOURCE } = source();
const { problems: _____, policies: ______, ...DESTINATION } = destination();

function source(): SourceDetail {
  return {
    name: "vans",
    vendor: "bouncie",
    transport: "webhook",
    destination: "acme",
    accounting: ACCOUNTING,
    rejectedBy: { too_old: 12 },
    defects: {},
    refusedBy: {},
    conflictingFixes: 0,
    redriven: { messages: 0, pings: 0 },
    lastMessageAt: EARLIER,
    identity: IDENTITY,
    pulse: {
      lastGoodAt: EARLIER,
      challengedAt: null,
      usualGapMs: 4000,
      silentFrom: null,
      refusals: null,
      rejections: null,
      last5Min: { messages: 75 },
      last15Min: { messages: 225 },
      last60Min: { messages: 900 },
    },
    troubled: [
      {
        device: "352099001761482",
        since: EARLIER,
        lastAt: AT,
        rejected: 3,
        messages: 3,
        good: 0,
        goodInARow: 0,
        goodAt: null,
        reason: "in_future",
        offsetMs: { least: -3_600_400, greatest: -3_599_700 },
      },
    ],
    problems: [],
    policies: [{ where: "source vans", name: "unmapped", value: "forward" }],
    clocks: [],
    unmapped: [],
  };
}

function destination(): z.output<typeof destinationDetailSchema> {
  const gate = { state: "open", reason: null, untilMs: null, ratePerSecond: 20 } as const;
  return {
    name: "acme",
    scope: "a542d7f3-1000001",
    tenant: "1000001",
    provider: "waypost",
    scopeGate: gate,
    gate,
    waiting: 9,
    inFlight: 4,
    held: 0,
    oldestWaitingAgeMs: 420,
    newestAcceptedAgeMs: 1900,
    freshness: { units: 40, p50AgeMs: 3100, p95AgeMs: 6400, maxAgeMs: 8900, sending: null },
    bufferBytes: 2700,
    bufferLimitBytes: 256_000_000,
    unitsKnown: 42,
    silentUnits: [],
    lanes: [{ lane: 0, waiting: 9, inFlight: 4, batchId: "b-9f1c", batchAgeMs: 120, unansweredMs: null }],
    deadLetters: 1,
    lastOutcome: "delivered",
    lastOutcomeAt: EARLIER,
    problems: [PROBLEM],
    policies: [{ where: "destination acme", name: "backfill", value: "drop" }],
  };
}

export const EXAMPLE_STATUS: SmallStatus = {
  available: true,
  at: AT,
  process: { version: "1.0.0", node: "v24.11.1", pid: 1, startedAt: YESTERDAY, uptimeS: 93_600 },
  processes: [
    {
      name: "gateway-1-7-a1b2c3",
      isThis: true,
      version: "1.0.0",
      startedAt: YESTERDAY,
      configuration: {
        ...{ fingerprint: "5f0c1e77", appliedAt: YESTERDAY, refused: null, restart: [], leftOut: [] },
      },
      leaving: [],
    },
  ],
  problemCounts: { error: 0, warning: 1 },
  problems: [PROBLEM],
  brokers: [
    {
      name: "yard",
      kind: "client",
      state: "connected",
      since: YESTERDAY,
      reason: null,
      unacked: 0,
      clients: null,
    },
  ],
  pollers: [],
  spool: null,
  incidents: [],
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
  totals: { accounting: ACCOUNTING, identity: IDENTITY },
  counts: { tenants: 1, sources: 1, destinations: 1, unitsKnown: 42 },
  oldestWaitingAgeMs: 420,
  newestAcceptedAgeMs: 1900,
  quarantine: { count: 2, bytes: 1820, oldestAt: YESTERDAY },
  deadLetters: { count: 1, bytes: 380 },
  ledger: { batches: 3120, bytes: 2_410_000, reachesBackTo: YESTERDAY },
  orphans: [],
  policies: [],
};

export const EXAMPLE_PROBLEMS = { items: [PROBLEM], next: null };

const TENANT: TenantDetail["tenant"] = {
  tenant: "1000001",
  origin: "main",
  state: "active",
  destinations: ["acme"],
  sources: ["vans"],
  problems: { error: 0, warning: 1 },
  waiting: 9,
  inFlight: 4,
  oldestWaitingAgeMs: 420,
  newestAcceptedAgeMs: 1900,
  freshnessP50AgeMs: 3100,
  lastMessageAt: EARLIER,
};

export const EXAMPLE_TENANTS: z.output<typeof tenantsSchema> = { items: [TENANT], next: null };
export const EXAMPLE_TENANT: TenantDetail = {
  at: AT,
  tenant: TENANT,
  problems: [PROBLEM],
  destinations: [destination()],
  sources: [source()],
  instructions: [
    {
      ...{
        source: "bouncie-vans",
        vendor: "bouncie",
        address: "https://gps.example.com/webhooks/bouncie-vans",
      },
      headers: [{ name: "Authorization", value: "<secret>" }],
      steps: ["Enter the address at bouncie, which sends to it by POST."],
      ...{ topics: [], docs: "https://docs.bouncie.dev/" },
    },
  ],
};
export const EXAMPLE_SOURCES: z.output<typeof sourcesSchema> = { items: [SOURCE], next: null };
export const EXAMPLE_SOURCE = source();
export const EXAMPLE_DESTINATIONS: z.output<typeof destinationsSchema> = { items: [DESTINATION], next: null };
export const EXAMPLE_DESTINATION = destination();
