/** An ops app over a queue that says what the test wants it to say. */

import { Counter, Registry } from "prom-client";
import type { Incident } from "../../src/incidents.ts";
import { createOpsApp, type OpsParts, type PingQuery } from "../../src/ops/app.ts";
import { createClockWatch } from "../../src/ops/clocks.ts";
import type { UnitQuery } from "../../src/ops/questions.ts";
import type { QueueStatus } from "../../src/status.ts";
import { AT, healthy, unitAnswer, wholeMessage } from "./sample.ts";

export const TOKEN = "correct horse battery staple";

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
    authFailures: [] as { address: string; judged: boolean }[],
    incidents: [] as Incident[],
  };
  const queryStatus = async (): Promise<QueueStatus> => {
    state.asked += 1;
    if (state.fault) throw state.fault;
    return state.status;
  };
  const app = createOpsApp({
    token: TOKEN,
    queryStatus,
    queryPings: async (query) => {
      state.pingQueries.push(query);
      const item = { latitude: 30.2672, longitude: -97.7431, speed: 34, heading: 45, utcDateTime: AT };
      return { items: [item], reachesBackTo: AT };
    },
    spool: () => null,
    redrive: {
      redriveDeadLetters: async (filter, mode) => ({ what: "dead letters", filter, mode }),
      redriveQuarantine: async (filter, mode) => ({ what: "quarantine", filter, mode }),
      async *exportDeadLetters() {
        yield { id: "1-0" };
        yield { id: "2-0" };
      },
      async *exportQuarantine() {},
    },
    pollers: () => [],
    queryUnit: async (query) => {
      state.unitQueries.push(query);
      return query.destination === "acme-austin" ? unitAnswer() : null;
    },
    queryMessage: async (id, from) => {
      const message = wholeMessage();
      return id === message.id && (from === null || from === message.source) ? message : null;
    },
    brokers: () => [
      { name: "yard", kind: "client", state: "connected", since: AT, reason: null, unkept: 4, clients: null },
      {
        name: "listen",
        kind: "embedded",
        state: "connected",
        since: AT,
        reason: null,
        unkept: 0,
        clients: 41,
      },
    ],
    clocks: createClockWatch(),
    incidents: () => [],
    registry,
    ready: async () => ({ ready: true, problems: [] }),
    info: {
      version: "9.8.7",
      startedAtMs: Date.now() - 90_000,
      policies: [{ where: "destination acme-austin", name: "backfill", value: "drop" }],
    },
    events: {
      failed: ({ where }) => state.failures.push(where),
      authFailed: (event) => state.authFailures.push(event),
      incident: (event) => state.incidents.push(event),
    },
    ...changes,
  });
  return { app, state };
}

export const BEARER = { headers: { authorization: `Bearer ${TOKEN}` } };
