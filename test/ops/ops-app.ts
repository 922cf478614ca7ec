/** An ops app over a queue that says what the test wants it to say. */

import { Counter, Registry } from "prom-client";
import type { OpsToken } from "../../src/config/ops-tokens.ts";
import { tenantSchema } from "../../src/config/tenant-schema.ts";
import { hideSecrets } from "../../src/config/values.ts";
import { createTrail } from "../../src/ops/access/trail.ts";
import { EXAMPLE_SETTINGS } from "../../src/ops/api/tenant-document-examples.ts";
import { createOpsApp, type OpsDeps } from "../../src/ops/app.ts";
import { type ClockWatch, createClockWatch } from "../../src/ops/diagnose/clocks.ts";
import type { MappingFacts } from "../../src/ops/diagnose/mapping.ts";
import type { PingQuery, UnitQuery } from "../../src/ops/lookup.ts";
import { createSnapshots, type SnapshotDeps } from "../../src/ops/snapshot.ts";
import { brokerStatus, pollerStatus } from "../../src/ops/status-document.ts";
import { theOneIn } from "../../src/queue/lookup/search.ts";
import type { Erasure } from "../../src/queue/upkeep/erase.ts";
import type { ProcessRow } from "../../src/status/configuration.ts";
import type { OperatorEvent, OpsRefusal } from "../../src/status/operators.ts";
import type {
  BrokerState,
  Incident,
  IncidentState,
  PollerState,
  SpoolStatus,
} from "../../src/status/process.ts";
import type { QueueStatus } from "../../src/status/queue.ts";
import type { Validate } from "../../src/tenants/changes.ts";
import { textOf } from "../../src/tenants/documents.ts";
import { openTenants } from "../../src/tenants/open.ts";
import { createSeal } from "../../src/tenants/seal.ts";
import { sealSecrets } from "../../src/tenants/secrets.ts";
import { AT, healthy, unitAnswer, wholeMessage } from "./sample.ts";
import { candidates, deadLetters, devices, quarantined, timelineOfOne } from "./sample-lists.ts";

export const TOKEN = "correct horse battery staple";

/** What the app is built from; the parts behind the snapshots are given one by one. */
interface OpsParts extends Omit<OpsDeps, "snapshots" | "own"> {
  queryStatus: SnapshotDeps["queryStatus"];
  isStoring: SnapshotDeps["isStoring"];
  brokers: () => BrokerState[];
  pollers: () => PollerState[];
  spool: () => SpoolStatus | null;
  clocks: Pick<ClockWatch, "offenders">;
  incidents: () => IncidentState[];
  mapping: () => MappingFacts | null;
  processes: () => ProcessRow[];
}

const ONE_TOKEN: readonly OpsToken[] = [{ name: "token", token: TOKEN, role: "operate", destinations: null }];

