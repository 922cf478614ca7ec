/** Whether the vendors of polled sources answer as they should. */

import type { Source } from "../ingest/source.ts";
import { pullOf } from "../wiring.ts";
import { askVendor } from "./ask-vendor.ts";
import { notWell, type Surroundings, type Task, well } from "./check.ts";
import { finding } from "./findings.ts";

/** `withinMs`: for login, look-up and page together. */
export function polledTasks(
  sources: readonly Source[],
  { config, proxy }: Surroundings,
  withinMs: number,
): Task[] {
  return sources.flatMap((source): Task[] => {
    const pull = pullOf(config, source);
    if (pull === null) return [];
    const check = source.adapter.vendor;
    return [
      {
        ...{ area: "polled", of: source.name, check },
        async run() {
          const { isWell, lines } = await askVendor({ source, ...pull, proxy, withinMs });
          const [first = "", ...details] = lines;
          return isWell
            ? [well(check, first, details)]
            : [notWell(check, finding("vendor_not_well", { problem: first }), details)];
        },
      },
    ];
  });
}
