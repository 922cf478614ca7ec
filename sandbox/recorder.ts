/** Remembers what reached the stand-in API, so that a test or a person can compare it with what was sent. */

import type { SandboxPing } from "./schema.ts";

/** `all` remembers pings and requests, for tests and read-back; `counts` only counts, for long runs. */
export type RecordMode = "all" | "counts";

/** One POST of pings. Mutable while it is under way. */
export interface RequestRecord {
  seq: number;
  /** Monotonic milliseconds (`performance.now`) when the request's head was there. */
  arrivedAtMs: number;
  tenant: string;
  provider: string;
  /** Null while under way; 0 when the sender got no answer. */
  status: number | null;
  pings: number;
  bytes: number;
}

/** One ping that was accepted. */
export interface AcceptedPing {
  seq: number;
  tenant: string;
  provider: string;
  /** UTC milliseconds since 1970. */
  acceptedAt: number;
  ping: SandboxPing;
}

/** A unit as the Dispatch Map would show it: its newest accepted position. */
export interface UnitState {
  tenant: string;
  unitId: string;
  unitName: string;
  /** UTC milliseconds since 1970. */
  eventTime: number;
  acceptedAt: number;
  latitude: number | null;
  longitude: number | null;
  speed: number | null;
  statusMessage: string;
  accepted: number;
  /** Accepted pings that were older than one accepted before. */
  outOfOrder: number;
}

export interface TenantSummary {
  requests: number;
  /** Most requests that arrived in any one second. */
  maxPerSecond: number;
}

export interface Summary extends TenantSummary {
  /** Answers by status; `none` where the sender got none. */
  statuses: Record<string, number>;
  accepted: number;
  /** Different externalIds among the accepted pings, and repetitions of remembered ones; null when only counting. */
  distinct: number | null;
  duplicates: number | null;
  /** Pings answered `Fail`, or left out of the answer on purpose. */
  failed: number;
  /** Pings in requests that were not answered 2xx. */
  refused: number;
  units: number;
  outOfOrder: number;
  outOfOrderByUnit: Record<string, number>;
  tokensIssued: number;
  tenants: Record<string, TenantSummary>;
}

export interface PingQuery {
  unitId?: string | undefined;
  tenant?: string | undefined;
  /** First sequence number wanted. */
  from?: number | undefined;
  limit?: number | undefined;
}

/**
 * Pings and requests remembered in mode `all`; twice as many just before the older half is forgotten. Five times the
 * longest recording that tests replay, and about 250 MB.
 */
const REMEMBERED = 250_000;

export interface Recorder {
  open(arrivedAtMs: number, tenant: string, provider: string): RequestRecord;
  close(request: RequestRecord, status: number): void;
  accept(request: RequestRecord, pings: readonly SandboxPing[]): void;
  fail(pings: number): void;
  tokenIssued(): void;
  pings(query?: PingQuery): AcceptedPing[];
  requests(query?: { tenant?: string | undefined; limit?: number | undefined }): RequestRecord[];
  units(): UnitState[];
  summary(): Summary;
  clear(): void;
}

interface TenantArrivals extends TenantSummary {
  /** Arrivals of the last second. */
  recent: number[];
}

