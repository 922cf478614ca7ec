/** Tells what is where: counters, and what waits, is held or in flight, counted from the structures in one step per scope. */

import type { Redis } from "ioredis";
import { externalIdOf } from "../../servicetitan/ping.ts";
import {
  type Accounting,
  type DestinationStatus,
  type GateStatus,
  identityOf,
  type LaneStatus,
  type QueueStatus,
  type SourceStatus,
} from "../../status.ts";
import { iso } from "../../time.ts";
import type { Jobs } from "../batch/jobs.ts";
import { recentEntries } from "../ledger/ledger.ts";
import type { Quarantine } from "../ledger/quarantine.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { keys } from "../redis/keys.ts";
import { decodeRecord } from "../redis/record.ts";
import { readRedis } from "../redis/redis.ts";
import type { Routes } from "../store/routes.ts";
import {
  type Audit,
  type AuditLane,
  auditScope,
  type DestinationAudit,
  listOf,
  mapOf,
  numberOf,
  type SourceAudit,
} from "../upkeep/count-script.ts";
import { createUnits } from "./freshness.ts";

export interface StatusOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  sources: ReadonlyMap<string, StatusSource>;
  routes: Routes;
  quarantine: Quarantine;
  jobs: Jobs;
}

export interface StatusSource {
  name: string;
  vendor: string;
  transport: SourceStatus["transport"];
  destination: string;
  home: string;
  unmapped: "forward" | "hold";
}

const RECENT = 20;
const MAX_UNMAPPED_LISTED = 200;

