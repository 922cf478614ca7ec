/** Reads the configuration of a command, or prints every problem in it and ends the process. */

import { adapters } from "../adapters/index.ts";
import type { Config } from "../config/config.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import { problemText } from "../config/problems.ts";
import { printError } from "./print.ts";

/** For commands that start nothing: they must work for the operator of a gateway with weak secrets. */
export function configOrExit(file: string | undefined): Config {
  return loadedOrExit(file, true).config;
}

export function loadedOrExit(
  file: string | undefined,
  allowWeak = false,
): Extract<LoadedConfig, { config: Config }> {
  const loaded = loadConfig({ file, adapters, allowWeak });
  if ("config" in loaded) return loaded;
  for (const problem of loaded.problems) printError(problemText(problem));
  printError(`${count(loaded.problems, "problem")}; nothing was started.`);
  process.exit(1);
}

export function count(of: object | number, word: string): string {
  const n = typeof of === "number" ? of : Object.keys(of).length;
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}
