/** What `check` and `start` both find out of this machine before anything is opened: files and libraries. */

import { accessSync, constants, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { CannotStart } from "./startup-error.ts";
import type { Config } from "./config/load.ts";
import { loadMapping } from "./mapping/mapping.ts";
import { whyNotReliable } from "./inputs/mqtt/library.ts";

/** Throws CannotStart with everything that keeps a right configuration from being started here. */
export async function checkBeforeStart(config: Config): Promise<{ mappingRows: number | null }> {
  const mapping = config.mapping ? await loadMapping(config.mapping.file, config) : null;
  const problems = [
    ...libraryProblems(config),
    ...spoolProblems(config),
    ...(config.mapping && mapping?.kind === "broken"
      ? mappingProblems(config.mapping.file, mapping.problems)
      : []),
  ];
  if (problems.length > 0) throw new CannotStart(problems);
  return { mappingRows: mapping?.kind === "loaded" ? mapping.mapping.rows : null };
}

export function libraryProblems({ mqtt }: Config): string[] {
  const lacking = Object.keys(mqtt.brokers).length > 0 ? whyNotReliable() : null;
  return lacking === null ? [] : [`mqtt.brokers: ${lacking}`];
}

export function mappingProblems(file: string, problems: readonly string[]): string[] {
  return problems.map((problem) => `${file}: ${problem}`);
}

/** The directory is made at the start; it, or the nearest one above it that is there, must take files. */
function spoolProblems({ spool }: Config): string[] {
  if (!spool) return [];
  const dir = resolve(spool.dir);
  for (let at = dir; ; at = dirname(at)) {
    try {
      if (!statSync(at).isDirectory()) return [`spool.dir: ${at} is not a directory`];
      accessSync(at, constants.W_OK | constants.X_OK);
      return [];
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
      if (code === "ENOENT" && at !== dirname(at)) continue;
      return [`spool.dir: ${at} cannot be written to (${code})`];
    }
  }
}
