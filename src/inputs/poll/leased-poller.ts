/** A pull source is asked by one process: the one that holds its lease; the others stand by. */

import type { Config } from "../../config/config.ts";
import type { Events } from "../../events.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import type { Source } from "../../ingest/source.ts";
import type { ProxySettings } from "../../network.ts";
import type { Queue } from "../../queue/queue.ts";
import type { Standing } from "../../queue/redis/lease.ts";
import type { PollerState } from "../../status.ts";
import { iso } from "../../time.ts";
import { pollSettingsOf } from "../../wiring.ts";
import { createPullHttp, type PullHttp } from "./http.ts";
import { type Poller, startPoller } from "./poller.ts";

export interface LeasedPollers {
  states(): PollerState[];
  /** Lets what was fetched be kept for at most this long, and gives the leases back. */
  close(withinMs: number): Promise<void>;
}

interface Parts {
  config: Config;
  queue: Queue;
  ingest: Ingest;
  events: Events;
}

export function leasedPollers({
  sources,
  proxy,
  ...parts
}: Parts & { sources: ReadonlyMap<string, Source>; proxy: ProxySettings }): LeasedPollers {
  const http = createPullHttp(proxy);
  const pollers = [...sources.values()]
    .filter(({ adapter }) => adapter.pull !== undefined)
    .map((source) => leasedPoller(source, { ...parts, http }));
  return {
    states: () => pollers.map((poller) => poller.state()),
    async close(withinMs) {
      await Promise.all(pollers.map((poller) => poller.close(withinMs)));
      await http.close();
    },
  };
}

function leasedPoller(source: Source, { config, queue, ingest, http, events }: Parts & { http: PullHttp }) {
  const { name } = source;
  const { pull } = source.adapter;
  if (!pull) throw new Error(`Source "${name}" is not asked for anything.`);
  const settings = pollSettingsOf(config, name, pull);
  let poller: Poller | null = null;
  let standingBySince = Date.now();

  /** What it has fetched and not kept is fetched again by whoever asks next, so that it may stop at once. */
  function stop(): void {
    if (poller === null) return;
    standingBySince = Date.now();
    poller.close(0).catch((error: unknown) => events.failed({ where: `poll ${name}`, error }));
    poller = null;
  }

  const lease = queue.lease(`poll:${name}`, {
    acquired() {
      poller = startPoller({ source, pull, settings, ingest, cursors: queue.cursors, http, events });
    },
    expired: stop,
    lost: stop,
    failed: (error) => events.failed({ where: `poll ${name}`, error }),
  });
  return {
    state: () => (poller ? ownState(name, poller) : waiting(name, standingBySince, lease.standing())),
    async close(withinMs: number) {
      await poller?.close(withinMs);
      await lease.close();
    },
  };
}

function ownState(name: string, poller: Poller): PollerState {
  const { state, since, reason, detail, lastSuccessAt, cursorAt, gap } = poller.state();
  return {
    name,
    state,
    since: iso(since),
    reason,
    detail,
    lastSuccessAt: lastSuccessAt === null ? null : iso(lastSuccessAt),
    cursorAt: cursorAt === null ? null : iso(cursorAt),
    gap: gap === null ? null : { from: iso(gap.from), to: iso(gap.to) },
  };
}

function waiting(name: string, sinceMs: number, { kind, reason }: Standing): PollerState {
  return {
    name,
    state: kind === "failed" ? "failing" : "standby",
    since: iso(sinceMs),
    reason,
    detail: "",
    lastSuccessAt: null,
    cursorAt: null,
    gap: null,
  };
}
