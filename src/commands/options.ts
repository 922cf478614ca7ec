/** What the commands share: how an option's text becomes its value, and how a command says what went wrong. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { printError, printErrorLines, printLines } from "./print.ts";

export const CONFIG_OPTION = [
  "-c, --config <file>",
  "configuration (YAML); without it WAYPOST_* variables are read",
] as const;

export function allowWeakOption(): Option {
  return new Option(
    "--allow-weak",
    "warn of weak secrets and of passwords sent in the clear instead of refusing them",
  );
}

/** Runs what was typed. A command that fails says why on standard error, and the process ends with 1. */
export async function runCommand(program: Command): Promise<void> {
  // Commander's own messages quote what was typed.
  for (const command of [program, ...program.commands]) {
    command.configureOutput({
      writeOut: (text) => printLines(text.replace(/\n$/, "")),
      writeErr: (text) => printErrorLines(text.replace(/\n$/, "")),
    });
  }
  try {
    await program.parseAsync();
  } catch (error) {
    for (const problem of await problemsOf(error)) printError(problem);
    process.exitCode = 1;
  }
}

async function problemsOf(error: unknown): Promise<readonly string[]> {
  if (!(error instanceof Error)) return [String(error)];
  if (error.name === "StartupError" && "problems" in error && Array.isArray(error.problems))
    return error.problems;
  if (error.name !== "$ZodError" && error.name !== "ZodError") return [error.message];
  const { z } = await import("zod");
  return error instanceof z.ZodError ? z.prettifyError(error).split("\n") : [error.message];
}

export function duration(text: string): number {
  const [, amount, unit] = /^(\d+)(s|m|h)$/.exec(text) ?? [];
  if (amount === undefined) throw new InvalidArgumentError("use a number and s, m or h, for example 20s");
  return Number(amount) * (unit === "h" ? 3_600_000 : unit === "m" ? 60_000 : 1000);
}

export function wholeNumber(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("must be a whole number above 0");
  return n;
}

export function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidArgumentError(`is not JSON: ${error instanceof Error ? error.message : ""}`);
  }
}
