/** Receives the pings: the stand-in for ServiceTitan in its fast mode, as a process of its own. */

import { startFastApi } from "../sandbox/fast-api.ts";
import { serveParent } from "./child.ts";

type Mood = "accept" | "unavailable";

const api = await startFastApi();

const handlers = {
  address: () => api.port,
  /** Forgets what was counted, and answers in this mood from now on. */
  reset(mood: Mood): void {
    api.answers(mood === "accept" ? null : () => ({ status: 503, body: "{}" }));
    api.reset();
  },
  read: () => ({ ...api.counts(), nowMs: performance.now() }),
};
export type Sink = typeof handlers;

serveParent(handlers);
