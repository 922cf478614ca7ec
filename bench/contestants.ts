/** Starts one contestant, the gateway or a reference, as a process of its own between its Redis and the sink. */

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { freePort, type OwnedProcess, startOwned } from "../sandbox/owned-process.ts";
import { until } from "../test/support/wait.ts";
import { type Child, nodeArgs, startChild } from "./child.ts";
import type { Floor, FloorSettings } from "./floor.ts";
import type { Naive, NaiveSettings } from "./naive.ts";

export const CONTESTANTS = ["gateway", "floor", "naive"] as const;
export type ContestantName = (typeof CONTESTANTS)[number];

/** The same for every contestant. */
export const TOKEN = "bench-token-0123456789";
export const TOPIC = "fleet/positions";
/** Pings in one POST. */
const BATCH_PINGS = 500;
/** POSTs under way at once: the gateway's lanes, the floor's loops. */
const POSTS_IN_FLIGHT = 4;
/** How long a batch that is not full waits for more. */
const BATCH_AGE_MS = 100;
/** Messages the broker may send ahead of their PUBACK. */
const RECEIVE_MAXIMUM = 500;
/** The most the schema allows: no rate limit may slow a contestant here. */
const RATE_PER_SECOND = 1000;
const PINGS_PATH = "/dispatch/v2/tenant/1/gps-provider/bench/gps-pings";
const TOKEN_PATH = "/connect/token";

export interface Surroundings {
  redisUrl: string;
  sinkUrl: string;
  /** Null where the scenario has no broker. */
  brokerUrl: string | null;
  /** What the floor does depends on what the scenario measures. */
  floorMode: FloorSettings["mode"];
  /** The gateway writes a CPU profile here when it stops. */
  profileDir: string | null;
}

export interface Contestant {
  pid: number;
  webhookUrl: string;
  /** Stops delivering; new pings wait in Redis. The gateway has no such switch: there the sink answers 503. */
  hold(): Promise<void>;
  release(): Promise<void>;
  stop(): Promise<void>;
}

export function startContestant(name: ContestantName, surroundings: Surroundings): Promise<Contestant> {
  switch (name) {
    case "gateway":
      return startGateway(surroundings);
    case "floor":
      return startFloor(surroundings);
    case "naive":
      return startNaive(surroundings);
    default:
      return name satisfies never;
  }
}

function subscription({ brokerUrl }: Surroundings) {
  return brokerUrl === null ? null : { url: brokerUrl, topic: TOPIC, receiveMaximum: RECEIVE_MAXIMUM };
}

async function startFloor(surroundings: Surroundings): Promise<Contestant> {
  const settings: FloorSettings = {
    mode: surroundings.floorMode,
    redisUrl: surroundings.redisUrl,
    sinkUrl: surroundings.sinkUrl,
    pingsPath: PINGS_PATH,
    batchPings: BATCH_PINGS,
    postsInFlight: POSTS_IN_FLIGHT,
    mqtt: subscription(surroundings),
  };
  return reference(await startChild<Floor>("floor.ts", [JSON.stringify(settings)]));
}

async function startNaive(surroundings: Surroundings): Promise<Contestant> {
  const settings: NaiveSettings = {
    redisUrl: surroundings.redisUrl,
    sinkUrl: surroundings.sinkUrl,
    pingsPath: PINGS_PATH,
    tokenPath: TOKEN_PATH,
    token: TOKEN,
    mqtt: subscription(surroundings),
  };
  return reference(await startChild<Naive>("naive.ts", [JSON.stringify(settings)]));
}

async function reference(part: Child<Floor> | Child<Naive>): Promise<Contestant> {
  const port = await part.call("address");
  return {
    pid: part.pid,
    webhookUrl: `http://127.0.0.1:${port}/webhooks/bench`,
    hold: () => part.call("hold"),
    release: () => part.call("release"),
    stop: () => part.stop(),
  };
}

/** Loading TypeScript on a busy machine takes seconds. */
const READY_WITHIN_MS = 30_000;

