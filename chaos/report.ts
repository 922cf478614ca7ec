/** Writes a verdict, for a person or a program. */

import type { Verdict } from "./judge.ts";

const COLUMNS = [
  "times",
  "owed",
  "accepted",
  "lost",
  "exempt",
  "duplicated",
  "repeatsAtMost",
  "invented",
  "outOfOrder",
  "maxPerSecond",
  "recoveryMs",
] as const;
/** Of one kind of violation more examples than this teach nothing new. */
const EXAMPLES = 5;

export function table(verdict: Verdict): string {
  const { faults, total, evidence, violations, outOfOrderUnclear, resent } = verdict;
  const rows = [
    ["fault", ...COLUMNS],
    ...faults.map((row) => [row.fault, ...COLUMNS.map((column) => String(row[column] ?? "never"))]),
    ["all", ...COLUMNS.map((column) => (column === "times" ? "" : String(total[column] ?? "never")))],
  ];
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => (row[at] ?? "").length))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join("  "),
  );
  const shown = Object.entries(evidence).map(([what, count]) => `${what} ${count ?? "not required"}`);
  return [
    ...lines,
    "",
    `evidence: ${shown.join(", ")}; out of order after an attempt without answer: ${outOfOrderUnclear}; sent again by their sender, too late to know: ${resent}`,
    ...complaints(violations),
    summaryOf(verdict),
    "",
  ].join("\n");
}

/** One line of JSON per fault, and the whole run in the last line. */
export function jsonLines(seed: string, verdict: Verdict): string {
  const { faults, total, evidence, outOfOrderUnclear, resent, violations } = verdict;
  const passed = violations.length === 0;
  const closing = { seed, passed, ...total, outOfOrderUnclear, resent, evidence, violations };
  return [...faults, closing].map((each) => `${JSON.stringify(each)}\n`).join("");
}

function complaints(violations: Verdict["violations"]): string[] {
  const kinds = [...new Set(violations.map(({ kind }) => kind))];
  return kinds.flatMap((kind) => {
    const found = violations.filter((violation) => violation.kind === kind);
    const examples = found.slice(0, EXAMPLES).map(({ fault, what }) => `  ${fault ?? "at the end"}: ${what}`);
    return [`${kind}: ${found.length}`, ...examples];
  });
}

function summaryOf({ total, violations }: Verdict): string {
  const {
    owed,
    accepted,
    lost,
    exempt,
    duplicated,
    repeatsAtMost,
    invented,
    outOfOrder,
    maxPerSecond,
    recoveryMs,
  } = total;
  const figures = `owed ${owed}, accepted ${accepted}, lost ${lost}, exempt ${exempt}, duplicated ${duplicated} of at most ${repeatsAtMost}, invented ${invented}, out of order ${outOfOrder}, at most ${maxPerSecond} requests in a second, slowest recovery ${recoveryMs ?? "never"} ms`;
  return `${violations.length === 0 ? "PASSED" : `FAILED (${violations.length} violations)`}: ${figures}`;
}