export function createRecorder(mode: RecordMode): Recorder {
  const state = blank();

  function open(arrivedAtMs: number, tenant: string, provider: string): RequestRecord {
    const request = {
      seq: state.requestCount,
      arrivedAtMs,
      tenant,
      provider,
      status: null,
      pings: 0,
      bytes: 0,
    };
    state.requestCount += 1;
    const arrivals = state.tenants.get(tenant) ?? { requests: 0, maxPerSecond: 0, recent: [] };
    state.tenants.set(tenant, arrivals);
    while ((arrivals.recent[0] ?? Number.POSITIVE_INFINITY) <= arrivedAtMs - 1000) arrivals.recent.shift();
    arrivals.recent.push(arrivedAtMs);
    arrivals.requests += 1;
    arrivals.maxPerSecond = Math.max(arrivals.maxPerSecond, arrivals.recent.length);
    if (mode === "all") state.requests = remember(state.requests, request);
    return request;
  }

  function close(request: RequestRecord, status: number): void {
    request.status = status;
    const word = status === 0 ? "none" : String(status);
    state.statuses.set(word, (state.statuses.get(word) ?? 0) + 1);
    if (status > 0 && (status < 200 || status > 299)) state.refused += request.pings;
  }

  function accept(request: RequestRecord, pings: readonly SandboxPing[]): void {
    const acceptedAt = Date.now();
    for (const ping of pings) {
      noteUnit(request.tenant, ping, acceptedAt);
      const seq = state.accepted;
      state.accepted += 1;
      if (mode === "counts") continue;
      const identity = identityOf({ tenant: request.tenant, ping });
      if (state.seen.has(identity)) state.duplicates += 1;
      state.seen.add(identity);
      const { tenant, provider } = request;
      const before = state.pings;
      state.pings = remember(before, { seq, tenant, provider, acceptedAt, ping });
      if (state.pings !== before) state.seen = new Set(state.pings.map(identityOf));
    }
  }

  function noteUnit(tenant: string, ping: SandboxPing, acceptedAt: number): void {
    const key = `${tenant}/${ping.unitId}`;
    const eventTime = Date.parse(ping.eventTime);
    const before = state.units.get(key);
    const accepted = (before?.accepted ?? 0) + 1;
    if (before !== undefined && eventTime < before.eventTime) {
      before.accepted = accepted;
      before.outOfOrder += 1;
      return;
    }
    const { unitId, unitName, latitude, longitude, speed, statusMessage } = ping;
    const outOfOrder = before?.outOfOrder ?? 0;
    const place = { latitude, longitude, speed, statusMessage };
    state.units.set(key, { tenant, unitId, unitName, eventTime, acceptedAt, ...place, accepted, outOfOrder });
  }

  function pings({
    unitId,
    tenant,
    from = 0,
    limit = Number.POSITIVE_INFINITY,
  }: PingQuery = {}): AcceptedPing[] {
    const wanted = state.pings.filter(
      (each) =>
        each.seq >= from &&
        (unitId === undefined || each.ping.unitId === unitId) &&
        (tenant === undefined || each.tenant === tenant),
    );
    return wanted.slice(0, limit);
  }

  /** The last ones, oldest first. */
  function requests({
    tenant,
    limit = REMEMBERED,
  }: Parameters<Recorder["requests"]>[0] = {}): RequestRecord[] {
    return state.requests.filter((each) => tenant === undefined || each.tenant === tenant).slice(-limit);
  }

  function summary(): Summary {
    const late = [...state.units.values()].filter((unit) => unit.outOfOrder > 0);
    const tenants = [...state.tenants].map(([tenant, { requests, maxPerSecond }]) => [
      tenant,
      { requests, maxPerSecond },
    ]);
    return {
      requests: state.requestCount,
      maxPerSecond: Math.max(0, ...[...state.tenants.values()].map((each) => each.maxPerSecond)),
      statuses: Object.fromEntries(state.statuses),
      accepted: state.accepted,
      distinct: mode === "all" ? state.accepted - state.duplicates : null,
      duplicates: mode === "all" ? state.duplicates : null,
      failed: state.failed,
      refused: state.refused,
      units: state.units.size,
      outOfOrder: late.reduce((sum, unit) => sum + unit.outOfOrder, 0),
      outOfOrderByUnit: Object.fromEntries(late.map((unit) => [unit.unitId, unit.outOfOrder])),
      tokensIssued: state.tokensIssued,
      tenants: Object.fromEntries(tenants),
    };
  }

  return {
    open,
    close,
    accept,
    fail: (count) => {
      state.failed += count;
    },
    tokenIssued: () => {
      state.tokensIssued += 1;
    },
    pings,
    requests,
    units: () => [...state.units.values()],
    summary,
    clear: () => {
      Object.assign(state, blank());
    },
  };
}

function identityOf({ tenant, ping }: Pick<AcceptedPing, "tenant" | "ping">): string {
  return `${tenant}/${ping.externalId}`;
}

function blank() {
  const requests: RequestRecord[] = [];
  const pings: AcceptedPing[] = [];
  return {
    requests,
    requestCount: 0,
    pings,
    accepted: 0,
    failed: 0,
    refused: 0,
    duplicates: 0,
    tokensIssued: 0,
    seen: new Set<string>(),
    statuses: new Map<string, number>(),
    units: new Map<string, UnitState>(),
    tenants: new Map<string, TenantArrivals>(),
  };
}

/** Appends; when twice the limit is reached the older half goes, which costs less than dropping one at a time. */
function remember<T>(list: T[], item: T): T[] {
  list.push(item);
  return list.length >= 2 * REMEMBERED ? list.slice(-REMEMBERED) : list;
}