export function createStatus(options: StatusOptions): (within?: ReadonlySet<string>) => Promise<QueueStatus> {
  const { redis, destinations, sources } = options;
  const scopes = [...new Set([...destinations.values()].map(({ scope }) => scope))];
  const lookAtUnits = createUnits(redis);
  const destinationsIn = (scope: string) =>
    [...destinations.values()].filter((each) => each.scope === scope).map(({ name }) => name);

  return async function queryStatus(within?: ReadonlySet<string>): Promise<QueueStatus> {
    // Otherwise the latest twenty of all would be those of whoever has the most.
    const shown = scopes.filter(
      (scope) => within === undefined || destinationsIn(scope).some((name) => within.has(name)),
    );
    const [audits, redisStatus, jobs, quarantine, deadLetters, ledger, unmapped] = await Promise.all([
      Promise.all(scopes.map((scope) => auditScope(redis, scope, sources.keys(), destinationsIn(scope)))),
      readRedis(redis),
      options.jobs.counts(),
      quarantineRecent(shown),
      deadLettersRecent(shown),
      ledgerRecent(shown),
      unmappedDevices(),
    ]);
    const sum = (name: "ledger" | "dead" | "quarantine") => {
      let n = 0;
      let bytes = 0;
      let first = Number.POSITIVE_INFINITY;
      for (const { lengths, sizes } of audits.filter((_, i) => shown.includes(scopes[i] ?? ""))) {
        n += lengths[name].n;
        bytes += numberOf(mapOf(sizes)[name]);
        if (lengths[name].first !== "") first = Math.min(first, Number(lengths[name].first.split("-")[0]));
      }
      return { n, bytes, first: Number.isFinite(first) ? iso(first) : null };
    };
    const [q, d, l] = [sum("quarantine"), sum("dead"), sum("ledger")];
    return {
      at: new Date().toISOString(),
      sources: [...sources.values()].map((source) => sourceStatus(source, audits)),
      destinations: await Promise.all(
        audits.flatMap((each, i) =>
          listOf<DestinationAudit>(each.destinations).map((found) =>
            destinationStatus(found, each, scopes[i] ?? ""),
          ),
        ),
      ),
      redis: redisStatus,
      jobs,
      quarantine: { count: q.n, bytes: q.bytes, oldestAt: q.first, recent: quarantine },
      deadLetters: { count: d.n, bytes: d.bytes, recent: deadLetters },
      ledger: { batches: l.n, bytes: l.bytes, reachesBackTo: l.first, recent: ledger },
      orphans: audits.flatMap(({ orphans }) =>
        Object.entries(mapOf(orphans)).flatMap(([destination, n]) =>
          Number(n) > 0 ? [{ destination, waiting: Number(n) }] : [],
        ),
      ),
      unmapped,
    };
  };

  async function destinationStatus(
    found: DestinationAudit,
    { gate, now, sources: counted }: Audit,
    scope: string,
  ): Promise<DestinationStatus> {
    const destination = destinations.get(found.name);
    if (!destination) throw new Error(`Destination "${found.name}" is not configured.`);
    const lanes = listOf<AuditLane>(found.lanes).sort((a, b) => a.lane - b.lane);
    const oldest = Math.min(...lanes.map((lane) => lane.oldest ?? Number.POSITIVE_INFINITY));
    const waiting = lanes.reduce((sum, lane) => sum + lane.waiting, 0);
    const inFlight = lanes.reduce((sum, lane) => sum + lane.inFlight, 0);
    const facts = mapOf(found.facts);
    const newestAccepted = numberOf(facts.newestAccepted);
    const { freshness, silent } = await lookAtUnits(destination, {
      now,
      newestAccepted,
      pending: waiting + inFlight > 0,
    });
    const held = listOf<SourceAudit>(counted)
      .filter(({ name }) => sources.get(name)?.destination === found.name)
      .reduce((sum, each) => sum + each.held, 0);
    return {
      name: found.name,
      scope: scope.slice(scope.indexOf("{") + 1, -1),
      tenant: destination.target.tenant,
      provider: destination.target.provider,
      scopeGate: gateStatus(mapOf(gate), destination),
      gate: gateStatus(mapOf(found.gate), destination),
      waiting,
      inFlight,
      held,
      oldestWaitingAgeMs: Number.isFinite(oldest) ? Math.max(0, now - oldest) : null,
      newestAcceptedAgeMs: newestAccepted === 0 ? null : Math.max(0, now - newestAccepted),
      freshness,
      bufferBytes: numberOf(facts.bytes),
      bufferLimitBytes: destination.bufferBytes,
      unitsKnown: found.units,
      silentUnits: silent,
      lanes: lanes.map(
        (lane): LaneStatus => ({
          lane: lane.lane,
          waiting: lane.waiting,
          inFlight: lane.inFlight,
          batchId: lane.batchId ?? null,
          unansweredMs: lane.leftAt === undefined ? null : Math.max(0, now - lane.leftAt),
          batchAgeMs: lane.cutAt === undefined ? null : Math.max(0, now - lane.cutAt),
        }),
      ),
      deadLetters: numberOf(facts.deadLetters),
      lastOutcome: facts.lastOutcome ?? null,
      lastOutcomeAt: facts.lastOutcomeAt ? iso(numberOf(facts.lastOutcomeAt)) : null,
    };
  }

  async function quarantineRecent(shown: readonly string[]) {
    const lists = await Promise.all(shown.map((scope) => options.quarantine.list(scope, RECENT)));
    return lists
      .flat()
      .sort((a, b) => b.receivedAt - a.receivedAt)
      .slice(0, RECENT)
      .map(({ id, receivedAt, source, reason, problems }) => ({
        id,
        at: iso(receivedAt),
        source,
        reason,
        problem: problems[0] ?? "",
      }));
  }

  async function deadLettersRecent(shown: readonly string[]) {
    const lists = await Promise.all(
      shown.map((scope) => redis.xrevrange(keys.deadLetters(scope), "+", "-", "COUNT", RECENT)),
    );
    return lists
      .flat()
      .map(([id, fields]) => {
        // Names stand at even places; a value may read like one of them.
        const field = (name: string) =>
          fields[fields.findIndex((each, i) => i % 2 === 0 && each === name) + 1] ?? "";
        const record = decodeRecord(field("record"));
        return {
          id,
          at: iso(Number(id.split("-")[0])),
          destination: field("destination"),
          unit: record.unit.unitId,
          externalId: externalIdOf(record.source, record.reading.deviceId, record.reading.fixTime),
          reason: field("reason"),
          message: field("message"),
        };
      })
      .sort((a, b) => b.at.localeCompare(a.at))
      .slice(0, RECENT);
  }

  async function ledgerRecent(shown: readonly string[]) {
    const lists = await Promise.all(shown.map((scope) => recentEntries(redis, scope, RECENT)));
    return lists
      .flat()
      .sort((a, b) => b.at - a.at)
      .slice(0, RECENT)
      .map(({ at, destination, batchId, pings, outcome, status, tookMs }) => ({
        at: iso(at),
        destination,
        batchId,
        pings: pings.length,
        outcome,
        status,
        tookMs,
      }));
  }

  async function unmappedDevices() {
    const lists = await Promise.all(
      [...sources.values()].map(async ({ name, home, unmapped }) => {
        const devices = await redis.hgetall(keys.unmapped(home, name));
        return Object.entries(devices)
          .filter(([device]) => options.routes.of(name, device).some((route) => route.unmapped !== null))
          .map(([device, fixTime]) => ({
            source: name,
            device,
            lastFixAt: iso(Number(fixTime)),
            policy: unmapped,
          }));
      }),
    );
    return lists.flat().slice(0, MAX_UNMAPPED_LISTED);
  }
}