export function opsApp(changes: Partial<OpsParts> = {}) {
  const registry = new Registry();
  new Counter({ name: "waypost_of_this_process_total", help: "x", registers: [registry] }).inc(3);
  const state = {
    status: healthy(),
    /** Thrown instead of an answer. */
    fault: null as Error | null,
    asked: 0,
    pingQueries: [] as PingQuery[],
    unitQueries: [] as UnitQuery[],
    failures: [] as string[],
    refusals: [] as OpsRefusal[],
    acted: [] as OperatorEvent[],
    authFailures: [] as { address: string; checked: boolean }[],
    incidents: [] as Incident[],
    redrives: [] as { what: string; filter: object; mode: string }[],
    letters: deadLetters(),
    messages: quarantined(),
    candidates: candidates(),
    timeline: timelineOfOne(),
    timelineFault: null as Error | null,
    devices: devices(),
    logLevel: "info",
    erasures: [] as Erasure[],
  };
  const trail = createTrail({
    store: memoryTrail(),
    events: {
      operatorActed: (event) => state.acted.push(event),
      failed: ({ where }) => state.failures.push(where),
    },
  });
  const queryStatus = async (): Promise<QueueStatus> => {
    state.asked += 1;
    if (state.fault) throw state.fault;
    return state.status;
  };
  const parts: OpsParts = {
    tokens: () => ONE_TOKEN,
    instructionsOf: (source) =>
      source === "trackers"
        ? {
            ...{
              vendor: "json",
              address: "https://gps.example.com/webhooks/trackers",
              docs: "https://example.com",
            },
            headers: [{ name: "authorization", value: "Bearer <secret>" }],
            ...{ steps: ["Enter the address."], topics: [] },
          }
        : null,
    reload: async () => ({ kind: "applied", changes: ["source vans changed"], restart: ["http.port"] }),
    hosts: { host: "127.0.0.1", hosts: [] },
    topology: {
      destinations: ["acme-austin"],
      sources: new Map([
        ["trackers", { destination: "blue-plumbing", broker: null }],
        ["bouncie-vans", { destination: "acme-austin", broker: null }],
        ["motive", { destination: "acme-austin", broker: null }],
      ]),
    },
    trail,
    endedSessions: memoryEndings(),
    queryStatus,
    isStoring: () => state.fault === null,
    queryPings: async (query) => {
      state.pingQueries.push(query);
      const item = { latitude: 30.2672, longitude: -97.7431, speed: 34, heading: 45, utcDateTime: AT };
      return { items: [item], reachesBackTo: AT };
    },
    spool: () => null,
    redrive: {
      deadLetters: async (filter, mode) => {
        state.redrives.push({ what: "dead letters", filter, mode });
        return { matched: 0, waiting: 0, expired: 0, superseded: 0, examples: [] };
      },
      quarantine: async (filter, mode) => {
        state.redrives.push({ what: "quarantine", filter, mode });
        return { matched: 0, readable: 0, readings: 0, staying: 0, examples: [] };
      },
      listDeadLetters: async ({ after, limit }) => pageOf(state.letters, after, limit),
      listQuarantine: async ({ after, limit }) => pageOf(state.messages, after, limit),
      async *exportDeadLetters() {
        yield { id: "1-0" };
        yield { id: "2-0" };
      },
      async *exportQuarantine() {},
    },
    erase: async (erasure) => {
      state.erasures.push(erasure);
      return NOTHING_ERASED;
    },
    tenants: tenantsOf({ zephyr: withSecrets(EXAMPLE_SETTINGS) }),
    captures: {
      start: async ({ source, count }) => ({ id: `${source}:1`, source, count, until: AT }),
      messages: async (source, id) =>
        id === `${source}:1` ? [{ vendor: "bouncie", outcome: "decoded" }] : [],
    },
    devices: {
      async findDevice(q) {
        if (state.timelineFault) throw state.timelineFault;
        const candidates = q === "nobody" ? [] : state.candidates;
        return { candidates, one: theOneIn(candidates, q) };
      },
      deviceTimeline: async (source, device) => {
        const leadsTo = state.candidates.filter((each) => each.source === source && each.device === device);
        return { ...state.timeline, source, device, leadsTo };
      },
      listDevices: async ({ after, limit, source }) =>
        state.devices
          .filter((each) => source === undefined || each.source === source)
          .filter((each) => after === undefined || each.device > after.device)
          .slice(0, limit),
      clockOffsetOf: () => null,
    },
    logLevel: () => state.logLevel,
    setLogLevel: (level) => {
      state.logLevel = level;
    },
    pollers: () => [],
    queryUnit: async (query) => {
      state.unitQueries.push(query);
      return query.destination === "acme-austin" ? unitAnswer() : null;
    },
    queryMessage: async (id, from, within) => {
      const message = wholeMessage();
      if (within?.has(message.source) === false) return null;
      if (id === quarantined()[0]?.id) return { ...message, id };
      return id === message.id && (from === null || from === message.source) ? message : null;
    },
    brokers: () => [
      {
        name: "yard",
        kind: "client",
        state: "connected",
        sinceMs: Date.parse(AT),
        reason: null,
        unacked: 4,
        clients: null,
      },
      {
        name: "listen",
        kind: "embedded",
        state: "connected",
        sinceMs: Date.parse(AT),
        reason: null,
        unacked: 0,
        clients: 41,
      },
    ],
    clocks: createClockWatch(),
    incidents: () => [],
    processes: () => [],
    mapping: () => null,
    registry,
    exportsRedis: () => true,
    ready: async () => ({ ready: true, problems: [] }),
    info: {
      version: "9.8.7",
      startedAtMs: Date.now() - 90_000,
      policies: [{ where: "destination acme-austin", name: "backfill", value: "drop" }],
    },
    events: {
      failed: ({ where }) => state.failures.push(where),
      opsRefused: ({ reason }) => state.refusals.push(reason),
      authFailed: (event) => state.authFailures.push(event),
      incident: (event) => state.incidents.push(event),
    },
    ...changes,
  };
  const own = () => ({
    brokers: parts.brokers().map(brokerStatus),
    pollers: parts.pollers().map(pollerStatus),
    clocks: parts.clocks.offenders(),
  });
  const snapshots = createSnapshots({
    queryStatus: parts.queryStatus,
    isStoring: parts.isStoring,
    facts: async () => ({
      ...own(),
      spool: parts.spool(),
      incidents: parts.incidents(),
      mapping: parts.mapping(),
      processes: parts.processes(),
    }),
    info: parts.info,
    failed: (error) => parts.events.failed({ where: "status", error }),
    everyMs: 0,
  });
  const app = createOpsApp({ ...parts, snapshots, own });
  return { app, state };
}

