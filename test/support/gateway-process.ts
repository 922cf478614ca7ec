/** Starts the gateway as a process of its own, with a configuration written for it, and starts it again after a kill. */

import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { SANDBOX_CLIENT, type SandboxApi } from "../../sandbox/api.ts";
import { type Accounting, sumAccounting } from "../../src/status/accounting.ts";
import { type CliProcess, startCli } from "./cli-process.ts";
import { readStatus, type WholeStatus } from "./ops-api.ts";
import { until } from "./wait.ts";

/** The secret of the webhook source `vans`, of the ops endpoint, and of all else that needs one. */
export const TOKEN = "end-to-end-token-0123456789";
export const BEARER = { authorization: `Bearer ${TOKEN}` };

export interface GatewayOptions {
  redisUrl: string;
  sandbox: Pick<SandboxApi, "url" | "authUrl">;
  /** Settings of the destination `acme`. */
  destination?: Record<string, unknown>;
  /** In place of `vans`, the webhook source in Waypost's own format. */
  sources?: Record<string, unknown>;
  http?: Record<string, unknown>;
  /** Whole sections of the configuration. */
  sections?: Record<string, unknown>;
  /** Documents of `tenants.d/`, by name. */
  tenants?: Record<string, object>;
  /** In place of the one ops token; the first has to be TOKEN and see everything. */
  tokens?: readonly object[];
  nodeArgs?: readonly string[];
  maxOpenFiles?: number;
  env?: Record<string, string>;
}

export interface GatewayProcess {
  configFile: string;
  opsPort: number;
  webhookPort: number;
  /** Address of a source's webhook. */
  webhook(source: string): string;
  readonly pid: number;
  /** Null while it runs. */
  ended(): string | null;
  /** All that it has written since it was last started. */
  log(): string;
  status(): Promise<WholeStatus>;
  accounting(): Promise<Accounting>;
  /** Sum over the lines of one of its metrics, since this process started. */
  metric(name: string): Promise<number>;
  /** Resolves with the status once nothing waits and nothing is in flight. */
  drained(withinMs?: number): Promise<WholeStatus>;
  /** Writes a file of its `tenants.d/`, whole at once, or removes it; the gateway notices by itself. */
  setTenant(name: string, document: object | null): void;
  kill(signal: NodeJS.Signals): void;
  /** Starts it again with the same configuration and ports; resolves when it is ready. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Loading TypeScript on a busy machine takes seconds. */
const READY_WITHIN_MS = 60_000;

export async function startGatewayProcess(options: GatewayOptions): Promise<GatewayProcess> {
  const dir = mkdtempSync(join(tmpdir(), "waypost-gateway-"));
  const configFile = join(dir, "waypost.yaml");
  const ports = { http: await quietPort(), ops: await quietPort() };
  writeFileSync(configFile, stringify(settingsOf(options, ports)));
  const tenantsDir = join(dir, "tenants.d");
  for (const [name, document] of Object.entries(options.tenants ?? {})) setTenant(name, document);
  const opsUrl = `http://127.0.0.1:${ports.ops}`;
  let cli: CliProcess | null = null;

  function setTenant(name: string, document: object | null): void {
    const file = join(tenantsDir, `${name}.yaml`);
    if (document === null) {
      rmSync(file, { force: true });
      return;
    }
    mkdirSync(tenantsDir, { recursive: true });
    writeFileSync(`${file}.new`, stringify(document));
    renameSync(`${file}.new`, file);
  }

  async function start(): Promise<void> {
    await cli?.stop();
    // One token is used everywhere here.
    const started = await startCli(["start", "--allow-weak", "--config", configFile], {
      nodeArgs: options.nodeArgs ?? [],
      env: options.env ?? {},
      ...(options.maxOpenFiles === undefined ? {} : { maxOpenFiles: options.maxOpenFiles }),
    });
    cli = started;
    const state = await until(
      async () => started.ended() ?? ((await fetch(`${opsUrl}/readyz`)).ok ? "ready" : null),
      { withinMs: READY_WITHIN_MS, what: "the gateway's /readyz" },
    );
    if (state !== "ready") throw new Error(`the gateway ended (${state}): ${said(started)}`);
  }

  const status = () => readStatus(opsUrl, BEARER);
  const accounting = async () => sumAccounting((await status()).sources);

  await start();
  return {
    configFile,
    opsPort: ports.ops,
    webhookPort: ports.http,
    webhook: (source) => `http://127.0.0.1:${ports.http}/webhooks/${source}`,
    get pid() {
      return cli?.pid ?? 0;
    },
    ended: () => cli?.ended() ?? null,
    log: () => (cli === null ? "" : `${cli.stdout()}${cli.stderr()}`),
    status,
    accounting,
    async metric(name) {
      const text = await (await fetch(`${opsUrl}/metrics`, { headers: BEARER })).text();
      const lines = text
        .split("\n")
        .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
      return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    },
    drained: (withinMs = 60_000) =>
      until(
        async () => {
          const found = await status();
          const { waiting, inFlight } = sumAccounting(found.sources);
          return waiting + inFlight === 0 ? found : null;
        },
        { withinMs, what: "an empty line" },
      ),
    setTenant,
    kill: (signal) => cli?.kill(signal),
    start,
    async stop() {
      await cli?.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Two ports of one gateway must differ; neither is in use yet when the other is sought. */
const givenPorts = new Set<number>();

/**
 * A port outside the range from which the system takes the local ports of connections: while a killed gateway is down,
 * no sender that tries to reach it can get that port as its own.
 */
export async function quietPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (givenPorts.has(port)) continue;
    const server = createServer();
    try {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      givenPorts.add(port);
      return port;
    } catch {
      // The port is in use: try another.
    } finally {
      server.close();
    }
  }
}

/** The whole configuration as in a file; a setting that is not named has its default. */
function settingsOf(options: GatewayOptions, ports: { http: number; ops: number }) {
  const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
  const vans = { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } };
  return {
    redis: { url: options.redisUrl },
    http: { host: "127.0.0.1", port: ports.http, ...options.http },
    ops: {
      host: "127.0.0.1",
      port: ports.ops,
      ...(options.tokens ? { tokens: options.tokens } : { token: TOKEN }),
    },
    log: { level: "warn" },
    sources: options.sources ?? { vans },
    destinations: {
      acme: {
        environment: "custom",
        apiUrl: options.sandbox.url,
        authUrl: options.sandbox.authUrl,
        tenant: tenants[0],
        provider: providers[0],
        appKey,
        clientId,
        clientSecret,
        ...options.destination,
      },
    },
    ...options.sections,
  };
}

function said(cli: CliProcess): string {
  return `${cli.stdout().slice(-4000)}${cli.stderr().slice(-4000)}`;
}
