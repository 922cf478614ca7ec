/** Finds the running gateway by its configuration, sends a capture to it, and prints the accounting; behind the `replay` command. */

import { setTimeout as sleep } from "node:timers/promises";
import { fetch } from "undici";
import { z } from "zod";
import { EMBEDDED } from "../config/check-sources.ts";
import type { Config, SourceConfig } from "../config/config.ts";
import { opsTokenFor } from "../config/ops-tokens.ts";
import type { Accounting } from "../status.ts";
import { brokerSettingsOf } from "../wiring.ts";
import { publishTo } from "./capture/publisher.ts";
import { replay } from "./capture/replay.ts";
import type { ReplayOptions, ReplayResult } from "./capture/way.ts";
import { configOrExit } from "./configuration.ts";
import { print, printError, printJson } from "./print.ts";
import type { ReplayRequest } from "./replay.ts";

/** A message is offered again for this long: a gateway that was killed is back within seconds. */
const PATIENCE_MS = 120_000;
/** How long the line may take to empty after the last line was sent. */
const DRAIN_MS = 300_000;

export async function replayCapture(capture: string, options: ReplayRequest): Promise<void> {
  const config = configOrExit(options.config);
  const source = config.sources[options.source];
  if (!source) throw new Error(`Source "${options.source}" is not configured.`);
  const before = await accountingOf(config, options.source);
  if (before === null) throw new Error("The gateway cannot reach its Redis; nothing was sent.");
  const way = await wayTo(config, source, options);
  const result = await replay({
    file: capture,
    pace: options.speed,
    times: options.shift ? "shifted" : "recorded",
    concurrency: options.concurrency,
    patienceMs: PATIENCE_MS,
    onProgress: progress(),
    ...way.options,
  });
  await way.close();
  const accounting = await settled(config, options.source, before, result);
  if (options.json) printJson({ ...result, accounting });
  else sayReadable(result, accounting);
}

async function wayTo(
  config: Config,
  source: SourceConfig,
  { source: name, lines: linesPerMessage }: ReplayRequest,
): Promise<{ options: Pick<ReplayOptions, "webhook" | "publish">; close(): Promise<void> }> {
  if (source.mqtt) {
    const publisher = await publisherFor(config, source.mqtt.broker, name);
    return {
      options: { publish: (topic, payload) => publisher.publish(topic, payload, 1) },
      close: () => publisher.close(),
    };
  }
  const { method = "bearer", secret = source.auth?.secrets?.[0] } = source.auth ?? {};
  if (source.vendor !== "json" || method !== "bearer") {
    throw new Error(
      `Positions are replayed through a source of vendor json with a bearer secret; ${name} is not one.`,
    );
  }
  const scheme = config.http.tls ? "https" : "http";
  const url = `${scheme}://${reachable(config.http.host)}:${config.http.port}/webhooks/${name}`;
  const headers = { authorization: `Bearer ${secret}` };
  return { options: { webhook: { url, headers, linesPerMessage } }, close: async () => {} };
}

async function publisherFor(config: Config, broker: string, name: string) {
  if (broker === EMBEDDED) {
    const { listen } = config.mqtt;
    const device = listen?.devices.find(({ source }) => source === name);
    if (!listen || !device) throw new Error(`No device of mqtt.listen publishes for source "${name}".`);
    const url = `${listen.tls ? "mqtts" : "mqtt"}://${reachable(listen.host)}:${listen.port}`;
    return publishTo(url, { username: device.username, password: device.password });
  }
  const settings = config.mqtt.brokers[broker];
  if (!settings) throw new Error(`Broker "${broker}" is not configured.`);
  const { url, clientId, ...login } = brokerSettingsOf(settings);
  // Under another name than the gateway's: the broker would throw one of the two out.
  return publishTo(url, { ...login, clientId: `${clientId}-replay` });
}

const statusDocument = z.object({
  sources: z.array(z.object({ name: z.string(), accounting: z.record(z.string(), z.number()) })),
});

/** Asks the ops endpoint; null: it cannot say now. The replay and the gateway share the configuration, its token included. */
async function accountingOf({ ops }: Config, source: string): Promise<Record<string, number> | null> {
  const url = `http://${reachable(ops.host)}:${ops.port}/status`;
  const { token } = opsTokenFor(ops, "read", undefined);
  let body: unknown;
  try {
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    body = await response.json();
  } catch (error) {
    throw new Error(`The gateway does not answer at ${url}: is it running with this configuration?`, {
      cause: error,
    });
  }
  const parsed = statusDocument.safeParse(body);
  // Without its Redis the gateway answers, but cannot count.
  if (!parsed.success) return null;
  const found = parsed.data.sources.find(({ name }) => name === source);
  if (!found) throw new Error(`The running gateway has no source "${source}".`);
  return found.accounting;
}

/** The accounting of this replay: what moved since before, once nothing is on its way any more. */
async function settled(
  config: Config,
  source: string,
  before: Record<string, number>,
  { messages }: ReplayResult,
): Promise<Partial<Accounting>> {
  const until = performance.now() + DRAIN_MS;
  for (;;) {
    const now = (await accountingOf(config, source)) ?? {};
    const { waiting = 0, inFlight = 0, messages: taken = 0 } = now;
    const arrived = taken - (before.messages ?? 0) >= messages;
    if ((arrived && waiting === 0 && inFlight === 0) || performance.now() > until) {
      return Object.fromEntries(
        Object.entries(now).map(([term, n]) => [term, isLevel(term) ? n : n - (before[term] ?? 0)]),
      );
    }
    await sleep(250);
  }
}

/** Levels are what is somewhere now; everything else only grows. */
function isLevel(term: string): boolean {
  return term === "waiting" || term === "inFlight" || term === "held";
}

function progress(): (counts: Readonly<ReplayResult>) => void {
  let toldAt = performance.now();
  return ({ lines, sent, resends }) => {
    if (performance.now() - toldAt < 1000) return;
    toldAt = performance.now();
    printError(`${lines} lines read, ${sent} taken, ${resends} resent`);
  };
}

function sayReadable(result: ReplayResult, accounting: Partial<Accounting>): void {
  const rows = Object.entries({ ...result, answers: JSON.stringify(result.answers), ...accounting });
  for (const [term, n] of rows) print(`  ${term.padEnd(14)}${n}`);
}

/** An address to listen on is not always one to connect to. */
function reachable(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
}
