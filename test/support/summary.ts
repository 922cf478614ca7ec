/**
 * Ends a test run with why tests were skipped and how to make them run, and then with one line that a program can read:
 * `N passed, N failed` and, where there are any, `, N skipped`.
 */

import { writeSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";
import { reasonIn } from "./because.ts";

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  /** Why, and how many tests for that. */
  reasons: Map<string, number>;
}

export function summary(): Reporter {
  return {
    onTestRunEnd(modules, unhandledErrors) {
      const total = tally(modules, unhandledErrors.length);
      const skips = [...total.reasons].map(([reason, count]) => `${count} skipped: ${reason}`);
      const lines = [...skips, summaryLine(total)];
      // This line has to be the last one, so it waits for the other reporters; at exit only synchronous writing works.
      process.once("exit", () => writeSync(process.stdout.fd, `${lines.join("\n")}\n`));
    },
  };
}

function summaryLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** A file that could not be loaded and an error outside any test count as one failure each. */
function tally(modules: readonly TestModule[], unhandledErrors: number): Tally {
  const total: Tally = { passed: 0, failed: unhandledErrors, skipped: 0, reasons: new Map() };
  for (const module of modules) {
    let failedHere = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === "passed") total.passed += 1;
      else if (state === "failed") failedHere += 1;
      else {
        total.skipped += 1;
        const reason = reasonIn(test.fullName) ?? "no reason was given";
        total.reasons.set(reason, (total.reasons.get(reason) ?? 0) + 1);
      }
    }
    if (failedHere === 0 && module.state() === "failed") failedHere = 1;
    total.failed += failedHere;
  }
  return total;
}
