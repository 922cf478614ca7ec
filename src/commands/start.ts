/** The `start` command: runs the gateway until SIGTERM or SIGINT. */

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { allowWeakOption, CONFIG_OPTION } from "./options.ts";
import { terminalOfOutput } from "./print.ts";

/** Closing limits its own time, except for its last steps. */
const CLOSING_GRACE_MS = 1000;

export function startCommand(): Command {
  return new Command("start")
    .description("run the gateway until SIGTERM or SIGINT")
    .option(...CONFIG_OPTION)
    .addOption(allowWeakOption())
    .action(async ({ config: file, allowWeak }: { config?: string; allowWeak?: boolean }) => {
      const { readerOf, readOrExit } = await import("./configuration.ts");
      const reader = readerOf(file, allowWeak);
      const { config, warnings } = readOrExit(reader);
      const { createLogger } = await import("../events/log.ts");
      const { onFatal } = await import("../startup/fatal.ts");
      const logger = createLogger({ ...config.log, terminal: terminalOfOutput() });
      for (const { path, message } of warnings) logger.warn({ setting: path }, `${path} ${message}`);
      const crashed = onFatal(logger).then(() => "crashed" as const);
      const { startGateway } = await import("../server.ts");
      const gateway = await Promise.race([startGateway(config, logger, reader), crashed]);
      if (gateway === "crashed") process.exit(1);
      // As daemons do; what comes of it is logged.
      process.on("SIGHUP", () => void gateway.reload());
      const end = await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT"), crashed]);
      // After a fault closing itself may hang.
      const timeUp = sleep(config.shutdownMs + CLOSING_GRACE_MS, undefined, { ref: false });
      await Promise.race([gateway.close(), timeUp]);
      // A hanging request to ServiceTitan would keep the process alive beyond its time.
      process.exit(end === "crashed" ? 1 : 0);
    });
}
