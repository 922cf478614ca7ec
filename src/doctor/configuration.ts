/** The problems of a wrong configuration as lines of the report. */

import type { ConfigProblem } from "../config/problems.ts";
import { type Line, notWell } from "./check.ts";
import { finding } from "./findings.ts";

export function configurationLines(problems: readonly ConfigProblem[]): Line[] {
  return problems.map(({ path, message, line }) => {
    const problem = `${line === undefined ? "" : `line ${line}: `}${path} ${message}`;
    return { area: "configuration", of: "", ...notWell("setting", finding("configuration", { problem })) };
  });
}
