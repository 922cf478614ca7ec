/** The one way to standard output and standard error: whatever a line quotes, it cannot steer the terminal that shows it. */

import { visible, visibleJson } from "./visible.ts";

/** An answer to what was asked. */
export function say(line: string): void {
  process.stdout.write(`${visible(line)}\n`);
}

/** What is no answer: problems, notes, progress. */
export function complain(line: string): void {
  process.stderr.write(`${visible(line)}\n`);
}

/** A text of several lines, whose line ends are our own. */
export function sayLines(text: string): void {
  for (const line of text.split("\n")) say(line);
}

export function complainLines(text: string): void {
  for (const line of text.split("\n")) complain(line);
}

/** For programs: one line of JSON. */
export function sayJson(value: unknown): void {
  process.stdout.write(`${visibleJson(JSON.stringify(value))}\n`);
}
