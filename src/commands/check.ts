/** The `check` command: lists every problem of a configuration, and of this machine with it. */

import { Command } from "commander";
import { allowWeakOption, CONFIG_OPTION } from "./options.ts";
import { print, printError, printLines } from "./print.ts";

interface Options {
  config?: string;
  allowWeak?: boolean;
  show?: boolean;
}

export function checkCommand(): Command {
  return new Command("check")
    .description("check the configuration and list every problem in it")
    .option(...CONFIG_OPTION)
    .addOption(allowWeakOption())
    .option("--show", "print the configuration as it is understood, without secrets")
    .action(async ({ config: file, allowWeak, show }: Options) => {
      const { count, loadedOrExit } = await import("./configuration.ts");
      const { problemText } = await import("../config/problems.ts");
      const { describeConfig } = await import("../config/load.ts");
      const { checkBeforeStart } = await import("../startup.ts");
      const { config, warnings } = loadedOrExit(file, allowWeak);
      for (const warning of warnings) printError(`warning: ${problemText(warning)}`);
      if (show) printLines(describeConfig(config).trimEnd());
      const { sources, destinations } = config;
      const { mappingRows } = await checkBeforeStart(config);
      const rows = mappingRows === null ? "" : `, ${count(mappingRows, "mapping row")}`;
      print(
        `The configuration is right: ${count(sources, "source")}, ${count(destinations, "destination")}${rows}.`,
      );
    });
}
