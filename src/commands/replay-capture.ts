/** Finds the running gateway by its configuration, sends a capture to it, and prints the accounting, for the `replay` command. */

import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { EMBEDDED } from "../config/check-sources.ts";
import type { Config, SourceConfig } from "../config/config.ts";
import { opsTokenFor } from "../config/ops-tokens.ts";
import type { Accounting } from "../status/accounting.ts";
import { brokerSettingsOf } from "../wiring.ts";
import { publishTo } from "./capture/publisher.ts";
import { replay } from "./capture/replay.ts";
import type { Pace, ReplayOptions, ReplayResult } from "./capture/sender.ts";
import { configOrExit } from "./configuration.ts";
import { reachable, requestApi } from "./gateway.ts";
import { print, printError, printJson, progressLine } from "./print.ts";

export interface ReplayRequest {
  config?: string;
  source: string;
  speed: Pace;
  shift?: boolean;
  lines: number;
  concurrency: number;
  json?: boolean;
}

/** A message is sent again for this long: a gateway that was killed is back within seconds. */
const PATIENCE_MS = 120_000;
/** How long the pipeline may take to empty after the last message was sent. */
const DRAIN_MS = 300_000;

export async function replayCapture(capture: string, options: ReplayRequest): Promise<void> {
  const config = configOrExit(options.config);
  const source = config.sources[options.source];
  if (!source) throw new Error(`Source "${options.source}" is not configured.`);
  const before = await accountingOf(config, options.source);
  if (before === null) throw new Error("The gateway cannot reach its Redis; nothing was sent.");
  const sink = await sinkFor(config, source, options);
  const progress = showProgress();
  const result = await replay({
    file: capture,
    pace: options.speed,
    times: options.shift ? "shifted" : "recorded",
    concurrency: options.concurrency,
    patienceMs: PATIENCE_MS,
    onProgress: progress.onProgress,
    ...sink.options,
  });
  progress.done();
  await sink.close();
  const accounting = await settled(config, options.source, before, result);
  if (options.json) printJson({ ...result, accounting });
  else printReadable(result, accounting);
  const problems = whatWentWrong(result);
  for (const problem of problems) printError(problem);
  if (problems.length > 0) process.exitCode = 1;
}

async function sinkFor(
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
  // Under another client id than the gateway's, or the broker would disconnect one of the two.
  return publishTo(url, { ...login, clientId: `${clientId}-replay` });
}

const sourceAnswer = z.object({ accounting: z.record(z.string(), z.number()) });

/** From the API; null: Redis is away. The replay and the gateway share the configuration, its token included. */
async function accountingOf({ ops }: Config, source: string): Promise<Record<string, number> | null> {
  const { token } = opsTokenFor(ops, "read", undefined);
  const response = await requestApi(ops, token, `/sources/${encodeURIComponent(source)}`);
  const body = await response.json().catch((cause: unknown) => {
    throw new Error(`What answers at ${response.url} is no gateway: is it running with this configuration?`, {
      cause,
    });
  });
  if (response.status === 404) throw new Error(`The running gateway has no source "${source}".`);
  const parsed = sourceAnswer.safeParse(body);
  // Without its Redis the gateway answers, but cannot count.
  return parsed.success ? parsed.data.accounting : null;
}

/** The accounting of this replay: what changed since `before`, once nothing is on its way any more. */
async function settled(
  config: Config,
  source: string,
  before: Record<string, number>,
  { messages }: ReplayResult,
): Promise<Partial<Accounting>> {
  const until = performance.now() + DRAIN_MS;
  for (;;) {
    const now = (await accountingOf(config, source)) ?? {};
    const { waiting = 0, inFlight = 0, messages: received = 0 } = now;
    const arrived = received - (before.messages ?? 0) >= messages;
    if ((arrived && waiting === 0 && inFlight === 0) || performance.now() > until) {
      return Object.fromEntries(
        Object.entries(now).map(([term, n]) => [term, isLevel(term) ? n : n - (before[term] ?? 0)]),
      );
    }
    await sleep(250);
  }
}

/** Levels count what is somewhere now; all other terms only grow. */
function isLevel(term: string): boolean {
  return term === "waiting" || term === "inFlight" || term === "held";
}

/** A reader follows no faster; off a terminal each is a line of its own. */
const SHOW_EVERY_MS = 1000;

function showProgress() {
  const startedAt = performance.now();
  const line = progressLine();
  let shownAt = startedAt;
  let hasToldFirst = false;
  return {
    done: line.done,
    onProgress({
      lines,
      sent,
      resends,
      unreadable,
      rejected,
      firstUnreadable,
    }: Readonly<ReplayResult>): void {
      if (firstUnreadable !== null && !hasToldFirst) {
        hasToldFirst = true;
        line.done();
        printError(`line ${firstUnreadable.line} cannot be read: it ${firstUnreadable.problem}`);
      }
      const now = performance.now();
      if (now - shownAt < SHOW_EVERY_MS) return;
      shownAt = now;
      const perSecond = Math.round((1000 * sent) / (now - startedAt));
      line.show(
        `${lines} lines read, ${sent} sent (${perSecond}/s), ${resends} messages resent, ${unreadable} unreadable, ${rejected} rejected`,
      );
    },
  };
}

/** Empty: every line of the capture was sent and taken. */
function whatWentWrong(result: ReplayResult): string[] {
  const { lines, unreadable, firstUnreadable, refused, abandoned, answers } = result;
  const problems: string[] = [];
  if (lines === 0) problems.push("The capture has no lines: nothing was sent.");
  if (firstUnreadable !== null) {
    const { line, problem } = firstUnreadable;
    problems.push(`${unreadable} of ${lines} lines could not be read; the first, line ${line}, ${problem}.`);
  }
  if (refused > 0)
    problems.push(`${refused} lines were refused; the answers were ${JSON.stringify(answers)}.`);
  if (abandoned > 0) problems.push(`${abandoned} lines were given up: they were never accepted.`);
  return problems;
}

function printReadable(result: ReplayResult, accounting: Partial<Accounting>): void {
  const { firstUnreadable: _, answers, ...counts } = result;
  const rows = Object.entries({ ...counts, answers: JSON.stringify(answers), ...accounting });
  for (const [term, n] of rows) print(`  ${term.padEnd(14)}${n}`);
}
