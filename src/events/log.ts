/** Writes the log: JSON lines, or lines to read on a terminal; without secrets, and no more of them than a person can read. */

import { LRUCache } from "lru-cache";
import { type DestinationStream, type Logger, pino, stdSerializers, stdTimeFunctions } from "pino";
import { visibleJson } from "../untrusted.ts";
import { createPrettyFormat } from "./pretty.ts";

const SECRET_KEYS = new Set([
  "accesstoken",
  "appkey",
  "authorization",
  "clientsecret",
  "cookie",
  "password",
  "secret",
  "secrets",
  "stappkey",
  "token",
]);
const URL_KEYS = new Set(["url", "originalurl", "path"]);
/** Deeper levels hold only what a library attached to an error. */
const MAX_DEPTH = 6;

/**
 * Builds the logger. Secrets are censored here, by key, at any depth and in any spelling, so that no caller has to
 * remember it. pino's own `redact` needs each depth and spelling named, and cost 90 µs a line where this costs 1.
 */
export function createLogger({ level, format = "auto", destination, terminal = null }: LogOptions): Logger {
  const options = {
    level,
    timestamp: stdTimeFunctions.isoTime,
    // censorFields has already made the error a plain object.
    serializers: { err: (error: unknown) => error },
    formatters: { level: (label: string) => ({ level: label }), log: censorFields },
  };
  const output = destination ?? standardOutput();
  if (format === "pretty" || (format === "auto" && terminal !== null)) {
    const pretty = createPrettyFormat({ colours: terminal?.hasColors ?? false });
    return pino(options, { write: (line) => output.write(pretty(line)) });
  }
  // Logs are read on terminals too, and quote what others sent.
  return pino(options, { write: (line) => output.write(visibleJson(line)) });
}

export interface LogOptions {
  level: string;
  /** `auto`: to be read where there is a terminal, JSON elsewhere. */
  format?: "auto" | "json" | "pretty";
  /** Default: standard output. */
  destination?: DestinationStream;
  /** What standard output is shown on; null, the default: it is read by a program. */
  terminal?: { hasColors: boolean } | null;
}

/** From most to least. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevelName = (typeof LOG_LEVELS)[number];

export interface LogLevel {
  level(): string;
  /** Holds until the next one or the end of the process. */
  setLevel(level: LogLevelName): void;
}

/** The level of a running process, for the ops endpoint. */
export function logLevelOf(logger: Logger): LogLevel {
  return {
    level: () => logger.level,
    setLevel(level) {
      logger.level = level;
    },
  };
}

/** Lines that wait while the disk is full; further lines are lost. */
const MAX_WAITING_BYTES = 1_000_000;

/**
 * A log that cannot be written must not stop the gateway: on a full disk pino would throw, and its `fatal`, which logs
 * that, would try for ever (flushSync of sonic-boom 4). So errors are ignored, lines wait until the disk has room, and
 * only `write` is exposed.
 */
function standardOutput(): DestinationStream {
  const output = pino.destination({ dest: 1, sync: true, maxLength: MAX_WAITING_BYTES });
  output.on("error", () => {});
  return { write: (line) => output.write(line) };
}

function censorFields(fields: object): Record<string, unknown> {
  return censorObject(fields, 0);
}

function censorObject(fields: object, depth: number): Record<string, unknown> {
  const censored: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    const plain = key.toLowerCase().replace(/[-_]/g, "");
    if (SECRET_KEYS.has(plain)) censored[key] = "[redacted]";
    else if (URL_KEYS.has(plain) && typeof value === "string") censored[key] = withoutSecrets(value);
    else censored[key] = censor(value, depth + 1);
  }
  return censored;
}

function censor(value: unknown, depth: number): unknown {
  if (value instanceof URL) return withoutSecrets(value.href);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  // A body, or a position on its way to Redis: unreadable byte by byte.
  if (value instanceof Uint8Array) return `[${value.byteLength} bytes]`;
  if (depth > MAX_DEPTH) return "[deep]";
  if (Array.isArray(value)) return value.map((item) => censor(item, depth + 1));
  return censorObject(value instanceof Error ? withoutArguments(stdSerializers.err(value)) : value, depth);
}

/** A Redis client attaches the refused command to its error: a script with all its positions. */
function withoutArguments({ command, ...rest }: Record<string, unknown>): object {
  if (command === undefined) return rest;
  return { ...rest, command: command instanceof Object && "name" in command ? command.name : command };
}

/** The host and path of a URL are worth logging; the password and every query value may be a vendor's token. */
function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//[redacted]@").replace(/([?&][^=&#]*=)[^&#]*/g, "$1[redacted]");
}

/** More causes than this at once are a flood of their own; the one that wrote longest ago is dropped and may write again. */
const MAX_CAUSES = 1000;
const QUIET_MS = 1000;

/** For a cause: how many lines were held back before this one, or null when this one is held back too. */
export function createFloodGate(nowMs = () => performance.now()): (cause: string) => number | null {
  const causes = new LRUCache<string, { since: number; suppressed: number }>({ max: MAX_CAUSES });
  return (cause) => {
    const now = nowMs();
    const last = causes.peek(cause);
    if (last && now - last.since < QUIET_MS) {
      last.suppressed += 1;
      return null;
    }
    causes.set(cause, { since: now, suppressed: 0 });
    return last?.suppressed ?? 0;
  };
}
