/** Tells what is where: counters, and what waits, is held or in flight, counted from the structures in one step per scope. */

import type { Redis } from "ioredis";
import { externalIdOf } from "../servicetitan/ping.ts";
import type {
  Accounting,
  DestinationStatus,
  GateStatus,
  LaneStatus,
  QueueStatus,
  SourceStatus,
} from "../status.ts";
import type { QueueDestination } from "./destination.ts";
import type { Jobs } from "./jobs.ts";
import { keys } from "./keys.ts";
import { recentEntries } from "./ledger.ts";
import { run, script } from "./lua.ts";
import type { Quarantine } from "./quarantine.ts";
import { decodeRecord } from "./record.ts";
import { readRedis } from "./redis-health.ts";
import type { Routes } from "./routes.ts";
import { createUnits } from "./units.ts";

/** ARGV: number of sources, their names, then the destinations' names. Answers as JSON. */
const AUDIT = script(`
local out = { sources = {}, destinations = {}, orphans = {}, sizes = {}, lengths = {} }
local waiting, inFlight, names = {}, {}, {}
for i = 2, 1 + tonumber(ARGV[1]) do names[#names + 1] = ARGV[i] end
local function pairsOf(key)
  local flat, map = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end
local function add(map, source, n) map[source] = (map[source] or 0) + n end
local function batchOf(id, lane)
  local records = redis.call('LRANGE', p .. ':b:' .. id, 0, -1)
  for _, r in ipairs(records) do add(inFlight, sourceOf(r), 1) end
  lane.inFlight = lane.inFlight + #records
end
local lanes, configured = redis.call('SMEMBERS', p .. ':lanes'), {}
for i = 2 + tonumber(ARGV[1]), #ARGV do configured[ARGV[i]] = true end
for _, lane in ipairs(lanes) do
  local owner = string.match(lane, '^(.-)|')
  if not configured[owner] then
    for _, source in ipairs(redis.call('SMEMBERS', p .. ':lines:' .. lane)) do
      local line = lane .. '|' .. source
      local n = redis.call('LLEN', p .. ':q:' .. line) + redis.call('HLEN', p .. ':live:' .. line)
        + redis.call('ZCARD', p .. ':old:' .. line)
      add(waiting, source, n)
      add(out.orphans, owner, n)
    end
  end
end
for i = 2 + tonumber(ARGV[1]), #ARGV do
  local name = ARGV[i]
  local dest = { name = name, lanes = {}, facts = pairsOf(p .. ':dest:' .. name), gate = pairsOf(p .. ':gate:' .. name) }
  dest.units = redis.call('HLEN', p .. ':accepted:' .. name)
  for _, lane in ipairs(lanes) do
    local owner, number = string.match(lane, '^(.-)|(.*)$')
    if owner == name then
      local l = { lane = tonumber(number), waiting = 0, inFlight = 0 }
      for _, source in ipairs(redis.call('SMEMBERS', p .. ':lines:' .. lane)) do
        local line = lane .. '|' .. source
        local n = redis.call('LLEN', p .. ':q:' .. line) + redis.call('HLEN', p .. ':live:' .. line)
          + redis.call('ZCARD', p .. ':old:' .. line)
        add(waiting, source, n)
        l.waiting = l.waiting + n
        local unit = redis.call('LINDEX', p .. ':liveorder:' .. line, 0)
        for _, head in pairs({
          redis.call('LINDEX', p .. ':q:' .. line, 0) or nil,
          redis.call('ZRANGE', p .. ':old:' .. line, 0, 0)[1],
          unit and redis.call('HGET', p .. ':live:' .. line, unit) or nil
        }) do
          if not l.oldest or receivedAtOf(head) < l.oldest then l.oldest = receivedAtOf(head) end
        end
      end
      local batch = redis.call('HGET', p .. ':lane:' .. lane, 'batch')
      if batch then
        l.batchId = batch
        l.cutAt = tonumber(redis.call('HGET', p .. ':bm:' .. batch, 'cutAt'))
        batchOf(batch, l)
      end
      for _, piece in ipairs(redis.call('LRANGE', p .. ':pieces:' .. lane, 0, -1)) do batchOf(piece, l) end
      for _, r in ipairs(redis.call('LRANGE', p .. ':suspects:' .. lane, 0, -1)) do
        add(inFlight, sourceOf(r), 1)
        l.inFlight = l.inFlight + 1
      end
      dest.lanes[#dest.lanes + 1] = l
    end
  end
  out.destinations[#out.destinations + 1] = dest
end
for _, name in ipairs(names) do
  out.sources[#out.sources + 1] = {
    name = name, counters = pairsOf(p .. ':n:' .. name), held = redis.call('HLEN', p .. ':held:' .. name),
    waiting = waiting[name] or 0, inFlight = inFlight[name] or 0
  }
end
out.gate = pairsOf(p .. ':gate')
out.sizes = pairsOf(p .. ':sizes')
for _, stream in ipairs({ 'ledger', 'dead', 'quarantine' }) do
  local first = redis.call('XRANGE', p .. ':' .. stream, '-', '+', 'COUNT', 1)[1]
  out.lengths[stream] = { n = redis.call('XLEN', p .. ':' .. stream), first = first and first[1] or '' }
end
out.now = now
return cjson.encode(out)
`);

