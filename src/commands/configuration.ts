/** Reads the configuration of a command, or prints every problem in it and ends the process. */

import { adapters } from "../adapters/index.ts";
import type { Config } from "../config/config.ts";
import { type ConfigReader, createConfigReader, type LoadedConfig } from "../config/load.ts";
import { problemText } from "../config/problems.ts";
import { printError } from "./print.ts";

/** For commands that start nothing: they must work for the operator of a gateway with weak secrets. */
export function configOrExit(file: string | undefined): Config {
  return loadedOrExit(file, true).config;
}

export function loadedOrExit(file: string | undefined, allowWeak = false): RightConfig {
  return readOrExit(readerOf(file, allowWeak));
}

export type RightConfig = Extract<LoadedConfig, { config: Config }>;

/** Reads the configuration now, and again whenever it is asked to. */
export function readerOf(file: string | undefined, allowWeak = false): ConfigReader {
  return createConfigReader({ file, adapters, allowWeak });
}

export function readOrExit(reader: ConfigReader): RightConfig {
  const loaded = reader.read();
  if ("config" in loaded) return loaded;
  for (const problem of loaded.problems) printError(problemText(problem));
  printError(`${count(loaded.problems, "problem")}; nothing was started.`);
  process.exit(1);
}

export function count(of: object | number, word: string): string {
  const n = typeof of === "number" ? of : Object.keys(of).length;
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}
