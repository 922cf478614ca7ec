/** Which test files have a process of their own; all others follow one another in one, which loads each module once. */

/** A folder ends in a slash. */
export const ALONE: readonly string[] = [
  // They drive many connections and processes: what is left of one must not slow down the next.
  "test/chaos/",
  "test/end-to-end/",
  "test/project/bench.test.ts",
  "test/project/drill.test.ts",
  "test/reload/rolling-change.test.ts",
  // They measure the memory or the processor time of their process.
  "test/fuzz/",
  "test/ingest/speaks-for.test.ts",
  "test/inputs/mqtt/packet-ids.test.ts",
  "test/limits/guessing.test.ts",
  // They replace what a process has once: timers, globals, environment, a class's methods.
  "test/inputs/mqtt/client.test.ts",
  "test/ops/accounting-check.test.ts",
  "test/ops/app.test.ts",
  "test/ops/problem-watch.test.ts",
  "test/ops/snapshot.test.ts",
  "test/project/shared.test.ts",
  "test/servicetitan/client.test.ts",
  "test/tenants/through-the-api.test.ts",
  "test/spool/file.test.ts",
  "test/spool/permissions.test.ts",
];

/** As globs of the test runner. */
export const ALONE_FILES: readonly string[] = ALONE.map((each) =>
  each.endsWith("/") ? `${each}**/*.test.ts` : each,
);

const MARKS: readonly RegExp[] = [
  /\bvi\.(spyOn|mock|doMock|hoisted|stub\w*|useFakeTimers|setSystemTime)\(/g,
  /\bprocess\.(chdir|umask|on|once|memoryUsage|cpuUsage|resourceUsage)\(/g,
  /(?<!delete )\bprocess\.(env|argv|title|exitCode)\b(\.\w+|\[[^\]]*\])? = /g,
  /\bdelete process\.env\b/g,
  /\b(globalThis|Error)(\.\w+|\[[^\]]*\]) = /g,
  /\.prototype\.\w+ = /g,
  /\bsetGlobalDispatcher\(/g,
];

export function isAlone(file: string): boolean {
  return ALONE.some((each) => (each.endsWith("/") ? file.startsWith(each) : file === each));
}

/** What a file does that another one in the same process would find, or would be measured with. */
export function marksIn(text: string): string[] {
  return MARKS.flatMap((mark) => text.match(mark) ?? []);
}
