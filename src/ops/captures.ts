/** Starts a capture for an operator, and hands out what it has. */

import { randomInt, randomUUID } from "node:crypto";
import { newCaptureKey } from "../capture/tap.ts";
import type { CaptureStore } from "../queue/ledger/captures.ts";
import { iso } from "../time.ts";

export interface StartedCapture {
  id: string;
  source: string;
  count: number;
  /** ISO, UTC. */
  until: string;
}

export interface Captures {
  start(wanted: { source: string; count: number; minutes: number }): Promise<StartedCapture>;
  /** What it has so far; nothing where it is not this source's, or long gone. */
  messages(source: string, id: string): Promise<unknown[]>;
}

const RANDOM_STEPS = 1_000_000;

export function createCaptures(store: CaptureStore): Captures {
  return {
    async start({ source, count, minutes }) {
      // The shift is a secret, so its chance is that of the system.
      const key = newCaptureKey(() => randomInt(RANDOM_STEPS) / RANDOM_STEPS);
      const id = `${source}:${randomUUID()}`;
      const untilMs = Date.now() + minutes * 60_000;
      await store.request({ id, source, count, untilMs, key: JSON.stringify(key) });
      return { id, source, count, until: iso(untilMs) };
    },
    async messages(source, id) {
      // The id names its source, so that a token of one tenant cannot fetch another's.
      if (!id.startsWith(`${source}:`)) return [];
      return (await store.messages(id)).map((text): unknown => JSON.parse(text));
    },
  };
}
