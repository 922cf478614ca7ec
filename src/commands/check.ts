/** The `check` command: lists every problem of a configuration, and of this machine with it. */

import { Command } from "commander";
import type { Config } from "../config/config.ts";
import { allowWeakOption, CONFIG_OPTION } from "./options.ts";
import { print, printError, printLines } from "./print.ts";

interface Options {
  config?: string;
  allowWeak?: boolean;
  show?: boolean;
  ports?: boolean;
}

export function checkCommand(): Command {
  return new Command("check")
    .description("check the configuration and list every problem in it")
    .option(...CONFIG_OPTION)
    .addOption(allowWeakOption())
    .option("--show", "print it as it is understood, and what to enter at each vendor; without secrets")
    .option("--ports", "also take its ports and its spool for a moment: not beside a running gateway")
    .action(async ({ config: file, allowWeak, show, ports }: Options) => {
      const { count, loadedOrExit } = await import("./configuration.ts");
      const { problemText } = await import("../config/problems.ts");
      const { checkBeforeStart } = await import("../startup/before-start.ts");
      const { config, warnings, references } = loadedOrExit(file, allowWeak);
      for (const warning of warnings) printError(`warning: ${problemText(warning)}`);
      if (show) printLines(await shown(config, references));
      const { sources, destinations } = config;
      const { mappingRows } = await checkBeforeStart(config);
      if (ports) await (await import("../startup/ports.ts")).checkPorts(config);
      const rows = mappingRows === null ? "" : `, ${count(mappingRows, "mapping row")}`;
      // With --show, standard output is YAML and nothing else.
      (show ? printError : print)(
        `The configuration is right: ${count(sources, "source")}, ${count(destinations, "destination")}${rows}.`,
      );
    });
}

async function shown(config: Config, references: ReadonlyMap<string, string>): Promise<string> {
  const { configAsYaml } = await import("../config/show.ts");
  const { instructionsOf } = await import("../setup/instructions.ts");
  const { notesOf } = await import("../setup/notes.ts");
  const yaml = configAsYaml({
    config,
    references,
    notesOf(source) {
      const instructions = instructionsOf(config, source);
      return instructions ? notesOf(instructions) : [];
    },
  });
  return yaml.trimEnd();
}
