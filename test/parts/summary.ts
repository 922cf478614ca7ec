/** Ends a test run with one line that a program can read: `N passed, N failed` and, where there are any, `, N skipped`. */

import { writeSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

export function summary(): Reporter {
  return {
    onTestRunEnd(modules, unhandledErrors) {
      const line = summaryLine(tally(modules, unhandledErrors.length));
      // The last word belongs to this line, so it waits for the other reporters; at exit only synchronous writing counts.
      process.once("exit", () => writeSync(process.stdout.fd, `${line}\n`));
    },
  };
}

function summaryLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** A file that could not be loaded and an error outside any test count as one failure each. */
function tally(modules: readonly TestModule[], unhandledErrors: number): Tally {
  const total: Tally = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const module of modules) {
    let failedHere = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === "passed") total.passed += 1;
      else if (state === "failed") failedHere += 1;
      else total.skipped += 1;
    }
    if (failedHere === 0 && module.state() === "failed") failedHere = 1;
    total.failed += failedHere;
  }
  return total;
}
