/** Polls each pull source while this process holds its lease: one process asks a vendor, the others stand by. */

import type { Pull } from "../../adapters/kit/pull.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import type { Source } from "../../ingest/source.ts";
import type { ProxySettings } from "../../network.ts";
import type { PollerState } from "../../status/process.ts";
import { type AcquireLease, whileLeased } from "../while-leased.ts";
import { whileWanted } from "../while-wanted.ts";
import type { CursorStore } from "./cursor.ts";
import { createPullHttp, type PullHttp } from "./http.ts";
import { type PollEvents, type Poller, type PollSettings, startPoller } from "./poller.ts";

/** What a poller follows; `identity` differs where it has to begin anew. */
export interface WantedPoller {
  identity: string;
  source: Source;
  pull: Pull;
  settings: PollSettings;
}

export interface LeasedPollers {
  /** By source: those that are polled from now on. */
  update(wanted: ReadonlyMap<string, WantedPoller>): void;
  states(): PollerState[];
  /** Lets what was fetched be stored for at most this long, and gives the leases back. */
  close(withinMs: number): Promise<void>;
}

interface Deps {
  acquireLease: AcquireLease;
  cursors: CursorStore;
  ingest: Ingest;
  events: PollEvents;
}

export function leasedPollers({ proxy, ...deps }: Deps & { proxy: ProxySettings }): LeasedPollers {
  const http = createPullHttp(proxy);
  const pollers = whileWanted<WantedPoller, ReturnType<typeof leasedPoller>>({
    begin: (_name, wanted) => leasedPoller({ ...deps, http, wanted }),
    onError: (name, error) => deps.events.failed({ where: `poll ${name}`, error }),
  });
  return {
    update: pollers.update,
    states: () => pollers.works().map((poller) => poller.state()),
    async close(withinMs) {
      await pollers.close(withinMs);
      await http.close();
    },
  };
}

function leasedPoller({ acquireLease, wanted, ...deps }: Deps & { http: PullHttp; wanted: WantedPoller }) {
  const { source, pull, settings } = wanted;
  const { name } = source;
  const onError = (error: unknown): void => deps.events.failed({ where: `poll ${name}`, error });

  const leased = whileLeased<Poller>(acquireLease, `poll:${name}`, {
    start: () => startPoller({ ...deps, source, pull, settings }),
    // The poller may stop at once: what it has fetched and not stored, the next owner of the lease fetches again.
    leave: (poller) => void poller.close(0).catch(onError),
    onError,
  });

  return {
    state(): PollerState {
      const state = leased.state();
      if (state.kind === "working") return state.work.state();
      return {
        name,
        state: state.kind === "failed" ? "failing" : "standby",
        sinceMs: state.sinceMs,
        reason: state.reason,
        detail: "",
        lastSuccessAtMs: null,
        cursorAtMs: null,
        gap: null,
        reads: { pages: 0, rows: 0, unchanged: 0, emptyRounds: 0 },
      };
    },
    change: (next: WantedPoller) => next.identity === wanted.identity,
    close: (withinMs: number) => leased.close(async (poller) => await poller?.close(withinMs)),
  };
}
