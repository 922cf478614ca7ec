/** The `doctor` command: asks each polled vendor once, and says what came back or what to do about it. */

import { Command } from "commander";
import { CONFIG_OPTION } from "./options.ts";
import { print, printError } from "./print.ts";

interface Options {
  config?: string;
  source?: string;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("ask the vendors of polled sources once, and show what comes back")
    .option(...CONFIG_OPTION)
    .option("--source <name>", "this source only")
    .action(async ({ config: file, source: only }: Options) => {
      const { loadedOrExit } = await import("./configuration.ts");
      const { askOnce } = await import("./ask-once.ts");
      const { ingestSourcesOf, pullOf } = await import("../wiring.ts");
      const { adapters } = await import("../adapters/index.ts");
      const { config } = loadedOrExit(file, true);
      const { httpProxy = null, httpsProxy = null, noProxy = "" } = config.proxy;
      const proxy = { httpProxy, httpsProxy, noProxy };
      const sources = [...ingestSourcesOf(config, adapters).values()].filter(
        ({ name }) => only === undefined || name === only,
      );
      if (sources.length === 0) throw new Error(`The configuration has no source called ${only}.`);
      const asked = sources.flatMap((source) => {
        const pull = pullOf(config, source);
        return pull ? [{ source, ...pull }] : [];
      });
      if (asked.length === 0)
        print("No source of this configuration is polled: their vendors send by themselves.");
      for (const one of asked) {
        const { isWell, lines } = await askOnce({ ...one, proxy });
        print(`${one.source.name} (${one.source.adapter.vendor}): ${isWell ? "well" : "not well"}`);
        for (const line of lines) (isWell ? print : printError)(`  ${line}`);
        // EX_UNAVAILABLE of sysexits.h: the configuration is right, and what it points at does not answer as it should.
        if (!isWell) process.exitCode = 69;
      }
    });
}
