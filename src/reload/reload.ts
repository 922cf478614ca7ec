/** Takes a new configuration up while the gateway runs: read whole, checked whole, compared, and applied in one turn or not at all. */

import type { Config } from "../config/config.ts";
import type { ApiTenant, ConfigReader } from "../config/load.ts";
import { problemText } from "../config/problems.ts";
import type { Events } from "../events/events.ts";
import type { Prepared } from "../mapping/mappings.ts";
import type { ConfigurationState, ReloadCause } from "../status/configuration.ts";
import { iso } from "../time.ts";
import { type Change, changesBetween, waitingForRestart, withoutRestart } from "./changes.ts";
import { fingerprintOf } from "./fingerprint.ts";

export type ReloadResult =
  | { kind: "applied"; changes: readonly Change[]; restart: readonly string[] }
  | { kind: "unchanged"; restart: readonly string[] }
  | { kind: "refused"; problems: readonly string[] };

export interface ReloadOptions {
  reader: ConfigReader;
  /** The configuration in force. */
  config(): Config;
  /** Tenants of the API as they are now. */
  tenants(): ReadonlyMap<string, ApiTenant>;
  /** Why the configuration, right in itself, cannot take the place of the one in force. */
  problemsOf(next: Config): string[];
  /** Reads what takes time, such as mapping files. */
  prepare(config: Config): Promise<Prepared>;
  /** Has the ports use certificates that were renewed, and says which. */
  renewed(): Change[];
  /** In one turn of the event loop. */
  apply(config: Config): void;
  /** What was taken up, or not; for the trail. */
  recorded(cause: ReloadCause, result: ReloadResult): void;
  events: Pick<Events, "configurationReloaded" | "configurationRefused" | "failed">;
  pollMs?: number;
}

export interface Reload {
  now(cause: ReloadCause): Promise<ReloadResult>;
  state(): ConfigurationState;
  stop(): void;
}

/** Two looks have to see the same: a file that is being written may be valid and lack its end. */
const POLL_MS = 1000;
/** Where some file changes all the time, the others wait no longer than so many looks. */
const MAX_LOOKS = 5;

export function startReload(options: ReloadOptions): Reload {
  const { reader, config, events, pollMs = POLL_MS } = options;
  let state: ConfigurationState = {
    fingerprint: fingerprintOf(config()),
    appliedAt: iso(Date.now()),
    ...{ refused: null, restart: [], leftOut: [] },
  };
  let last = Promise.resolve<ReloadResult>({ kind: "unchanged", restart: [] });
  let isStopped = false;

  async function reload(cause: ReloadCause): Promise<ReloadResult> {
    const loaded = reader.read(options.tenants());
    const mark = reader.mark();
    const result =
      "problems" in loaded ? refused(loaded.problems.map(problemText)) : await take(loaded.config);
    if (!("problems" in loaded)) state = { ...state, leftOut: loaded.leftOut.map(problemText) };
    appliedMark = mark;
    seenMark = null;
    tell(cause, result);
    return result;
  }

  async function take(next: Config): Promise<ReloadResult> {
    const live = withoutRestart(config(), next);
    const restart = waitingForRestart(config(), next);
    const inTheWay = options.problemsOf(live);
    if (inTheWay.length > 0) return refused(inTheWay);
    const prepared = await options.prepare(live);
    if (prepared.kind === "broken") return refused(prepared.problems);
    if (isStopped) {
      prepared.discard();
      return { kind: "unchanged", restart };
    }
    const changes = [...changesBetween(config(), live), ...options.renewed()];
    state = { ...state, refused: null, restart };
    // Also where nothing has changed that has a name: a broker's certificate may be a new one.
    prepared.apply();
    options.apply(live);
    if (changes.length === 0) return { kind: "unchanged", restart };
    state = { ...state, fingerprint: fingerprintOf(live), appliedAt: iso(Date.now()) };
    return { kind: "applied", changes, restart };
  }

  function refused(problems: readonly string[]): ReloadResult {
    const since = state.refused?.since ?? iso(Date.now());
    state = { ...state, refused: { since, problems: [...problems] } };
    return { kind: "refused", problems };
  }

  function tell(cause: ReloadCause, result: ReloadResult): void {
    if (result.kind === "refused") events.configurationRefused({ cause, problems: result.problems });
    if (result.kind === "applied") {
      const changes = result.changes.map(({ kind, name, change }) => `${kind} ${name} ${change}`);
      events.configurationReloaded({ cause, changes, restart: result.restart });
    }
    // A look that found nothing is no event; an operator who asked is answered in any case.
    if (result.kind !== "unchanged") options.recorded(cause, result);
  }

  function now(cause: ReloadCause): Promise<ReloadResult> {
    last = last.catch(() => {}).then(() => reload(cause));
    return last;
  }

  let appliedMark = reader.mark();
  let seenMark: typeof appliedMark | null = null;
  let unsettled = 0;
  let timer = setTimeout(look, pollMs).unref();

  function look(): void {
    try {
      const isSettled = seenMark !== null && (unsettled >= MAX_LOOKS || !reader.hasChanged(seenMark));
      if (isSettled) {
        unsettled = 0;
        now("file").catch((error: unknown) => events.failed({ where: "reload", error }));
      } else {
        seenMark = reader.hasChanged(appliedMark) ? reader.lookNow() : null;
        unsettled = seenMark === null ? 0 : unsettled + 1;
      }
    } catch (error) {
      events.failed({ where: "reload", error });
    }
    if (!isStopped) timer = setTimeout(look, pollMs).unref();
  }

  return {
    now,
    state: () => state,
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
