/** Everything a run needs: Redis, broker, sandbox, two gateways, and a proxy on each link that a fault may break. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { destinationAt, type SandboxApi, startSandboxApi } from "../sandbox/api.ts";
import type { FaultInput } from "../sandbox/faults.ts";
import { findProgram } from "../sandbox/owned-process.ts";
import { startProxy, type TcpProxy } from "../sandbox/proxy.ts";
import type { Random } from "../sandbox/random.ts";
import { type PrivateRedis, startPrivateRedis } from "../sandbox/redis.ts";
import { decodeRecord } from "../src/queue/redis/record.ts";
import { externalIdOf } from "../src/servicetitan/ping.ts";
import { BEARER, type GatewayProcess, startGatewayProcess, TOKEN } from "../test/support/gateway-process.ts";
import { type Mosquitto, startMosquitto } from "../test/support/mosquitto.ts";
import { until } from "../test/support/wait.ts";
import { readAlong } from "./exchanges.ts";
import { type Generator, startGenerator } from "./generator.ts";
import type { Doomed, Exchange, Exemption, FoundDead } from "./history.ts";
import { followSandbox, type Observed } from "./observed.ts";

export interface Gateway {
  process: GatewayProcess;
  toRedis: TcpProxy;
  toSandbox: TcpProxy;
  webhook: string;
  /** The tenant that comes and goes: its file, at this gateway. Resolves when the gateway has noticed. */
  setNewcomer(maxBatchAgeMs: number | null): Promise<void>;
  /** Null: its clock cannot be set (no libfaketime here). */
  setClock: ((offset: string) => void) | null;
  /** The longest file it may write: a limit acts like a full disk. */
  limitFiles(bytes: number | null): void;
}

export interface Stage {
  redis: PrivateRedis;
  /** A connection of the run itself, past the proxies. */
  db: Redis;
  broker: Mosquitto;
  sandbox: SandboxApi;
  gateways: readonly [Gateway, Gateway];
  generator: Generator;
  observed: Observed;
  exempt: Map<string, Exemption>;
  exchanges: readonly Exchange[];
  doomed: Doomed[];
  /** Everything that `readDeadLetters` has found so far. */
  dead: ReadonlyMap<string, FoundDead>;
  setFaults(faults: readonly FaultInput[]): void;
  /** What is among the dead letters now, as a gateway lists it. */
  readDeadLetters(): Promise<FoundDead[]>;
  /** Redrives the dead letters of this reason. */
  redrive(reason: string): Promise<void>;
  /** Makes the broker save what it holds; resolves when it has. */
  saveBroker(): Promise<void>;
  /** Ids of all pings that Redis holds; `flush` empties Redis in the same step. */
  held(then: "read" | "flush"): Promise<string[]>;
  stop(): Promise<void>;
}

export const RATE_PER_SECOND = 20;
/** How long a gateway waits for ServiceTitan: a request that hangs when a fault is healed ends this much later. */
export const REQUEST_TIMEOUT_MS = 2000;
/** Batches in flight at once. */
export const LANES = 4;
const BATCH_PINGS = 50;
/** Pings that may be with ServiceTitan when a gateway dies: it may send at most these a second time. */
export const PINGS_IN_FLIGHT = LANES * BATCH_PINGS;
/** Longer than any fault: a ping reaches this age only where a clock is wrong. */
const MAX_AGE_MS = 600_000;
/** Shorter than senders wait, so that they get the answer when a message was set aside on the disk. */
const [ANSWER_WITHIN_MS, COMMAND_TIMEOUT_MS] = [1300, 1000];
const MQTT_SOURCE = "trackers";
/** The source of the tenant that comes and goes, and the tenant's own name. */
export const NEWCOMER = "newcomer";

/** Nothing gets too old and nothing is superseded, so everything that is owed must arrive. */
const DESTINATION = {
  ratePerSecond: RATE_PER_SECOND,
  maxBatchPings: BATCH_PINGS,
  lanes: LANES,
  maxBatchAgeMs: 100,
  maxAgeMs: MAX_AGE_MS,
  backfill: "deliver",
  speedUnit: "mps",
  requestTimeoutMs: REQUEST_TIMEOUT_MS,
};

const JSON_BEARER = { ...BEARER, "content-type": "application/json" };

