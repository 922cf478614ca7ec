/** Writes the line of an event and counts it; of what can repeat at will, at most one line a second and cause. */

import type { Logger } from "pino";
import type { Events } from "./events.ts";
import { createFloodGate } from "./log.ts";
import type { EventMetrics } from "./metrics.ts";

type Level = "debug" | "info" | "warn" | "error";

export interface Lines {
  write(level: Level, event: keyof Events, fields: object): void;
  /** For what a sender or a broken vendor can repeat at will: at most a line per second and cause. */
  writeLimited(level: Level, event: keyof Events, cause: string, fields: object): void;
  /** `writeLimited` for an error, which another line may say already. */
  writeError(event: keyof Events, cause: string, fields: object, error: unknown): void;
}

export function createLines(
  logger: Logger,
  metrics: EventMetrics,
  isSaidAlready: (error: unknown) => boolean,
): Lines {
  const mayWrite = createFloodGate();
  const lines: Lines = {
    write(level, event, fields) {
      metrics.events.inc({ event });
      logger[level]({ event, ...fields });
    },
    writeLimited(level, event, cause, fields) {
      metrics.events.inc({ event });
      const suppressed = mayWrite(`${event} ${cause}`);
      if (suppressed === null) return;
      logger[level](suppressed === 0 ? { event, ...fields } : { event, ...fields, suppressed });
    },
    writeError(event, cause, fields, error) {
      if (isSaidAlready(error)) metrics.events.inc({ event });
      else lines.writeLimited("error", event, cause, { ...fields, err: error });
    },
  };
  return lines;
}
