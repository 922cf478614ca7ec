/** Has the pages of a feed stored, each as one message; while it catches up, without fixes older than the look-back. */

import { asAuthenticated, type Message } from "../../adapters/kit/adapter.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import { ingestWithRetry } from "../../ingest/retry.ts";
import type { Source } from "../../ingest/source.ts";
import type { PollStanding } from "./state.ts";

export interface PageStore {
  /** The oldest fix that is wanted at a start without a cursor, UTC milliseconds since 1970. */
  since(): number;
  /** The feed begins without a cursor. */
  beginAnew(): void;
  /** False when the page was given up: nothing of it may count as read. */
  store(body: string): Promise<boolean>;
  /** A page counts as read. `more`: the vendor has the next one ready, so that the feed has not caught up yet. */
  read(more: boolean): void;
  /** Nothing is retried any more. */
  giveUp(): void;
}

export function createPageStore({
  source,
  lookBackMs,
  ingest,
  standing,
  onError,
}: {
  source: Source;
  lookBackMs: number;
  ingest: Ingest;
  standing: Pick<PollStanding, "storing" | "storingEnded">;
  onError: (error: unknown) => void;
}): PageStore {
  /** The source as it is until a start without a cursor has caught up. */
  const lookBack = { ...source, maxAgeMs: Math.min(source.maxAgeMs, lookBackMs) };
  /** Began without a cursor, and the vendor has had more pages ready ever since. */
  let isCatchingUp = false;
  let isGivenUp = false;
  return {
    since: () => Date.now() - lookBack.maxAgeMs,
    beginAnew() {
      isCatchingUp = true;
    },
    async store(body) {
      const receivedAt = Date.now();
      const message: Message = {
        body: Buffer.from(body),
        receivedAt,
        headers: {},
        query: {},
        retained: false,
      };
      standing.storing(receivedAt);
      const result = await ingestWithRetry({
        ingest,
        source: isCatchingUp ? lookBack : source,
        message: asAuthenticated(message),
        giveUp: () => isGivenUp,
        onError,
      });
      standing.storingEnded();
      return result !== null;
    },
    read(more) {
      isCatchingUp &&= more;
    },
    giveUp() {
      isGivenUp = true;
    },
  };
}
