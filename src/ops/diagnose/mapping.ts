/** Finds problems of the mapping: a file that cannot be used, and devices without a row, each with the row to paste. */

import type { MappingForm } from "../../mapping/rows.ts";
import type { MappingProblem } from "../../status/process.ts";
import type { QueueStatus } from "../../status/queue.ts";
import { visible } from "../../untrusted.ts";
import { timeText } from "./duration.ts";
import { error, type Finding, listed, warning } from "./problem.ts";

type Unmapped = QueueStatus["unmapped"][number];

/** A device that has been silent for longer is of no concern today. */
const RECENT_MS = 86_400_000;
/** Stands in a row for what only a person knows. */
const UNIT = "UNIT";

/** What this process knows of the mapping file. */
export interface MappingFacts {
  /** Why it is not used as it is now; null while it is. */
  problem: MappingProblem | null;
  /** How it is written; null where it has neither rows nor a heading. */
  form: MappingForm | null;
}

export function diagnoseMapping({
  problem,
  form,
  unmapped,
  nowMs,
}: MappingFacts & { unmapped: readonly Unmapped[]; nowMs: number }): Finding[] {
  const recent = unmapped.filter(
    ({ lastFixAt }) => lastFixAt === null || nowMs - Date.parse(lastFixAt) < RECENT_MS,
  );
  return [
    ...(problem === null ? [] : [unusable(problem, nowMs)]),
    ...withoutRow(recent, "forward", form),
    ...withoutRow(recent, "hold", form),
  ];
}

function unusable({ file, sinceMs, problems, rowsReadAtMs }: MappingProblem, nowMs: number): Finding {
  return error("mapping_unusable", "mapping", {
    what: `${file} cannot be used as it is now, so the rows of ${timeText(rowsReadAtMs, nowMs)} stay in use: ${listed(problems)}.`,
    doNext:
      "Correct the file: it is read again within seconds. Until then no change in it counts, and the gateway would not start with it.",
    sinceMs,
    subjects: [file],
  });
}

function withoutRow(
  unmapped: readonly Unmapped[],
  policy: Unmapped["policy"],
  form: MappingForm | null,
): Finding[] {
  const devices = unmapped.filter((each) => each.policy === policy);
  const [first] = devices;
  if (!first) return [];
  const one = devices.length === 1;
  const named = listed(devices.map(({ source, device }) => `${visible(device)} of ${source}`));
  const row = rowFor(first, form);
  return [
    warning(policy === "hold" ? "device_held" : "device_unmapped", "mapping", {
      what:
        policy === "hold"
          ? `Positions of ${one ? "a device" : `${devices.length} devices`} are held because no mapping row names ${one ? "it" : "them"}: ${named}.`
          : `${one ? "A device is" : `${devices.length} devices are`} sent under ${one ? "its" : "their"} own id because no mapping row names ${one ? "it" : "them"}: ${named}.`,
      doNext: `Add ${one ? "this row" : "a row like this for each"} to the mapping file: ${row} (${row.includes(UNIT) ? `${UNIT} stands for the unit's id in ServiceTitan; ` : ""}the file is read again when it changes).`,
      subjects: devices.map(({ device }) => visible(device)),
    }),
  ];
}

/** A row for the device as it would stand in the file. */
export function rowFor(
  { device, source }: Pick<Unmapped, "device" | "source">,
  form: MappingForm | null,
): string {
  const { format, columns, delimiter } = form ?? {
    format: "csv",
    columns: ["device", "unit"],
    delimiter: ",",
  };
  const cells: Record<string, string> = { device: visible(device), unit: UNIT, source };
  if (format === "csv") {
    return columns.map((column) => csvCell(cells[column] ?? "", delimiter)).join(delimiter);
  }
  const names = ["device", "unit", ...(columns.includes("source") ? ["source"] : [])];
  const pairs = names.map((name) => {
    const value = JSON.stringify(cells[name]);
    return format === "json" ? `${JSON.stringify(name)}: ${value}` : `${name}: ${value}`;
  });
  return `${format === "yaml" ? "- " : ""}{ ${pairs.join(", ")} }`;
}

function csvCell(text: string, delimiter: string): string {
  return text.includes(delimiter) || /["\s]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
