/** The status as of now: worked out once a second at most, and shared by the page, the API and the metrics. */

import type { QueueStatus } from "../status/queue.ts";
import { withTimeout } from "../time.ts";
import { messageOf } from "../untrusted.ts";
import { type Facts, limited, type Sight } from "./access/sight.ts";
import { createLasting } from "./diagnose/lasting.ts";
import { redisSlow } from "./diagnose/outside.ts";
import {
  type NoStatus,
  noStatus,
  type OpsInfo,
  processStatus,
  SLOW_MS,
  type StatusDocument,
  statusDocument,
} from "./status-document.ts";

export interface SnapshotDeps {
  /** With `within`, lists and sums cover these destinations only; the rest covers everything. */
  queryStatus: (within?: ReadonlySet<string>) => Promise<QueueStatus>;
  /** Whether messages could be stored the last time one was, and Redis is connected. */
  isStoring: () => boolean;
  /** Everything beside the queue. */
  facts: () => Promise<Omit<Facts, "queue" | "policies">>;
  info: OpsInfo;
  failed: (error: unknown) => void;
  /** No snapshot is younger than this when it is asked for again, milliseconds. */
  everyMs?: number | undefined;
}

export interface Snapshots {
  /** What a caller may see; problems are computed from that alone, so they cannot reveal more. */
  of(sight: Sight): Promise<StatusDocument | NoStatus>;
}

const EVERY_MS = 1000;
/** Asking may take this share of the time, however many tenants there are, */
const MAX_SHARE = 0.02;
/** but a problem is to be known within five seconds, and the end of an outage, too. */
const MAX_EVERY_MS = 1500;
/** An older answer is worth nothing to somebody who looks for what is wrong now. */
const OLD_MS = 60_000;

interface Snapshot {
  answer: Promise<StatusDocument | NoStatus>;
  /** By performance.now(). */
  startedAt: number;
  /** How long it took; null while it is under way. */
  tookMs: number | null;
}

export function createSnapshots(deps: SnapshotDeps): Snapshots {
  const { info, everyMs = EVERY_MS } = deps;
  const lasting = createLasting();
  const snapshots = new Map<string, Snapshot>();
  const lastGood = new Map<string, { status: StatusDocument; at: number }>();

  async function work(sight: Sight, key: string): Promise<StatusDocument | NoStatus> {
    const process = processStatus(info, Date.now());
    const facts = { ...(await deps.facts()), policies: info.policies };
    try {
      const queue = await withTimeout(SLOW_MS, deps.queryStatus(sight.within?.destinations));
      const status = statusDocument({ ...limited({ ...facts, queue }, sight), process }, lasting, info);
      lastGood.set(key, { status, at: performance.now() });
      return status;
    } catch (error) {
      deps.failed(error);
      const before = lastGood.get(key);
      if (deps.isStoring() && before && performance.now() - before.at < OLD_MS) {
        return withSlowRedis(before.status, lasting.problemsOf([redisSlow(SLOW_MS)], Date.now()));
      }
      const isDown = !deps.isStoring();
      return noStatus(limited({ ...facts, queue: null }, sight), process, lasting, {
        detail: messageOf(error),
        isDown,
      });
    }
  }

  function isFresh({ startedAt, tookMs }: Snapshot): boolean {
    if (tookMs === null) return true;
    const rarelyMs = everyMs === 0 ? 0 : Math.min(tookMs / MAX_SHARE, MAX_EVERY_MS);
    return performance.now() - startedAt < Math.max(everyMs, rarelyMs);
  }

  return {
    of(sight) {
      const key = sight.within === null ? "*" : [...sight.within.destinations].sort().join(" ");
      const known = snapshots.get(key);
      if (known && isFresh(known)) return known.answer;
      const startedAt = performance.now();
      const snapshot: Snapshot = { startedAt, tookMs: null, answer: work(sight, key) };
      snapshots.set(key, snapshot);
      snapshot.answer.then(
        () => {
          snapshot.tookMs = performance.now() - startedAt;
        },
        // Who asked is told; whoever asks next gets an answer of their own.
        () => snapshots.delete(key),
      );
      return snapshot.answer;
    },
  };
}

/** What was known last, with its time, and the problem on top. */
function withSlowRedis(status: StatusDocument, [slow]: StatusDocument["problems"]): StatusDocument {
  return { ...status, problems: slow ? [slow, ...status.problems] : status.problems };
}
