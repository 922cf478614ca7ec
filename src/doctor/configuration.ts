/** The problems of a wrong configuration as lines of the report. */

import { type ConfigProblem, problemText } from "../config/problems.ts";
import { type Line, notWell } from "./check.ts";
import { finding } from "./findings.ts";

export function configurationLines(problems: readonly ConfigProblem[]): Line[] {
  return problems.map((each): Line => {
    const found = finding("configuration", { problem: problemText(each) });
    return { area: "configuration", of: "", ...notWell("setting", found) };
  });
}
