/** Everything a run needs: Redis, broker, sandbox, two gateways, and a proxy on each link that a fault may break. */

import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { decodeRecord } from "../src/queue/record.ts";
import { type SandboxApi, startSandboxApi } from "../src/sandbox/api.ts";
import type { FaultInput } from "../src/sandbox/faults.ts";
import type { Random } from "../src/sandbox/random.ts";
import { type PrivateRedis, startPrivateRedis } from "../src/sandbox/redis.ts";
import { externalIdOf } from "../src/servicetitan/ping.ts";
import { BEARER, type GatewayProcess, startGatewayProcess, TOKEN } from "../test/parts/gateway-process.ts";
import { type Mosquitto, startMosquitto } from "../test/parts/mosquitto.ts";
import { type Generator, startGenerator } from "./generator.ts";
import type { Exemption } from "./history.ts";
import { type BreakableLink, startProxy } from "./proxy.ts";
import { followTakings, type Takings } from "./takings.ts";

export interface Gateway {
  process: GatewayProcess;
  toRedis: BreakableLink;
  toSandbox: BreakableLink;
}

export interface Stage {
  redis: PrivateRedis;
  /** A connection of our own, past the proxies. */
  db: Redis;
  broker: Mosquitto;
  sandbox: SandboxApi;
  gateways: readonly [Gateway, Gateway];
  generator: Generator;
  takings: Takings;
  exempt: Map<string, Exemption>;
  /** Sandbox faults beside those that last: readings condemned once are refused for ever. */
  setFaults(faults: readonly FaultInput[]): void;
  condemn(kind: "poison" | "fail", ids: readonly string[]): void;
  /** Ids of all pings that Redis holds; with `flush`, and in the same step empties it. */
  held(then: "look" | "flush"): Promise<string[]>;
  stop(): Promise<void>;
}

export const RATE_PER_SECOND = 20;
/** ServiceTitan's slowest answer that is waited for: what hangs when a fault is healed ends this much later. */
export const REQUEST_TIMEOUT_MS = 2000;
/** Batches in flight at once. */
export const LANES = 4;
const BATCH_PINGS = 50;
/** Pings that may be with ServiceTitan when a gateway dies: all that it may tell a second time. */
export const PINGS_IN_FLIGHT = LANES * BATCH_PINGS;
const MQTT_SOURCE = "trackers";

export interface StageOptions {
  random: Random;
  appendfsync?: "everysec" | "always";
}

export async function startStage({ random, appendfsync = "everysec" }: StageOptions): Promise<Stage> {
  const running: { stop(): Promise<void> | void }[] = [];
  async function own<T extends { stop(): Promise<void> | void }>(starting: Promise<T>): Promise<T> {
    const started = await starting;
    running.push(started);
    return started;
  }
  async function stop(): Promise<void> {
    while (running.length > 0) await running.pop()?.stop();
  }
  try {
    const redis = await own(startPrivateRedis({ appendfsync }));
    const db = new Redis(redis.url, { maxRetriesPerRequest: null });
    db.on("error", () => {});
    running.push({ stop: () => db.disconnect() });
    // Saved when it ends, and when told to: a kill loses what came since.
    const persistence = ["persistence true", "persistence_location %dir/", "autosave_interval 0"];
    const broker = await own(startMosquitto(persistence));
    // It must not help by refusing.
    const sandbox = await own(startSandboxApi({ record: "all", ratePerSecond: 100_000 }));

    async function startGateway(): Promise<Gateway> {
      const toRedis = await own(startProxy(redis.port));
      const toSandbox = await own(startProxy(sandbox.port));
      const url = `http://127.0.0.1:${toSandbox.port}`;
      const process = await own(
        startGatewayProcess({
          redisUrl: `redis://127.0.0.1:${toRedis.port}`,
          sandbox: { url, authUrl: url },
          // Nothing expires and nothing is superseded, so everything that is owed must arrive.
          destination: {
            ratePerSecond: RATE_PER_SECOND,
            maxBatchPings: BATCH_PINGS,
            lanes: LANES,
            maxBatchAgeMs: 100,
            maxAgeMs: 0,
            backfill: "deliver",
            speedUnit: "mps",
            requestTimeoutMs: REQUEST_TIMEOUT_MS,
          },
          sources: {
            vans: { vendor: "json", destination: "acme", auth: { proof: "bearer", secret: TOKEN } },
            [MQTT_SOURCE]: {
              vendor: "json",
              destination: "acme",
              mqtt: { broker: "yard", topics: ["chaos/+"] },
            },
          },
          sections: { mqtt: { brokers: { yard: { url: broker.url, clientId: "chaos-gateway" } } } },
        }),
      );
      return { process, toRedis, toSandbox };
    }
    const gateways: Stage["gateways"] = await Promise.all([startGateway(), startGateway()]);
    await untilSubscribed(gateways);
    // From here on even a killed broker knows our session after its restart.
    broker.kill("SIGUSR1");

    const takings = followTakings(sandbox);
    running.push(takings);
    const generator = startGenerator({
      webhooks: gateways.map(({ process }) => process.webhook("vans")),
      headers: BEARER,
      webhookSource: "vans",
      mqtt: { url: broker.url, source: MQTT_SOURCE, topic: (unit) => `chaos/${unit}` },
      random: random.fork("generator"),
    });
    const exempt = new Map<string, Exemption>();
    const lasting: FaultInput[] = [];
    return {
      redis,
      db,
      broker,
      sandbox,
      gateways,
      generator,
      takings,
      exempt,
      setFaults: (faults) => sandbox.faults.set([...lasting, ...faults]),
      condemn(kind, ids) {
        for (const externalId of ids) {
          lasting.push({ kind, match: { externalId } });
          exempt.set(externalId, "refused");
        }
        sandbox.faults.set(lasting);
      },
      held: (then) => heldIn(db, then),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function untilSubscribed(gateways: readonly Gateway[]): Promise<void> {
  for (;;) {
    const all = await Promise.all(gateways.map(({ process }) => process.status()));
    if (all.some(({ brokers }) => brokers.some(({ state }) => state === "connected"))) return;
    await pause(50);
  }
}

/** Everything that may hold a ping, whole. ARGV: `flush` to empty Redis in the same step. */
const HELD = `
local out = {}
local function add(values, step)
  for i = step, #values, step do out[#out + 1] = values[i] end
end
for _, key in ipairs(redis.call('KEYS', 'waypost:*')) do
  local part = string.match(key, '^waypost:{[^}]*}:(%w+):')
  if part == 'q' or part == 'b' or part == 'suspects' then add(redis.call('LRANGE', key, 0, -1), 1)
  elseif part == 'live' then add(redis.call('HGETALL', key), 2)
  elseif part == 'old' then add(redis.call('ZRANGE', key, 0, -1), 1) end
end
if ARGV[1] == 'flush' then redis.call('FLUSHALL') end
return out
`;

async function heldIn(db: Redis, then: "look" | "flush"): Promise<string[]> {
  const records: unknown = await db.eval(HELD, 0, then);
  if (!Array.isArray(records)) throw new Error("Redis returned no list of records.");
  return records.map((record) => {
    const { source, reading } = decodeRecord(String(record));
    return externalIdOf(source, reading.deviceId, reading.fixTime);
  });
}
