/** Reports how late the event loop is: a stall is why a batch changes hands or a webhook is answered late. */

import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Events } from "../events/events.ts";

const REPORT_EVERY_MS = 10_000;

export function watchEventLoop(events: Pick<Events, "loopDelay">): { stop(): void } {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const timer = setInterval(() => {
    events.loopDelay({ p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 });
    delay.reset();
  }, REPORT_EVERY_MS).unref();
  return {
    stop() {
      clearInterval(timer);
      delay.disable();
    },
  };
}