/** Where Debian's package libfaketime puts it; null: not installed. */
export function findFaketime(): string | null {
  const triplets = existsSync("/usr/lib") ? readdirSync("/usr/lib") : [];
  const paths = triplets.map((triplet) => join("/usr/lib", triplet, "faketime/libfaketimeMT.so.1"));
  return paths.find((path) => existsSync(path)) ?? null;
}

/** A process with a fake clock that is killed leaves its shared memory behind, so the memory of processes that no longer run is removed. */
function sweepSharedMemory(): void {
  for (const name of readdirSync(SHARED_MEMORY)) {
    const pid = /faketime_(?:shm|sem)_(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(SHARED_MEMORY, name), { force: true });
  }
}

const SHARED_MEMORY = "/dev/shm";

/** The program that limits how long a process's files may become; a longer write fails as on a full disk. */
export function findPrlimit(): string | null {
  return findProgram(["prlimit"]);
}

function limitFilesOf(pid: number, bytes: number | null): void {
  const { status, stderr } = spawnSync(
    findPrlimit() ?? "prlimit",
    ["--pid", String(pid), `--fsize=${bytes ?? "unlimited"}:unlimited`],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`prlimit failed: ${stderr}`);
}

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
    // The broker saves when it ends and on SIGUSR1, so a kill loses what came since.
    const dir = mkdtempSync(join(tmpdir(), "waypost-chaos-"));
    running.push({ stop: () => rmSync(dir, { recursive: true, force: true }) });
    const persistence = ["persistence true", `persistence_location ${dir}/`, "autosave_interval 0"];
    const broker = await own(startMosquitto(persistence));
    const exchanges: Exchange[] = [];
    const faketime = findFaketime();
    if (faketime !== null) running.push({ stop: sweepSharedMemory });
    // The sandbox must not help the gateway by refusing what is above the rate.
    const sandbox = await own(startSandboxApi({ record: "all", ratePerSecond: 100_000 }));

    async function startGateway(name: string, clock: "true" | "settable"): Promise<Gateway> {
      const toRedis = await own(startProxy(redis.port));
      const listen = () => readAlong(REQUEST_TIMEOUT_MS, (exchange) => exchanges.push(exchange));
      const toSandbox = await own(startProxy(sandbox.port, listen));
      const clockFile = join(dir, `${name}.clock`);
      const setClock = (offset: string) => writeFileSync(clockFile, `${offset}\n`);
      setClock("+0");
      const fake = clock === "settable" ? faketime : null;
      const url = `http://127.0.0.1:${toSandbox.port}`;
      const process = await own(
        startGatewayProcess({
          redisUrl: `redis://127.0.0.1:${toRedis.port}`,
          sandbox: { url, authUrl: url },
          destination: DESTINATION,
          sources: {
            vans: { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } },
            [MQTT_SOURCE]: {
              vendor: "json",
              destination: "acme",
              mqtt: { broker: "yard", topics: ["chaos/+"] },
            },
          },
          http: { answerWithinMs: ANSWER_WITHIN_MS },
          sections: {
            redis: { url: `redis://127.0.0.1:${toRedis.port}`, commandTimeoutMs: COMMAND_TIMEOUT_MS },
            mqtt: { brokers: { yard: { url: broker.url, clientId: "chaos-gateway" } } },
            spool: { dir: join(dir, name) },
          },
          nodeArgs: ["--import", "./chaos/logs-elsewhere.mjs"],
          env:
            fake === null
              ? {}
              : {
                  LD_PRELOAD: fake,
                  FAKETIME_TIMESTAMP_FILE: clockFile,
                  FAKETIME_CACHE_DURATION: "1",
                  // Timers use the monotonic clock, which no time server ever sets.
                  FAKETIME_DONT_FAKE_MONOTONIC: "1",
                },
        }),
      );
      const webhook = process.webhook("vans");
      const limitFiles = (bytes: number | null) => limitFilesOf(process.pid, bytes);
      const at = destinationAt({ url, authUrl: url });
      const setNewcomer = (maxBatchAgeMs: number | null) =>
        setTenant(process, maxBatchAgeMs === null ? null : newcomerOf({ ...at, maxBatchAgeMs }));
      return {
        ...{ process, toRedis, toSandbox, webhook, setNewcomer, limitFiles },
        setClock: fake === null ? null : setClock,
      };
    }
    const gateways: Stage["gateways"] = await Promise.all([
      startGateway("north", "true"),
      startGateway("south", "settable"),
    ]);
    await untilSubscribed(gateways);

    async function saveBroker(): Promise<void> {
      const file = join(dir, "mosquitto.db");
      const savedAt = () => (existsSync(file) ? statSync(file).mtimeMs : 0);
      const before = savedAt();
      broker.kill("SIGUSR1");
      await until(() => savedAt() > before, { what: "the broker to save" });
    }
    // From here on even a killed broker knows the gateways' session after its restart.
    await saveBroker();

    const observed = followSandbox(sandbox);
    running.push(observed);
    const generator = startGenerator({
      webhooks: gateways.map(({ webhook }) => webhook),
      headers: BEARER,
      webhookSource: "vans",
      mqtt: { url: broker.url, source: MQTT_SOURCE, topic: (unit) => `chaos/${unit}` },
      random: random.fork("generator"),
    });
    const exempt = new Map<string, Exemption>();
    const dead = new Map<string, FoundDead>();

    /** Asks the gateways in turn until one answers. */
    function fetchOps(path: string, init: RequestInit = {}): Promise<string> {
      let turn = 0;
      return until(
        async () => {
          const { opsPort } = gateways[turn++ % 2 === 0 ? 0 : 1].process;
          const answer = await fetch(`http://127.0.0.1:${opsPort}${path}`, { ...init, headers: JSON_BEARER });
          const text = await answer.text();
          if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
          return { text };
        },
        { what: path },
      ).then(({ text }) => text);
    }

    async function readDeadLetters(): Promise<FoundDead[]> {
      const lines = (await fetchOps("/api/v1/dead-letters/export")).split("\n").filter((line) => line !== "");
      const found = lines.map((line): FoundDead => {
        const { externalId, reason } = JSON.parse(line);
        return { id: String(externalId), reason: String(reason) };
      });
      for (const each of found) dead.set(each.id, each);
      return found;
    }

    return {
      redis,
      db,
      broker,
      sandbox,
      gateways,
      generator,
      observed,
      exempt,
      exchanges,
      doomed: [],
      dead,
      setFaults: (faults) => sandbox.faults.set([...faults]),
      readDeadLetters,
      async redrive(reason) {
        const body = JSON.stringify({ mode: "do", reason });
        await fetchOps("/api/v1/dead-letters/redrive", { method: "POST", body });
      },
      saveBroker,
      held: (then) => heldIn(db, then),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function newcomerOf(destination: object) {
  const auth = { method: "bearer", secret: TOKEN };
  return {
    sources: { [NEWCOMER]: { vendor: "json", destination: `st-${NEWCOMER}`, auth } },
    destinations: { [`st-${NEWCOMER}`]: { ...DESTINATION, ...destination } },
  };
}

async function setTenant(process: GatewayProcess, document: object | null): Promise<void> {
  const read = async () => {
    const { processes } = await process.status();
    return processes.find(({ isThis }) => isThis)?.configuration.fingerprint;
  };
  const before = await until(read, { what: "the configuration in force" });
  process.setTenant(NEWCOMER, document);
  await until(async () => (await read()) !== before, { what: "a gateway to notice its new file" });
}

async function untilSubscribed(gateways: readonly Gateway[]): Promise<void> {
  for (;;) {
    const all = await Promise.all(gateways.map(({ process }) => process.status()));
    if (all.some(({ brokers }) => brokers.some(({ state }) => state === "connected"))) return;
    await pause(50);
  }
}

/** The records of every key that may hold a whole ping. ARGV: `flush` to empty Redis in the same step. */
const HELD = `
local out = {}
local function add(values, step)
  for i = step, #values, step do out[#out + 1] = values[i] end
end
for _, key in ipairs(redis.call('KEYS', 'waypost:*')) do
  local kind = string.match(key, '^waypost:{[^}]*}:(%w+):')
  if kind == 'backlog' or kind == 'b' or kind == 'isolated' then add(redis.call('LRANGE', key, 0, -1), 1)
  elseif kind == 'live' then add(redis.call('HGETALL', key), 2)
  elseif kind == 'old' then add(redis.call('ZRANGE', key, 0, -1), 1) end
end
if ARGV[1] == 'flush' then redis.call('FLUSHALL') end
return out
`;

async function heldIn(db: Redis, then: "read" | "flush"): Promise<string[]> {
  const records: unknown = await db.eval(HELD, 0, then);
  if (!Array.isArray(records)) throw new Error("Redis returned no list of records.");
  return records.map((record) => {
    const { source, reading } = decodeRecord(String(record));
    return externalIdOf(source, reading.deviceId, reading.fixTime);
  });
}
