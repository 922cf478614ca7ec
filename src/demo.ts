/** The whole system on one machine: a Redis, a stand-in ServiceTitan, a simulated fleet, and the gateway between them. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { adapters } from "./adapters/index.ts";
import { type Config, loadConfig } from "./config.ts";
import type { publishTo } from "./publisher.ts";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "./sandbox/api.ts";
import {
  createFleetSecrets,
  fleetBrokerDevices,
  fleetMapping,
  fleetSources,
  startFleet,
} from "./sandbox/fleet.ts";
import { portOrFree } from "./sandbox/owned-process.ts";
import { startPrivateRedis } from "./sandbox/redis.ts";
import type { FleetSecrets } from "./sandbox/traffic.ts";
import type { Gateway } from "./server.ts";
import { type Accounting, sumAccounting } from "./status.ts";

export interface DemoOptions {
  /** Null: until stopped. */
  forMs: number | null;
  vehicles: number;
  seed: string;
  /** A Redis somebody runs: used under a prefix of our own. Null: one of our own. */
  redisUrl: string | null;
  say(line: string): void;
  /** Resolves when somebody wants the demo to end. */
  interrupted: Promise<void>;
  startGateway(config: Config): Promise<Gateway>;
  publishTo: typeof publishTo;
}

export interface DemoResult extends Accounting {
  /** Arrival to ServiceTitan's yes. */
  p50Ms: number;
  p99Ms: number;
}

/** The ports people are told; taken ones are replaced by free ones. */
const PORTS = { webhooks: 8080, ops: 9090, mqtt: 1883, sandbox: 8090 };
/** How long after the fleet's last message the line may take to empty. */
const DRAIN_MS = 60_000;
const REPORT_EVERY_MS = 5000;

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
    try {
      introduce(options, { gateway, sandbox, opsToken, secrets });
      await drive(options, gateway, secrets);
      return await drained(gateway, options);
    } finally {
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
      publisher: await options.publishTo(url, { username, password, clientId: `fleet-${username}` }),
    })),
  );
  const fleet = startFleet({
    seed: options.seed,
    vehicles: options.vehicles,
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
  const report = setInterval(() => void tell(gateway, options), REPORT_EVERY_MS);
  const time = options.forMs === null ? [] : [sleep(options.forMs, undefined, { signal: stop.signal })];
  await Promise.race([options.interrupted, ...time]);
  stop.abort();
  clearInterval(report);
  options.say("The fleet stops; what is on its way is delivered.");
  await fleet.stop();
  await Promise.all(publishers.map(({ publisher }) => publisher.close()));
}

async function tell(gateway: Gateway, { say }: DemoOptions): Promise<void> {
  const { messages, delivered, waiting, inFlight, rejected, duplicates } = await totals(gateway);
  say(
    `${messages} messages in · ${delivered} pings delivered · ${waiting} waiting · ${inFlight} in flight · ${duplicates} duplicates · ${rejected} rejected`,
  );
}

async function drained(gateway: Gateway, { say }: DemoOptions): Promise<DemoResult> {
  const until = performance.now() + DRAIN_MS;
  for (;;) {
    const found = await totals(gateway);
    const empty = found.waiting === 0 && found.inFlight === 0;
    if (empty || performance.now() > until) {
      if (!empty) say(`After ${DRAIN_MS / 1000} s something is still on its way: see the numbers.`);
      return { ...found, ...gateway.latency() };
    }
    await sleep(100);
  }
}

async function totals(gateway: Gateway): Promise<Accounting> {
  return sumAccounting((await gateway.status()).sources);
}

function introduce(
  { say, vehicles }: DemoOptions,
  parts: { gateway: Gateway; sandbox: SandboxApi; opsToken: string; secrets: FleetSecrets },
): void {
  const { gateway, sandbox, opsToken, secrets } = parts;
  say(`
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

function mappingRows({ seed, vehicles }: DemoOptions) {
  return fleetMapping({ seed, vehicles, ways: "webhooks_and_mqtt" }).map((row, i) => ({
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
  const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
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
          environment: "custom",
          apiUrl: sandbox.url,
          authUrl: sandbox.authUrl,
          tenant: tenants[0],
          provider: providers[0],
          appKey,
          clientId,
          clientSecret,
        },
      },
      // What the fleet does wrong on purpose would fill the terminal.
      log: { level: "error" },
    },
  });
  if ("config" in loaded) return loaded.config;
  const problems = loaded.problems.map(({ path, message }) => `${path} ${message}`).join("; ");
  throw new Error(`The demo's own configuration is wrong: ${problems}`);
}
