/** `npm run demo`: reads its options, runs the demo, and prints the accounting at the end. */

import { once } from "node:events";
import { Command } from "commander";
import { duration, runCommand, wholeNumber } from "../src/commands/options.ts";
import { print, printJson, printLines } from "../src/commands/print.ts";
import { givenRedisUrl } from "../src/config/load.ts";
import { createLogger } from "../src/events/log.ts";
import { startGateway } from "../src/server.ts";
import { runDemo } from "./demo.ts";

interface Options {
  for?: number;
  json?: boolean;
  vehicles: number;
  seed: string;
  clean?: boolean;
}

const program = new Command("demo")
  .description("run everything on this machine: sandbox, simulated fleet, gateway")
  .option("--for <time>", "stop by itself, for example 20s or 2m", duration)
  .option("--json", "print one line of JSON at the end and nothing else")
  .option("--vehicles <n>", "size of the fleet", wholeNumber, 240)
  .option("--seed <seed>", "another fleet", "waypost")
  .option("--clean", "a fleet without wrong clocks, wrong secrets and cut messages")
  .action(async (options: Options) => {
    const result = await runDemo({
      forMs: options.for ?? null,
      vehicles: options.vehicles,
      seed: options.seed,
      clean: options.clean ?? false,
      redisUrl: givenRedisUrl(),
      print: options.json ? () => {} : printLines,
      interrupted: Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]).then(() => {}),
      // The demo reports a fault that the user tries in a line of its own, and the page shows it.
      startGateway: (config) => startGateway(config, createLogger({ level: "fatal" })),
    });
    if (options.json) printJson(result);
    else for (const [term, n] of Object.entries(result)) print(`  ${term.padEnd(14)}${n}`);
  });

await runCommand(program);
