/** Lists the processes that run, each with the configuration it has in force. */

import type { OwnProcess, ProcessRow } from "../status/configuration.ts";
import type { ProcessReport } from "../status/process.ts";

export function processesOf(
  own: OwnProcess | undefined,
  name: string,
  others: readonly Pick<ProcessReport, "process" | "self">[],
): ProcessRow[] {
  const rows = others.flatMap(({ process, self }) =>
    self ? [{ ...self, name: process, isThis: false }] : [],
  );
  if (own) rows.push({ ...own, name, isThis: true });
  return rows.sort((a, b) => a.startedAt.localeCompare(b.startedAt) || a.name.localeCompare(b.name));
}
