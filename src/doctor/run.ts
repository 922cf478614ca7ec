/** Runs every check that a configuration gives rise to, side by side, and ends in time even where nothing answers. */

import { adapters } from "../adapters/index.ts";
import { EMBEDDED } from "../config/check-sources.ts";
import type { Config } from "../config/config.ts";
import { descriptorLimit } from "../limits/descriptors.ts";
import { servicetitanUrls } from "../servicetitan/client.ts";
import { createHttp } from "../servicetitan/exchange.ts";
import { messageOf } from "../untrusted.ts";
import { destinationsOf, ingestSourcesOf, subscriptionsOf } from "../wiring.ts";
import { brokerTask } from "./brokers.ts";
import { type Checked, type Line, notWell, type Surroundings, type Task, well } from "./check.ts";
import { finding } from "./findings.ts";
import { machineTask } from "./machine.ts";
import { polledTasks } from "./polled.ts";
import { redisProbeOnce, redisTask } from "./redis.ts";
import { servicetitanTasks, type TestPing } from "./servicetitan.ts";

export interface Question {
  config: Config;
  /** With either, nothing else is asked. */
  only: { source?: string | undefined; destination?: string | undefined };
  testPing: TestPing | null;
  /** For all checks together. */
  withinMs: number;
}

/** Host, token, request: the longest row of steps, each of which waits for the one before. */
const STEPS_IN_A_ROW = 3;
/** A vendor's login, look-up and page get this much of the time, so that they end before it and can say how. */
const VENDOR_SHARE = 0.9;
/** A large configuration is asked bit by bit: thousands of connections at once would be an outage of their own. */
const AT_ONCE = 32;

/** Never rejects. `given` replaces what the checks know of this machine. */
export async function runDoctor(
  { config, only, testPing, withinMs }: Question,
  given: Partial<Pick<Surroundings, "now" | "fileLimit" | "otherAuthUrl">> = {},
): Promise<Line[]> {
  const { httpProxy = null, httpsProxy = null, noProxy = "" } = config.proxy;
  const proxy = { httpProxy, httpsProxy, noProxy };
  const stepMs = Math.floor(withinMs / STEPS_IN_A_ROW);
  const surroundings: Surroundings = {
    ...{ config, proxy, stepMs, now: Date.now, fileLimit: descriptorLimit, otherAuthUrl },
    ...given,
  };
  const http = createHttp(proxy);
  const redis = redisProbeOnce(surroundings);
  const isNarrowed = only.source !== undefined || only.destination !== undefined;
  const destinations = [...destinationsOf(config).values()].filter(({ name }) =>
    isNarrowed ? name === only.destination : true,
  );
  const tasks = [
    ...(isNarrowed ? [] : [redisTask(surroundings, redis), machineTask(surroundings)]),
    ...servicetitanTasks(surroundings, destinations, { http, redis, testPing }),
    ...sourceTasks(surroundings, isNarrowed ? (only.source ?? null) : "all", withinMs),
  ];
  try {
    return await allWithin(tasks, withinMs);
  } finally {
    // What is still under way ends by its own deadline.
    void http.close();
    if (destinations.length > 0 || !isNarrowed) void redis().then((probe) => probe.close());
  }
}

/** Client id and secret belong to one of ServiceTitan's two environments. */
function otherAuthUrl(environment: string): { environment: string; authUrl: string } | null {
  if (environment !== "production" && environment !== "integration") return null;
  const other = environment === "production" ? "integration" : "production";
  return { environment: other, authUrl: servicetitanUrls(other).authUrl };
}

/** `which`: all sources, one by name, or none. */
function sourceTasks(surroundings: Surroundings, which: string | null, withinMs: number): Task[] {
  const { config } = surroundings;
  const all = ingestSourcesOf(config, adapters);
  const sources = new Map([...all].filter(([name]) => which === "all" || name === which));
  const brokers = Object.keys(config.mqtt.brokers).flatMap((broker): Task[] => {
    const subscriptions = subscriptionsOf(config, sources, broker);
    const isWanted = which === "all" || subscriptions.length > 0;
    return isWanted ? [brokerTask(broker, subscriptions, surroundings)] : [];
  });
  const tasks = [
    ...brokers,
    ...polledTasks([...sources.values()], surroundings, Math.floor(VENDOR_SHARE * withinMs)),
  ];
  if (which === null || which === "all" || tasks.length > 0) return tasks;
  return [nothingToAsk(which, config.sources[which]?.mqtt?.broker === EMBEDDED)];
}

function nothingToAsk(source: string, isEmbedded: boolean): Task {
  const who = isEmbedded ? "its devices connect" : "its vendor sends";
  const check = "vendor";
  const says = `there is nothing to ask: ${who} by itself`.replace(
    "connect by itself",
    "connect by themselves",
  );
  return { area: "polled", of: source, check, run: async () => [well(check, says)] };
}

async function allWithin(tasks: readonly Task[], withinMs: number): Promise<Line[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, withinMs, null);
  });
  let isLate = false;
  void late.then(() => {
    isLate = true;
  });
  const lines: Line[][] = [];
  const queue = [...tasks.entries()];
  async function work(): Promise<void> {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [at, task] = next;
      const checks = isLate ? null : await Promise.race([late, runTask(task)]);
      const done = checks ?? [notWell(task.check, finding("not_in_time", { seconds: withinMs / 1000 }))];
      lines[at] = done.map((checked) => ({ area: task.area, of: task.of, ...checked }));
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  clearTimeout(timer);
  return lines.flat();
}

async function runTask(task: Task): Promise<readonly Checked[]> {
  try {
    return await task.run();
  } catch (error) {
    return [notWell(task.check, finding("check_failed", { problem: messageOf(error) }))];
  }
}
