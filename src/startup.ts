/** Why a valid configuration cannot start on this machine, found before and while anything is opened; and what ends a running process. */

import { accessSync, constants, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Logger } from "pino";
import type { Config } from "./config/config.ts";
import { whyNotReliable } from "./inputs/mqtt/library.ts";
import { loadMapping } from "./mapping/mapping.ts";
import { errorCode } from "./untrusted.ts";

/** A configuration that is valid in itself but not on this machine: a file, a port. */
export class StartupError extends Error {
  readonly problems: string[];
  constructor(problems: string[], cause?: unknown) {
    super(`Cannot start: ${problems.join("; ")}`, { cause });
    this.name = "StartupError";
    this.problems = problems;
  }
}

/** A port that cannot be opened is the operator's to change, so the error names its setting. */
export async function explainListenError<T>(
  setting: string,
  { host, port }: { host: string; port: number },
  open: () => Promise<T>,
): Promise<T> {
  try {
    return await open();
  } catch (error) {
    const code = errorCode(error);
    switch (code) {
      case "EADDRINUSE":
        throw new StartupError([`${setting}.port ${port} is in use: something else listens there`], error);
      case "EACCES":
        throw new StartupError([`${setting}.port ${port} is not allowed to this user`], error);
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        throw new StartupError([`${setting}.host ${host} is no address of this machine`], error);
      default:
        throw error;
    }
  }
}

/** Throws StartupError with everything that keeps a valid configuration from starting here. */
export async function checkBeforeStart(config: Config): Promise<{ mappingRows: number | null }> {
  const mapping = config.mapping ? await loadMapping(config.mapping.file, config) : null;
  const problems = [
    ...libraryProblems(config),
    ...spoolProblems(config),
    ...(config.mapping && mapping?.kind === "broken"
      ? mappingProblems(config.mapping.file, mapping.problems)
      : []),
  ];
  if (problems.length > 0) throw new StartupError(problems);
  return { mappingRows: mapping?.kind === "loaded" ? mapping.mapping.rows : null };
}

export function libraryProblems({ mqtt }: Config): string[] {
  const lacking = Object.keys(mqtt.brokers).length > 0 ? whyNotReliable() : null;
  return lacking === null ? [] : [`mqtt.brokers: ${lacking}`];
}

export function mappingProblems(file: string, problems: readonly string[]): string[] {
  return problems.map((problem) => `${file}: ${problem}`);
}

/** The directory is made at the start; it, or the nearest existing one above it, must be writable. */
function spoolProblems({ spool }: Config): string[] {
  if (!spool) return [];
  const dir = resolve(spool.dir);
  for (let at = dir; ; at = dirname(at)) {
    try {
      if (!statSync(at).isDirectory()) return [`spool.dir: ${at} is not a directory`];
      accessSync(at, constants.W_OK | constants.X_OK);
      return [];
    } catch (error) {
      const code = errorCode(error) ?? "unreadable";
      if (code === "ENOENT" && at !== dirname(at)) continue;
      return [`spool.dir: ${at} cannot be written to (${code})`];
    }
  }
}

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
