/** What ends a running process: the first error that nothing caught. */

import type { Logger } from "pino";

/**
 * Resolves with the first error that nothing caught. The process has to end in order after it, because what it left half
 * done is unknown; errors that follow while it closes are only logged.
 */
export function onFatal(logger: Logger): Promise<unknown> {
  return new Promise((resolve) => {
    // An unhandled rejection comes this way, too.
    process.on("uncaughtException", (error, origin) => {
      logger.fatal({ event: "crashed", origin, err: error });
      resolve(error);
    });
  });
}
