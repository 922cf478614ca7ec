/** Polls each pull source while this process holds its lease: one process asks a vendor, the others stand by. */

import type { Pull } from "../../adapters/kit/pull.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import type { Source } from "../../ingest/source.ts";
import type { ProxySettings } from "../../network.ts";
import type { PollerState } from "../../status/process.ts";
import { type AcquireLease, whileLeased } from "../while-leased.ts";
import type { CursorStore } from "./cursor.ts";
import { createPullHttp, type PullHttp } from "./http.ts";
import { type PollEvents, type Poller, type PollSettings, startPoller } from "./poller.ts";

export interface LeasedPollers {
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

export interface LeasedPollersOptions extends Deps {
  sources: Iterable<Source>;
  pullOf: (source: Source) => { pull: Pull; settings: PollSettings } | null;
  proxy: ProxySettings;
}

export function leasedPollers({ sources, pullOf, proxy, ...deps }: LeasedPollersOptions): LeasedPollers {
  const http = createPullHttp(proxy);
  const pollers = [...sources].flatMap((source) => {
    const asked = pullOf(source);
    return asked ? [leasedPoller({ ...deps, http, source, ...asked })] : [];
  });
  return {
    states: () => pollers.map((poller) => poller.state()),
    async close(withinMs) {
      await Promise.all(pollers.map((poller) => poller.close(withinMs)));
      await http.close();
    },
  };
}

function leasedPoller({
  acquireLease,
  ...deps
}: Deps & { http: PullHttp; source: Source; pull: Pull; settings: PollSettings }) {
  const { name } = deps.source;
  const onError = (error: unknown): void => deps.events.failed({ where: `poll ${name}`, error });

  const leased = whileLeased<Poller>(acquireLease, `poll:${name}`, {
    start: () => startPoller(deps),
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
    close: (withinMs: number) => leased.close(async (poller) => await poller?.close(withinMs)),
  };
}