const NOTHING_ERASED = {
  ...{ waiting: 0, held: 0, deadLetters: 0, quarantined: 0, ledgerBatches: 0, ledgerPings: 0 },
  ...{ devices: 0, units: 0 },
};

function withSecrets(shown: object): object {
  return JSON.parse(JSON.stringify(shown).replaceAll("(set)", "hK3-wv9-Qz7-Lm2"));
}

/** The real changes over documents that are in memory; test/tenants/changes.test.ts has Redis. */
export function tenantsOf(
  documents: Record<string, unknown>,
  sealKeys = [Buffer.alloc(32, "seal key 01234567")],
  validate: Validate = () => ({ kind: "right" }),
) {
  const seal = createSeal(sealKeys);
  const hide = (document: unknown) => hideSecrets(document, tenantSchema);
  const written = (name: string, document: unknown) =>
    textOf(sealSecrets(name, document, { hide, seal }), false);
  let revision = 7;
  const texts = new Map(
    Object.entries(documents).map(([name, document]) => [name, { revision, text: written(name, document) }]),
  );
  const answers = new Map<string, string>();
  return openTenants({
    store: {
      load: async () => ({ revision, texts: new Map(texts) }),
      async change({ revision: known, texts: changed, answer }) {
        if (known !== revision) return null;
        revision += 1;
        for (const [name, text] of changed) {
          if (text === null) texts.delete(name);
          else texts.set(name, { revision, text });
        }
        if (answer) answers.set(answer.request, answer.text);
        return revision;
      },
      answerTo: async (request) => answers.get(request) ?? null,
      watch: () => ({ stop: () => {} }),
    },
    ...{ sealKeys, hide, validate },
    isOfFile: () => false,
    failed: () => {},
  });
}

/** As the queue pages, of a list that has the newest first. */
function pageOf<T extends { id: string }>(
  all: readonly T[],
  after: { id: string } | undefined,
  limit: number,
) {
  const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after.id) + 1;
  const items = all.slice(from, from + limit);
  const last = items.at(-1);
  return { items, more: last && from + limit < all.length ? { id: last.id, scope: "s" } : null };
}

/** What a browser says of a form of ours; requests of tests go to http://localhost. */
export const OURS = { origin: "http://localhost" };

/** In place of Redis; test/ops/access/trail.test.ts has the real one. */
function memoryTrail(): Parameters<typeof createTrail>[0]["store"] {
  const lists = { operators: [] as string[], unauthenticated: [] as string[] };
  return {
    add: async (by, entry) => void lists[by].unshift(entry),
    async *newestFirst(by) {
      yield* lists[by];
    },
  };
}

function memoryEndings(): OpsDeps["endedSessions"] {
  const ended = new Set<string>();
  return { end: async (id) => void ended.add(id), isEnded: async (id) => ended.has(id) };
}

export const BEARER = { headers: { authorization: `Bearer ${TOKEN}` } };
