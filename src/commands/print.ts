/** The one way to standard output and standard error: a printed line cannot steer the terminal, whatever it quotes. */

import { visible, visibleJson } from "../untrusted.ts";

/** An answer to what was asked. */
export function print(line: string): void {
  process.stdout.write(`${visible(line)}\n`);
}

/** What is no answer: problems, notes, progress. */
export function printError(line: string): void {
  process.stderr.write(`${visible(line)}\n`);
}

/** How far a long work is: on a terminal each takes the place of the one before; `done` leaves the last one there. */
export function progressLine(): { show(line: string): void; done(): void } {
  let isOpen = false;
  return {
    show(line) {
      isOpen = process.stderr.isTTY;
      process.stderr.write(isOpen ? `\r\u001b[K${visible(line)}` : `${visible(line)}\n`);
    },
    done() {
      if (isOpen) process.stderr.write("\n");
      isOpen = false;
    },
  };
}

/** A text of several lines, whose line ends are our own. */
export function printLines(text: string): void {
  for (const line of text.split("\n")) print(line);
}

export function printErrorLines(text: string): void {
  for (const line of text.split("\n")) printError(line);
}

/** Asks on the terminal; null where a program or a file is at either end. */
export async function terminalToAsk(): Promise<{
  ask(question: string): Promise<string>;
  close(): void;
} | null> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return null;
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const ended = new Promise<never>((_resolve, reject) => {
    terminal.once("close", () => reject(new Error("Nothing was written.")));
  });
  // Without a question nobody waits for the end.
  ended.catch(() => {});
  return {
    ask: async (question) => (await Promise.race([terminal.question(`${visible(question)} `), ended])).trim(),
    close: () => terminal.close(),
  };
}

/** For programs: one line of JSON. */
export function printJson(value: unknown): void {
  process.stdout.write(`${visibleJson(JSON.stringify(value))}\n`);
}

/** What standard output is shown on; null where a program or a file takes it. NO_COLOR is heeded. */
export function terminalOfOutput(): { hasColors: boolean } | null {
  return process.stdout.isTTY ? { hasColors: process.stdout.hasColors() } : null;
}
