/** A rolling change: one of three processes has a new tenant first, and neither its pings nor the others' wait for the rest. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { destinationAt, SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { BEARER, type GatewayProcess, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import type { WholeStatus } from "../support/ops-api.ts";
import { scaled } from "../support/speed.ts";
import { type SteadySenders, startSteadySenders } from "../support/steady-senders.ts";
import { until } from "../support/wait.ts";

const CLIENT = { ...SANDBOX_CLIENT, tenants: ["1000001", "1000002"] };
/** Also what a newer ping of its unit has overtaken, so that everything that is owed must arrive. */
const EVERYTHING = { backfill: "deliver" };
/** The default age of a batch, and two seconds. */
const P99_WITHIN_MS = 3000;
/** Pings of the new tenant that are measured while two processes do not know it. */
const MEASURED = 300;

let redis: PrivateRedis;
let sandbox: SandboxApi;
let old: [GatewayProcess, GatewayProcess];
let changed: GatewayProcess;
const streams: SteadySenders[] = [];

function newcomer() {
  return {
    sources: { bolt: { vendor: "json", destination: "st-bolt", auth: { method: "bearer", secret: TOKEN } } },
    destinations: { "st-bolt": { ...destinationAt(sandbox), tenant: CLIENT.tenants[1], ...EVERYTHING } },
  };
}

async function stream(source: string, gateway: GatewayProcess): Promise<SteadySenders> {
  const senders = await startSteadySenders({ webhook: gateway.webhook(source), source, mqtt: null });
  streams.push(senders);
  return senders;
}

/** The status of a webhook of the new tenant that carries nothing. */
async function asked(gateway: GatewayProcess): Promise<number> {
  const headers = { ...BEARER, "content-type": "application/json" };
  const answer = await fetch(gateway.webhook("bolt"), { method: "POST", headers, body: "[]" });
  await answer.arrayBuffer();
  return answer.status;
}

const acceptedAt = () =>
  new Map(sandbox.pings().map(({ ping, acceptedAt: at }) => [ping.externalId, at] as const));

/** What waits anywhere, is on its way, or does not add up. */
function leftBehind({ sources, destinations, jobs }: WholeStatus): string[] {
  return [
    ...destinations.flatMap(({ name, waiting, inFlight }) =>
      waiting + inFlight > 0 ? [`${waiting} wait and ${inFlight} are in flight for ${name}`] : [],
    ),
    ...sources.flatMap(({ name, identity }) =>
      Object.values(identity).some((difference) => difference !== 0)
        ? [`${name}: ${JSON.stringify(identity)}`]
        : [],
    ),
    ...Object.entries(jobs).flatMap(([state, count]) => (count > 0 ? [`${count} jobs are ${state}`] : [])),
  ];
}

beforeAll(async () => {
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all", clients: [CLIENT] });
  const options = { redisUrl: redis.url, sandbox, destination: EVERYTHING };
  const [one, two, three] = await Promise.all([
    startGatewayProcess(options),
    startGatewayProcess(options),
    startGatewayProcess({ ...options, tenants: { bolt: newcomer() } }),
  ]);
  old = [one, two];
  changed = three;
}, scaled(90_000));
afterAll(async () => {
  await Promise.all(streams.map((senders) => senders.stop()));
  await Promise.all([...(old ?? []), changed].map((gateway) => gateway?.stop()));
  await sandbox?.stop();
  await redis?.stop();
});

test(
  "two processes with the old configuration, one with the new, and then all with the new",
  async () => {
    for (const gateway of [...old, changed]) await stream("vans", gateway);
    const bolt = await stream("bolt", changed);
    const answers = new Set<number>();
    await until(
      async () => {
        for (const gateway of old) answers.add(await asked(gateway));
        return bolt.owed.size >= MEASURED;
      },
      { withinMs: 30_000, what: `${MEASURED} pings of the new tenant` },
    );
    const measured = bolt.answers.filter(({ status }) => status === 200);
    // While the two others still do not know it.
    const accepted = await until(
      () => {
        const now = acceptedAt();
        return measured.every(({ externalId }) => now.has(externalId)) ? now : null;
      },
      { withinMs: 30_000, what: "what was measured, at ServiceTitan" },
    );
    expect([...answers]).toEqual([503]);
    const took = measured
      .map(({ externalId, sentAt }) => (accepted.get(externalId) ?? Number.NaN) - sentAt)
      .sort((a, b) => a - b);
    const p99 = took[Math.ceil(took.length * 0.99) - 1];
    console.log(`rolling change: ${took.length} pings, p50 ${took[took.length >> 1]} ms, p99 ${p99} ms`);
    expect(p99).toBeLessThan(scaled(P99_WITHIN_MS));

    for (const gateway of old) {
      gateway.setTenant("bolt", newcomer());
      await until(
        async () => {
          const status = await asked(gateway);
          expect([200, 503]).toContain(status);
          return status === 200;
        },
        { what: "the new tenant's webhook at a process that had the old configuration" },
      );
      await stream("bolt", gateway);
    }
    await until(() => streams.at(-1)?.owed.size, { what: "pings by way of the last process" });
    await Promise.all(streams.map((senders) => senders.stop()));
    expect(streams.flatMap(({ answers: all }) => all.filter(({ status }) => status !== 200))).toEqual([]);

    await changed.drained();
    for (const gateway of [...old, changed]) {
      const status = await until(
        async () => {
          const now = await gateway.status();
          return leftBehind(now).length === 0 ? now : null;
        },
        { what: "a status in which nothing is left behind" },
      );
      expect(status.processes).toHaveLength(3);
      expect(new Set(status.processes.map(({ configuration }) => configuration.fingerprint)).size).toBe(1);
    }
    const owed = streams.flatMap((senders) => [...senders.owed.keys()]);
    expect(
      sandbox
        .pings()
        .map(({ ping }) => ping.externalId)
        .sort(),
    ).toEqual(owed.sort());
  },
  scaled(120_000),
);
