/** Gives findings what lasts: an id, and since when; remembered here where nothing else recorded the beginning. */

import { iso } from "../../time.ts";
import type { Finding, Problem } from "./problem.ts";

export interface Lasting {
  /** All findings of one moment, of everything or of what one caller may see. */
  problemsOf(findings: readonly Finding[], nowMs: number): Problem[];
}

/** A problem that is found again within this time has lasted: nobody may have looked meanwhile. */
const ENDS_AFTER_MS = 60_000;

export function createLasting(): Lasting {
  const began = new Map<string, { since: number; foundAt: number }>();

  function sinceOf(id: string, given: number | undefined, nowMs: number): number {
    const before = began.get(id);
    const since = given ?? before?.since ?? nowMs;
    began.set(id, { since, foundAt: nowMs });
    return since;
  }

  return {
    problemsOf(findings, nowMs) {
      for (const [id, { foundAt }] of began) if (nowMs - foundAt > ENDS_AFTER_MS) began.delete(id);
      const taken = new Set<string>();
      return findings.map(({ sinceMs, subjects = [], ...finding }): Problem => {
        const id = idOf(finding, taken);
        taken.add(id);
        return { id, ...finding, since: iso(sinceOf(id, sinceMs, nowMs)), subjects };
      });
    },
  };
}

/** Kind and place; two of one kind at one place are told apart by their number. */
function idOf({ kind, where }: Pick<Finding, "kind" | "where">, taken: ReadonlySet<string>): string {
  const id = `${kind}:${where}`;
  for (let n = 1; ; n++) {
    const numbered = n === 1 ? id : `${id}:${n}`;
    if (!taken.has(numbered)) return numbered;
  }
}