async function startGateway(surroundings: Surroundings): Promise<Contestant> {
  const dir = mkdtempSync(join(tmpdir(), "waypost-bench-"));
  const file = join(dir, "waypost.yaml");
  const log = join(dir, "gateway.log");
  const ports = { http: await freePort(), ops: await freePort() };
  writeFileSync(file, stringify(gatewayConfig(surroundings, ports)));

  const profile =
    surroundings.profileDir === null ? [] : ["--cpu-prof", `--cpu-prof-dir=${surroundings.profileDir}`];
  const program = [...nodeArgs("src/cli.ts"), "start", "--allow-weak", "--config", file];
  // As in the Dockerfile.
  const node = [process.execPath, "--max-semi-space-size=64", ...profile, ...program];
  closeSync(openSync(log, "w"));
  // `exec`: the process id is the gateway's, not a shell's. The sink is on this machine, so no proxy applies.
  const gateway = await startOwned(
    "sh",
    ["-c", 'log=$1; shift; exec env NO_PROXY=127.0.0.1 "$@" >"$log" 2>&1', "sh", log, ...node],
    {
      removeDirs: [dir],
    },
  );
  try {
    await untilReady(gateway, ports.ops);
  } catch (error) {
    await gateway.stop();
    const output = readFileSync(log, "utf8").slice(-2000);
    rmSync(dir, { recursive: true, force: true });
    throw new Error(`the gateway did not start; its log:\n${output}`, { cause: error });
  }
  return {
    pid: gateway.pid,
    webhookUrl: `http://127.0.0.1:${ports.http}/webhooks/bench`,
    hold: async () => {},
    release: async () => {},
    async stop() {
      // Only a profile needs an orderly end: Node writes it then.
      if (surroundings.profileDir === null) gateway.kill("SIGKILL");
      await gateway.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function untilReady(gateway: OwnedProcess, opsPort: number): Promise<void> {
  const isReady = async () => {
    if (gateway.ended() !== null) return "ended";
    const answer = await fetch(`http://127.0.0.1:${opsPort}/readyz`);
    return answer.ok ? "ready" : null;
  };
  const state = await until(isReady, { withinMs: READY_WITHIN_MS, what: "the gateway's /readyz" });
  if (state === "ended") throw new Error(`it ended (${gateway.ended()})`);
}

/** Settings as in a file; a setting that is not named has its default. */
export function gatewayConfig(surroundings: Surroundings, ports: { http: number; ops: number }) {
  const { brokerUrl, redisUrl, sinkUrl } = surroundings;
  const webhook = { vendor: "json", destination: "sink", auth: { method: "bearer", secret: TOKEN } };
  const mqtt = { vendor: "json", destination: "sink", mqtt: { broker: "bench", topics: [TOPIC] } };
  return {
    redis: { url: redisUrl },
    http: { host: "127.0.0.1", port: ports.http },
    ops: { host: "127.0.0.1", port: ports.ops, token: TOKEN },
    log: { level: "warn" },
    sources: { bench: webhook, ...(brokerUrl === null ? {} : { devices: mqtt }) },
    ...(brokerUrl === null
      ? {}
      : {
          mqtt: {
            brokers: { bench: { url: brokerUrl, clientId: "bench", receiveMaximum: RECEIVE_MAXIMUM } },
          },
        }),
    destinations: {
      sink: {
        environment: "custom",
        apiUrl: sinkUrl,
        authUrl: sinkUrl,
        tenant: "1",
        provider: "bench",
        appKey: "bench",
        clientId: "bench",
        clientSecret: "bench",
        ratePerSecond: RATE_PER_SECOND,
        maxBatchPings: BATCH_PINGS,
        // Never the limit: a ping is some 350 bytes.
        maxBatchBytes: 1_000_000,
        maxBatchAgeMs: BATCH_AGE_MS,
        lanes: POSTS_IN_FLIGHT,
        backfill: "deliver",
      },
    },
  };
}