interface AuditLane {
  lane: number;
  waiting: number;
  inFlight: number;
  oldest?: number;
  batchId?: string;
  cutAt?: number;
}

interface SourceAudit {
  name: string;
  counters: object;
  held: number;
  waiting: number;
  inFlight: number;
}

interface DestinationAudit {
  name: string;
  lanes: AuditLane[] | object;
  facts: object;
  gate: object;
  units: number;
}

/** Lua's empty table is JSON's empty object even where a list is meant; `listOf` and `mapOf` put that right. */
interface Audit {
  now: number;
  sources: SourceAudit[] | object;
  destinations: DestinationAudit[] | object;
  gate: object;
  orphans: object;
  sizes: object;
  lengths: Record<"ledger" | "dead" | "quarantine", { n: number; first: string }>;
}

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

export function createStatus(options: StatusOptions): () => Promise<QueueStatus> {
  const { redis, destinations, sources } = options;
  const scopes = [...new Set([...destinations.values()].map(({ scope }) => scope))];
  const lookAtUnits = createUnits(redis);

  async function audit(scope: string): Promise<Audit> {
    const inScope = [...destinations.values()].filter((each) => each.scope === scope).map(({ name }) => name);
    const [text] = await run(redis, AUDIT, scope, [sources.size, ...sources.keys(), ...inScope]);
    const parsed: Audit = JSON.parse(String(text));
    return parsed;
  }

  return async function queryStatus(): Promise<QueueStatus> {
    const [audits, redisStatus, jobs, quarantine, deadLetters, ledger, unmapped] = await Promise.all([
      Promise.all(scopes.map(audit)),
      readRedis(redis),
      options.jobs.counts(),
      quarantineRecent(),
      deadLettersRecent(),
      ledgerRecent(),
      unmappedDevices(),
    ]);
    const sum = (name: "ledger" | "dead" | "quarantine") => {
      let n = 0;
      let bytes = 0;
      let first = Number.POSITIVE_INFINITY;
      for (const { lengths, sizes } of audits) {
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
          batchAgeMs: lane.cutAt === undefined ? null : Math.max(0, now - lane.cutAt),
        }),
      ),
      deadLetters: numberOf(facts.deadLetters),
      lastOutcome: facts.lastOutcome ?? null,
      lastOutcomeAt: facts.lastOutcomeAt ? iso(numberOf(facts.lastOutcomeAt)) : null,
    };
  }

  async function quarantineRecent() {
    const lists = await Promise.all(scopes.map((scope) => options.quarantine.list(scope, RECENT)));
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

  async function deadLettersRecent() {
    const lists = await Promise.all(
      scopes.map((scope) => redis.xrevrange(keys.deadLetters(scope), "+", "-", "COUNT", RECENT)),
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

  async function ledgerRecent() {
    const lists = await Promise.all(scopes.map((scope) => recentEntries(redis, scope, RECENT)));
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
    read: n("read"),
    candidates: n("candidates"),
    rejected: n("rejected"),
    duplicates: n("duplicates"),
    kept: n("kept"),
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
    lastMessageAt: lastMessageAt === 0 ? null : iso(lastMessageAt),
    identity: {
      messages:
        accounting.messages -
        (accounting.refused +
          accounting.ignored +
          accounting.handshakes +
          accounting.malformed +
          accounting.read),
      candidates: accounting.candidates - (accounting.rejected + accounting.duplicates + accounting.kept),
      kept:
        accounting.kept -
        (accounting.delivered +
          accounting.deadLettered +
          accounting.expired +
          accounting.superseded +
          accounting.dropped +
          held +
          waiting +
          inFlight),
    },
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

function listOf<T>(value: T[] | object): T[] {
  return Array.isArray(value) ? value : [];
}

function mapOf(value: object): Record<string, string> {
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, String(each)]));
}

function numberOf(text: string | undefined): number {
  return Number(text ?? 0);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
