/** Finds, before anything is opened, what keeps a valid configuration from starting on this machine; `check` and `start` ask it. */

import type { Config } from "../config/config.ts";
import { whyNotReliable } from "../inputs/mqtt/library.ts";
import { loadMapping } from "../mapping/mapping.ts";
import { whyNotUsable } from "../spool/permissions.ts";
import { StartupError } from "./error.ts";

/** Throws StartupError with everything that keeps the configuration from starting here, but for what others have open. */
export async function checkBeforeStart(config: Config): Promise<{ mappingRows: number | null }> {
  const mapping = config.mapping ? await loadMapping(config.mapping.file, config) : null;
  const problems = [
    ...libraryProblems(config),
    ...(await spoolProblems(config)),
    ...(config.mapping && mapping?.kind === "broken"
      ? mappingProblems(config.mapping.file, mapping.problems)
      : []),
  ];
  if (problems.length > 0) throw new StartupError(problems);
  return { mappingRows: mapping?.kind === "loaded" ? mapping.mapping.rows : null };
}

function libraryProblems({ mqtt }: Config): string[] {
  const lacking = Object.keys(mqtt.brokers).length > 0 ? whyNotReliable() : null;
  return lacking === null ? [] : [`mqtt.brokers: ${lacking}`];
}

export function mappingProblems(file: string, problems: readonly string[]): string[] {
  return problems.map((problem) => `${file}: ${problem}`);
}

async function spoolProblems({ spool }: Config): Promise<string[]> {
  const problem = spool ? await whyNotUsable(spool.dir) : null;
  return problem === null ? [] : [`spool.dir: ${problem}`];
}
