/** Makes a log line readable on a terminal; what it quotes cannot steer the terminal or pass for another line. */

import { prettyFactory } from "pino-pretty";
import { isRecord, visible } from "../untrusted.ts";

/** JSON line → lines to read, with their line ends. */
export function createPrettyFormat({ colours }: { colours: boolean }): (line: string) => string {
  const format = prettyFactory({
    colorize: colours,
    // Of a process that is watched on a terminal, both are known.
    ignore: "pid,hostname",
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
  });
  return (line) => {
    const parsed: unknown = JSON.parse(line);
    return format(isRecord(parsed) ? withMessage(shown(parsed)) : line);
  };
}

/** The event's name stands where a reader looks first. */
function withMessage({ event, msg, ...fields }: Record<string, unknown>): object {
  const words = [event, msg].filter((word) => word !== undefined);
  return { ...fields, msg: words.join(": ") };
}

function shown(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      visible(key),
      // Lines of a stack begin with spaces when printed, and so never look like a log line.
      key === "stack" && typeof value === "string"
        ? value.split("\n").map(visible).join("\n")
        : shownValue(value),
    ]),
  );
}

function shownValue(value: unknown): unknown {
  if (typeof value === "string") return visible(value);
  if (Array.isArray(value)) return value.map(shownValue);
  return isRecord(value) ? shown(value) : value;
}
