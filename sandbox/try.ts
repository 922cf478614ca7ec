/** `waypost sandbox` in a clone: the stand-in ServiceTitan by itself, or with a Redis and a gateway that takes one vendor's messages. */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Command } from "commander";
import { stringify } from "yaml";
import { adapters, findAdapter } from "../src/adapters/index.ts";
import { duration, json, runCommand, wholeNumber } from "../src/commands/options.ts";
import { printLines } from "../src/commands/print.ts";
import { loadConfig } from "../src/config/load.ts";
import { createLogger } from "../src/events/log.ts";
import { startGateway } from "../src/server.ts";
import { destinationAt, SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "./api.ts";
import { startPrivateRedis } from "./redis.ts";

interface Options {
  vendor?: string;
  auth?: string;
  secret: string;
  speedUnit?: string;
  options?: unknown;
  port: number;
  webhookPort: number;
  mqttPort: number;
  opsPort: number;
  for?: number;
  env?: boolean;
}

/** What every method but the secret needs; a method ignores what it does not need. */
const NEEDS = {
  username: { username: "sandbox" },
  header: { header: "X-Sandbox-Key" },
  allow: { allow: ["127.0.0.1"] },
} as const;

const program = new Command("waypost sandbox")
  .description("run a stand-in for ServiceTitan, and with --vendor a gateway for that vendor")
  .option("--vendor <vendor>", "also run a Redis and a gateway with one source of this vendor")
  .option("--auth <method>", "how the vendor authenticates; default its usual method")
  .option("--secret <secret>", "its secret", "sandbox")
  .option("--speed-unit <unit>", "where the vendor documents none")
  .option("--options <json>", "the source's options", json)
  .option("--port <n>", "of the stand-in", wholeNumber, 8090)
  .option("--webhook-port <n>", "of the gateway's webhooks", wholeNumber, 8080)
  .option("--mqtt-port <n>", "of the gateway's embedded broker", wholeNumber, 1883)
  .option("--ops-port <n>", "of the gateway's ops endpoint", wholeNumber, 9090)
  .option("--for <time>", "stop by itself, for example 20s or 2m", duration)
  .option("--env", "print what a configuration needs of the stand-in, as variables, and end")
  .action(async (options: Options) => {
    if (options.env) {
      printLines(variables(options.port));
      return;
    }
    const interrupted = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
    const sandbox = await startSandboxApi({ port: options.port, record: "all" });
    try {
      printLines(
        `# ServiceTitan's stand-in: ${sandbox.url}/ (what it accepted: ${sandbox.url}/_sandbox/pings)`,
      );
      if (options.vendor === undefined) {
        printLines(destinations(sandbox));
        await ended(options, interrupted);
      } else await runVendor(options.vendor, options, sandbox, () => ended(options, interrupted));
    } finally {
      await sandbox.stop();
    }
  });

async function ended(options: Options, interrupted: Promise<unknown>): Promise<void> {
  const waits: Promise<unknown>[] = [interrupted];
  if (options.for !== undefined) waits.push(new Promise((resolve) => setTimeout(resolve, options.for)));
  await Promise.race(waits);
}

/** Its credentials, as a configuration has them. All that is printed is YAML, so that it can be pasted as it is. */
function destinations(sandbox: SandboxApi): string {
  const block = stringify({ destinations: { sandbox: destinationAt(sandbox) } });
  return `# Its credentials, for a configuration:\n${block.trimEnd()}`;
}

function variables(port: number): string {
  const { tenants, providers, appKey, clientId, clientSecret } = SANDBOX_CLIENT;
  return [
    `SERVICETITAN_URL=http://127.0.0.1:${port}`,
    `SERVICETITAN_TENANT=${tenants[0]}`,
    `SERVICETITAN_PROVIDER=${providers[0]}`,
    `SERVICETITAN_APP_KEY=${appKey}`,
    `SERVICETITAN_CLIENT_ID=${clientId}`,
    `SERVICETITAN_CLIENT_SECRET=${clientSecret}`,
  ].join("\n");
}

async function runVendor(
  vendor: string,
  options: Options,
  sandbox: SandboxApi,
  untilEnd: () => Promise<void>,
): Promise<void> {
  const adapter = findAdapter(vendor);
  if (adapter === undefined)
    throw new Error(`There is no vendor ${vendor}; src/adapters/index.ts lists them.`);
  if (adapter.transports.includes("pull"))
    throw new Error(
      `${vendor} is polled and sends nothing: give its account to a configuration of your own.`,
    );
  const overMqtt = !adapter.transports.includes("webhook");
  const method = adapter.auth.find(({ name }) => options.auth === undefined || name === options.auth);
  if (!overMqtt && method === undefined)
    throw new Error(`${vendor} authenticates by ${adapter.auth.map(({ name }) => name).join(", ")}.`);
  const auth = {
    ...(adapter.auth.length > 1 ? { method: method?.name } : {}),
    ...Object.assign(
      {},
      ...(method?.needs ?? []).map((need) => (need === "secrets" ? { secret: options.secret } : NEEDS[need])),
    ),
  };
  const redis = await startPrivateRedis();
  try {
    const device = {
      username: "sandbox",
      password: options.secret,
      source: vendor,
      topics: ["#"],
      speaksFor: ["*"],
    };
    const loaded = loadConfig({
      adapters,
      // Everything listens on 127.0.0.1, and a short secret is easier to type.
      allowWeak: true,
      settings: {
        redis: { url: redis.url },
        http: { host: "127.0.0.1", port: options.webhookPort },
        ops: { host: "127.0.0.1", port: options.opsPort, token: randomBytes(12).toString("hex") },
        ...(overMqtt
          ? { mqtt: { listen: { host: "127.0.0.1", port: options.mqttPort, devices: [device] } } }
          : {}),
        sources: {
          [vendor]: {
            vendor,
            destination: "sandbox",
            ...(overMqtt ? { mqtt: { broker: "listen" } } : { auth }),
            ...(options.speedUnit === undefined ? {} : { speedUnit: options.speedUnit }),
            ...(options.options === undefined ? {} : { options: options.options }),
          },
        },
        destinations: {
          sandbox: {
            ...destinationAt(sandbox),
            // Captured messages are older than any limit.
            maxAgeMs: 0,
            backfill: "deliver",
          },
        },
        log: { level: "warn" },
      },
    });
    if ("problems" in loaded)
      throw new Error(loaded.problems.map(({ path, message }) => `${path} ${message}`).join("; "));
    const gateway = await startGateway(loaded.config, createLogger({ level: "warn" }));
    try {
      const needs =
        method?.needs.map((need) => (need === "secrets" ? `secret ${options.secret}` : need)) ?? [];
      printLines(
        overMqtt
          ? `Publish to mqtt://127.0.0.1:${gateway.brokerPort}, user sandbox, password ${options.secret}`
          : `Send to http://127.0.0.1:${gateway.webhookPort}/webhooks/${vendor}, ${method?.name} with ${needs.join(", ")}`,
      );
      printLines(`Ops endpoint: http://127.0.0.1:${gateway.opsPort}/, token ${loaded.config.ops.token}`);
      await untilEnd();
    } finally {
      await gateway.close();
    }
  } finally {
    await redis.stop();
  }
}

await runCommand(program);
