/** Gives findings what lasts: an id, and since when; remembered here where nothing else recorded the beginning. */

import { iso } from "../../time.ts";
import type { Finding, Problem } from "./problem.ts";

export interface Lasting {
  /** All findings of one moment; what is not among them any more has ended. */
  problemsOf(findings: readonly Finding[], nowMs: number): Problem[];
}

export function createLasting(): Lasting {
  let began = new Map<string, number>();

  return {
    problemsOf(findings, nowMs) {
      const lasting = new Map<string, number>();
      const problems = findings.map(({ sinceMs, subjects = [], ...finding }): Problem => {
        const id = idOf(finding, lasting);
        const since = sinceMs ?? began.get(id) ?? nowMs;
        lasting.set(id, since);
        return { id, ...finding, since: iso(since), subjects };
      });
      began = lasting;
      return problems;
    },
  };
}

/** Kind and place; two of one kind at one place are told apart by their number. */
function idOf({ kind, where }: Pick<Finding, "kind" | "where">, taken: ReadonlyMap<string, number>): string {
  const id = `${kind}:${where}`;
  for (let n = 1; ; n++) {
    const numbered = n === 1 ? id : `${id}:${n}`;
    if (!taken.has(numbered)) return numbered;
  }
}
