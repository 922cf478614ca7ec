/** Files that share a process leave it as they found it, or have one of their own. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ALONE, isAlone, marksIn } from "../support/shared.ts";

const files = readdirSync("test", { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => `test/${file}`);

/** Vitest's own process runs these, and no test. */
const OF_THE_RUNNER = ["compiled", "order", "shared", "speed", "summary"].map(
  (name) => `test/support/${name}.ts`,
);

test("everything that has a process of its own exists", () => {
  expect(ALONE.filter((each) => !existsSync(each))).toEqual([]);
  expect(
    ALONE.filter((each) => !files.some((file) => file.endsWith(".test.ts") && isIn(each, file))),
  ).toEqual([]);
});

test("a file that leaves marks on its process has one of its own", () => {
  const found = files
    .filter((file) => !isAlone(file) && !OF_THE_RUNNER.includes(file))
    .flatMap((file) => marksIn(readFileSync(file, "utf8")).map((mark) => `${file}: ${mark}`));
  expect(found, "Add the file to ALONE in test/support/shared.ts, with its kind of reason.").toEqual([]);
});

test.each([
  "vi.spyOn(fs, 'read')",
  'vi.mock("x")',
  "vi.stubEnv('A', '1')",
  "vi.useFakeTimers()",
  'process.chdir("/")',
  'process.on("exit", done)',
  "process.memoryUsage()",
  "process.env.A = '1'",
  "process.env[name] = '1'",
  "delete process.env.A",
  "globalThis.fetch = other",
  "Client.prototype.send = other",
  "setGlobalDispatcher(agent)",
  "Error.stackTraceLimit = 0",
])("%s is a mark", (line) => {
  expect(marksIn(`  ${line};\n`)).toHaveLength(1);
});

test.each([
  "vi.setConfig({ testTimeout: 1 })",
  "vi.waitFor(ready)",
  "process.env.A === '1'",
  "const env = { A: 1 }",
])("%s is none: the runner puts it back, or nothing changes", (line) => {
  expect(marksIn(line)).toEqual([]);
});

function isIn(each: string, file: string): boolean {
  return each.endsWith("/") ? file.startsWith(each) : file === each;
}
