/** The whole system on one machine: a Redis, a stand-in ServiceTitan, a simulated fleet, and the gateway between them. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { adapters } from "../src/adapters/index.ts";
import type { Config } from "../src/config/config.ts";
import { loadConfig } from "../src/config/load.ts";
import type { Gateway } from "../src/server.ts";
import { type Accounting, sumAccounting } from "../src/status/accounting.ts";
import type { QueueStatus } from "../src/status/queue.ts";
import { destinationAt, type SandboxApi, startSandboxApi } from "./api.ts";
import { createFleetSecrets, fleetBrokerDevices, fleetMapping, fleetSources, startFleet } from "./fleet.ts";
import { portOrFree } from "./owned-process.ts";
import { startPublisher } from "./publisher.ts";
import { type PrivateRedis, startPrivateRedis } from "./redis.ts";
import type { FleetSecrets } from "./traffic.ts";

export interface DemoOptions {
  /** Null: until stopped. */
  forMs: number | null;
  vehicles: number;
  seed: string;
  /** A fleet without flaws made on purpose. */
  clean: boolean;
  /** An existing Redis, used under a prefix of its own. Null: the demo starts a Redis. */
  redisUrl: string | null;
  print(line: string): void;
  /** Resolves when the user ends the demo. */
  interrupted: Promise<void>;
  startGateway(config: Config): Promise<Gateway>;
}

export interface DemoResult extends Accounting {
  /** From arrival to ServiceTitan's acceptance. */
  p50Ms: number;
  p99Ms: number;
}

/** The documented ports; one that is in use is replaced by a free one. */
const PORTS = { webhooks: 8080, ops: 9090, mqtt: 1883, sandbox: 8090 };
/** How long after the fleet's last message the pipeline may need to empty. */
const DRAIN_MS = 60_000;
/** A pipeline in which nothing moves for this long does not empty: a fault is set, or Redis is away. */
const STUCK_MS = 2000;
const REPORT_EVERY_MS = 5000;
const WATCH_EVERY_MS = 500;