function sourceStatus(source: StatusSource, audits: readonly Audit[]): SourceStatus {
  const counters: Record<string, number> = {};
  let [held, waiting, inFlight, lastMessageAt] = [0, 0, 0, 0];
  for (const audit of audits) {
    const found = listOf<SourceAudit>(audit.sources).find(({ name }) => name === source.name);
    if (!found) continue;
    held += found.held;
    waiting += found.waiting;
    inFlight += found.inFlight;
    for (const [field, text] of Object.entries(mapOf(found.counters))) {
      if (field === "lastMessageAt") lastMessageAt = Math.max(lastMessageAt, Number(text));
      else counters[field] = (counters[field] ?? 0) + Number(text);
    }
  }
  const n = (field: string) => counters[field] ?? 0;
  const accounting: Accounting = {
    messages: n("messages"),
    refused: n("refused"),
    ignored: n("ignored"),
    handshakes: n("handshakes"),
    malformed: n("malformed"),
    decoded: n("decoded"),
    readings: n("readings"),
    rejected: n("rejected"),
    duplicates: n("duplicates"),
    stored: n("stored"),
    delivered: n("delivered"),
    deadLettered: n("deadLettered"),
    expired: n("expired"),
    superseded: n("superseded"),
    dropped: n("dropped"),
    held,
    waiting,
    inFlight,
  };
  return {
    name: source.name,
    vendor: source.vendor,
    transport: source.transport,
    destination: source.destination,
    accounting,
    rejectedBy: byPrefix(counters, "rejected:"),
    defects: byPrefix(counters, "defect:"),
    refusedBy: byPrefix(counters, "refused:"),
    conflictingFixes: n("conflictingFixes"),
    redriven: { messages: n("redrivenMessages"), pings: n("redrivenPings") },
    lastMessageAt: lastMessageAt === 0 ? null : iso(lastMessageAt),
    identity: identityOf(accounting),
  };
}

function gateStatus(gate: Record<string, string>, { ratePerSecond }: QueueDestination): GateStatus {
  const { state, reason, until, ramp } = gate;
  const known = state === "paused" || state === "probing" || state === "ramping" ? state : "open";
  return {
    state: known,
    reason: known === "open" ? null : (reason ?? null),
    untilMs: until === undefined ? null : Number(until),
    ratePerSecond: known === "ramping" ? Number(ramp) : known === "open" ? ratePerSecond : 0,
  };
}

function byPrefix(counters: Record<string, number>, prefix: string): Record<string, number> {
  const found = Object.entries(counters).filter(([field]) => field.startsWith(prefix));
  return Object.fromEntries(found.map(([field, n]) => [field.slice(prefix.length), n]));
}
