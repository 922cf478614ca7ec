/** Puts the lines of a run into words for a terminal, into JSON for programs, and into an exit code. */

import type { Area, Line } from "./check.ts";

/** As in sysexits.h: EX_UNAVAILABLE, what the configuration points at is not well; EX_CONFIG, it is wrong itself. */
const UNAVAILABLE = 69;
const CONFIGURATION_WRONG = 78;

export function exitCodeOf(lines: readonly Line[]): number {
  const found = lines.filter(({ state }) => state === "not_well");
  if (found.length === 0) return 0;
  return found.some(({ area }) => area === "configuration") ? CONFIGURATION_WRONG : UNAVAILABLE;
}

const TITLES: Record<Area, string> = {
  configuration: "Configuration",
  redis: "Redis",
  servicetitan: "ServiceTitan",
  broker: "Broker",
  polled: "Polled vendor",
  machine: "This machine",
};

export function inWords(lines: readonly Line[]): string[] {
  const found = lines.filter(({ state }) => state === "not_well").length;
  const total = `${lines.length} check${lines.length === 1 ? "" : "s"}`;
  const words = lines.flatMap((line, at) => {
    const title = titleOf(line);
    const before = lines[at - 1];
    const isFirst = before === undefined || titleOf(before) !== title;
    return [...(isFirst ? [title] : []), ...lineInWords(line)];
  });
  return [...words, found === 0 ? `All is well: ${total}.` : `Of ${total}, ${found} not well.`];
}

function titleOf({ area, of }: Line): string {
  return of === "" ? TITLES[area] : `${TITLES[area]} ${of}`;
}

function lineInWords(line: Line): string[] {
  switch (line.state) {
    case "well":
      return [`  well       ${line.check}: ${line.says}`, ...(line.details ?? []).map(indented)];
    case "not_asked":
      return [`  not asked  ${line.check}: ${line.says}`];
    case "not_well": {
      const { says, remedy } = line.finding;
      return [
        `  NOT WELL   ${line.check}: ${says}`,
        ...(line.details ?? []).map(indented),
        indented(`To do: ${remedy}`),
      ];
    }
    default:
      return line satisfies never;
  }
}

function indented(text: string): string {
  return `             ${text}`;
}

/** One flat object for each line; what it has nothing of is null. */
export function asJson(lines: readonly Line[], tookMs: number) {
  return {
    well: exitCodeOf(lines) === 0,
    exitCode: exitCodeOf(lines),
    tookMs: Math.round(tookMs),
    checks: lines.map((line) => {
      const found = line.state === "not_well" ? line.finding : null;
      return {
        ...{ area: line.area, of: line.of || null, check: line.check, state: line.state },
        finding: found?.kind ?? null,
        says: line.state === "not_well" ? line.finding.says : line.says,
        remedy: found?.remedy ?? null,
        details: line.state === "not_asked" ? [] : (line.details ?? []),
      };
    }),
  };
}