export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const dir = await mkdtemp(join(tmpdir(), "waypost-demo-"));
  const redis = options.redisUrl === null ? await startPrivateRedis() : null;
  const sandbox = await startSandboxApi({ port: await portOrFree(PORTS.sandbox), record: "all" });
  try {
    const secrets = createFleetSecrets();
    const opsToken = randomBytes(12).toString("hex");
    const mappingFile = join(dir, "mapping.json");
    await writeFile(mappingFile, JSON.stringify(mappingRows(options)));
    const redisUrl = redis?.url ?? options.redisUrl ?? "";
    const config = demoConfig({
      sandbox,
      secrets,
      opsToken,
      mappingFile,
      redisUrl,
      ports: await freePorts(),
    });
    const gateway = await options.startGateway(config);
    const watch = watchRedis(redis, gateway, options);
    try {
      introduce(options, { gateway, sandbox, opsToken, secrets });
      await drive(options, gateway, secrets);
      await watch.stop();
      return await drained(gateway, options);
    } finally {
      await watch.stop();
      // Closing the gateway would otherwise wait for requests that hang there until they time out.
      await sandbox.stop();
      await gateway.close();
    }
  } finally {
    await sandbox.stop();
    await redis?.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function drive(options: DemoOptions, gateway: Gateway, secrets: FleetSecrets): Promise<void> {
  const url = `mqtt://127.0.0.1:${gateway.brokerPort}`;
  const publishers = await Promise.all(
    fleetBrokerDevices(secrets).map(async ({ username, password, topics }) => ({
      topics,
      publisher: await startPublisher(url, { username, password, clientId: `fleet-${username}` }),
    })),
  );
  const fleet = startFleet({
    seed: options.seed,
    vehicles: options.vehicles,
    clean: options.clean,
    webhookUrl: `http://127.0.0.1:${gateway.webhookPort}/webhooks`,
    secrets,
    async publishMqtt(topic, payload, qos) {
      const found = publishers.find(({ topics }) =>
        topics.some((filter) => topic.startsWith(filter.replace("#", ""))),
      );
      await found?.publisher.publish(topic, payload, qos);
    },
  });
  const stop = new AbortController();
  const report = setInterval(() => {
    // Without an answer there are no figures; the watch reports that Redis is away.
    printTotals(gateway, options).catch(() => {});
  }, REPORT_EVERY_MS);
  const time = options.forMs === null ? [] : [sleep(options.forMs, undefined, { signal: stop.signal })];
  await Promise.race([options.interrupted, ...time]);
  stop.abort();
  clearInterval(report);
  options.print("The fleet stops; what is on its way is delivered. Ctrl-C once more ends at once.");
  await fleet.stop();
  // The fleet has already waited for every PUBACK that can come.
  await Promise.all(publishers.map(({ publisher }) => publisher.close({ atOnce: true })));
}

/** The demo outlives its Redis: it reports when Redis is away and when it is back, and restarts a Redis of its own. */
function watchRedis(
  redis: PrivateRedis | null,
  gateway: Gateway,
  { print }: DemoOptions,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  let away = false;

  async function watch(): Promise<void> {
    while (!stopping.signal.aborted) {
      const ended = redis?.ended() ?? null;
      if (redis && ended !== null) {
        away = true;
        print(`Redis has ended (${ended}). It is started again on the same port, with its data.`);
        await redis.restart().catch((error: unknown) => print(`It did not start: ${String(error)}`));
      }
      const status = await statusOf(gateway);
      if (!status && !away) {
        print("Redis does not answer. Senders get 503 and send their messages again later.");
      }
      if (status && away) print("Redis answers again; deliveries go on.");
      away = !status;
      await sleep(WATCH_EVERY_MS, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  const watching = watch();
  return {
    stop() {
      stopping.abort();
      return watching;
    },
  };
}

/** Null while Redis is away. */
async function statusOf(gateway: Gateway): Promise<QueueStatus | null> {
  try {
    const status = await gateway.status();
    return status.redis.reachable ? status : null;
  } catch {
    return null;
  }
}

async function printTotals(gateway: Gateway, { print }: DemoOptions): Promise<void> {
  const { messages, delivered, waiting, inFlight, rejected, duplicates } = await totals(gateway);
  print(
    `${messages} messages in · ${delivered} pings delivered · ${waiting} waiting · ${inFlight} in flight · ${duplicates} duplicates · ${rejected} rejected`,
  );
}

async function drained(gateway: Gateway, { print }: DemoOptions): Promise<DemoResult> {
  const until = performance.now() + DRAIN_MS;
  let found = sumAccounting([]);
  let movedAt = performance.now();
  for (;;) {
    const status = await statusOf(gateway);
    const now = performance.now();
    const before = found;
    if (status) found = sumAccounting(status.sources);
    const left = found.waiting + found.inFlight;
    if (status && left === 0) return { ...found, ...gateway.latency() };
    if (left !== before.waiting + before.inFlight) movedAt = now;
    const cause = status ? whyStuck(status) : "Redis does not answer";
    if (cause !== null && now - movedAt > STUCK_MS) {
      print(
        `${cause}, so ${left} pings stay where they are; a gateway continues with them when it starts again.`,
      );
      return { ...found, ...gateway.latency() };
    }
    if (now > until) {
      print(`After ${DRAIN_MS / 1000} s the pipeline is not empty: see the numbers.`);
      return { ...found, ...gateway.latency() };
    }
    await sleep(100);
  }
}

/** Why nothing is sent; null while pings are sent. */
function whyStuck({ destinations }: QueueStatus): string | null {
  for (const { gate, scopeGate, lanes } of destinations) {
    const shut = [gate, scopeGate].find(({ state }) => state === "paused" || state === "probing");
    if (shut) return `ServiceTitan accepts nothing now (${shut.reason})`;
    if (lanes.some(({ unansweredMs }) => unansweredMs !== null && unansweredMs > STUCK_MS))
      return "ServiceTitan does not answer";
  }
  return null;
}

async function totals(gateway: Gateway): Promise<Accounting> {
  return sumAccounting((await gateway.status()).sources);
}

function introduce(
  { print, vehicles }: DemoOptions,
  parts: { gateway: Gateway; sandbox: SandboxApi; opsToken: string; secrets: FleetSecrets },
): void {
  const { gateway, sandbox, opsToken, secrets } = parts;
  print(`
Waypost is running, with ${vehicles} simulated vehicles.

  Operators' page    http://127.0.0.1:${gateway.opsPort}/     token: ${opsToken}
  Dispatch map       ${sandbox.url}/     what the stand-in ServiceTitan accepted
  Webhooks           http://127.0.0.1:${gateway.webhookPort}/webhooks/<source>
  MQTT               mqtt://127.0.0.1:${gateway.brokerPort}

Send a position of your own, and see it on the map a second later:

  curl -H 'Authorization: Bearer ${secrets.json}' -H 'Content-Type: application/json' \\
    -d '{"deviceId":"my-van","latitude":32.78,"longitude":-96.8,"time":"'$(date -u +%FT%TZ)'","speed":34,"speedUnit":"mph","heading":45}' \\
    http://127.0.0.1:${gateway.webhookPort}/webhooks/json

Stop with Ctrl-C.
`);
}

function mappingRows({ seed, vehicles, clean }: DemoOptions) {
  return fleetMapping({ seed, vehicles, clean, ways: "webhooks_and_mqtt" }).map((row, i) => ({
    ...row,
    technician: `tech-${i + 1}`,
  }));
}

async function freePorts() {
  return {
    webhooks: await portOrFree(PORTS.webhooks),
    ops: await portOrFree(PORTS.ops),
    mqtt: await portOrFree(PORTS.mqtt),
  };
}

function demoConfig(parts: {
  sandbox: SandboxApi;
  secrets: FleetSecrets;
  opsToken: string;
  mappingFile: string;
  redisUrl: string;
  ports: { webhooks: number; ops: number; mqtt: number };
}): Config {
  const { sandbox, secrets, ports } = parts;
  const sources = Object.entries(fleetSources(secrets)).map(([name, source]) => [
    name,
    { ...source, destination: "acme" },
  ]);
  const loaded = loadConfig({
    adapters,
    settings: {
      redis: { url: parts.redisUrl, prefix: `waypost-demo-${randomBytes(4).toString("hex")}` },
      http: { host: "127.0.0.1", port: ports.webhooks },
      ops: { host: "127.0.0.1", port: ports.ops, token: parts.opsToken },
      mqtt: { listen: { host: "127.0.0.1", port: ports.mqtt, devices: fleetBrokerDevices(secrets) } },
      mapping: { file: parts.mappingFile },
      sources: Object.fromEntries(sources),
      destinations: {
        acme: {
          ...destinationAt(sandbox),
        },
      },
      // The errors that the fleet makes on purpose would fill the terminal.
      log: { level: "error" },
    },
  });
  if ("config" in loaded) return loaded.config;
  const problems = loaded.problems.map(({ path, message }) => `${path} ${message}`).join("; ");
  throw new Error(`The demo's own configuration is wrong: ${problems}`);
}
