/** What nobody caught: it is logged, and ends the process in order, since nobody knows what it has left half done. */

import type { Logger } from "pino";

/** Resolves with the first error that nobody caught; those that follow, while closing, are logged only. */
export function firstFault(logger: Logger): Promise<unknown> {
  return new Promise((resolve) => {
    // A rejection that nobody handles comes this way too.
    process.on("uncaughtException", (error, origin) => {
      logger.fatal({ event: "crashed", origin, err: error });
      resolve(error);
    });
  });
}
