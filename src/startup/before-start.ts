/** Finds, before anything is opened, what keeps a valid configuration from starting on this machine; `check` and `start` ask it. */

import type { Config } from "../config/config.ts";
import { whyNotReliable } from "../inputs/mqtt/library.ts";
import { checkMappings, mappingPartsOf } from "../mapping/mappings.ts";
import { whyNotUsable } from "../spool/permissions.ts";
import { StartupError } from "./error.ts";

/** Throws StartupError with everything that keeps the configuration from starting here, but for what others have open. */
export async function checkBeforeStart(config: Config): Promise<{ mappingRows: number | null }> {
  const parts = mappingPartsOf(config);
  const mapping = await checkMappings(parts);
  const problems = [...libraryProblems(config), ...(await spoolProblems(config)), ...mapping.problems];
  if (problems.length > 0) throw new StartupError(problems);
  return { mappingRows: parts.length > 0 ? mapping.rows : null };
}

function libraryProblems({ mqtt }: Config): string[] {
  const lacking = Object.keys(mqtt.brokers).length > 0 ? whyNotReliable() : null;
  return lacking === null ? [] : [`mqtt.brokers: ${lacking}`];
}

async function spoolProblems({ spool }: Config): Promise<string[]> {
  const problem = spool ? await whyNotUsable(spool.dir) : null;
  return problem === null ? [] : [`spool.dir: ${problem}`];
}
