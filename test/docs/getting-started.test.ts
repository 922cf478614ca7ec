/** Runs every command block of the page for the first day, in its order, against a real Redis, gateway and sandbox. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { scaled } from "../support/speed.ts";
import { blocksOf, pageAt } from "./pages.ts";
import { openShell, type Shell } from "./shell.ts";

/** Blocks in this language are run; one without a language, or `console`, is for machines that a test has not. */
const SHELL = "sh";
/** The output of the block before. */
const OUTPUT = "text";
/** A block that begins so goes on running, and is ready when it listens. */
const TERMINAL = /^# Terminal ([123])\n/;
const LISTENS_ON = { 1: 6379, 2: 8090, 3: 9090 } as const;

const blocks = blocksOf(pageAt("docs/getting-started.md")).filter(({ language }) =>
  [SHELL, OUTPUT].includes(language),
);
let shell: Shell;

beforeAll(async () => {
  shell = await openShell();
});
afterAll(() => shell.close());

test("there are blocks to run", () => {
  expect(blocks.filter(({ language }) => language === SHELL).length).toBeGreaterThan(8);
  expect(blocks.filter(({ language }) => language === OUTPUT).length).toBeGreaterThan(1);
});

test("every command does what the page says", { timeout: scaled(240_000) }, async () => {
  let output = "";
  for (const { language, text } of blocks) {
    const terminal = Number(TERMINAL.exec(text)?.[1]);
    if (language === OUTPUT) expect(withoutTimes(output)).toBe(withoutTimes(text));
    else if (terminal === 1 || terminal === 2 || terminal === 3)
      await shell.start(text, LISTENS_ON[terminal]);
    else output = await shell.run(text);
  }
  // The last block asks for the unit's pings and for the status.
  expect(output).toContain('"V-12"');
  expect(output).toMatch(/"delivered":1\b/);
});

/** An answer without the times that differ in each run. */
function withoutTimes(text: string): string {
  return text
    .trim()
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replaceAll(/\b\d{13}\b/g, "<time>");
}
