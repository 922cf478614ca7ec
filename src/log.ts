/** Writes the log: JSON lines without secrets, and no more of them than somebody can read. */

import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";

const SECRET_KEYS = [
  "authorization",
  "Authorization",
  "cookie",
  "token",
  "accessToken",
  "access_token",
  "secret",
  "secrets",
  "password",
  "appKey",
  "ST-App-Key",
  "clientSecret",
  "client_secret",
];
const URL_KEYS = ["url", "originalUrl"];

/** Writes JSON lines. Secrets are censored here, by key, so that no caller has to think of it. */
export function createLogger({
  level,
  destination,
}: {
  level: string;
  destination?: DestinationStream;
}): Logger {
  const options = {
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      // Three levels: fields, a nested object such as `headers`, and one inside an error or request.
      paths: [...SECRET_KEYS, ...URL_KEYS].flatMap((key) => [`["${key}"]`, `*["${key}"]`, `*.*["${key}"]`]),
      censor: (value: unknown, path: string[]) => censor(value, path.at(-1) ?? ""),
    },
  };
  return destination ? pino(options, destination) : pino(options);
}

/** Of an address the place is worth logging; its password and every query value may be a vendor's token. */
function censor(value: unknown, key: string): string {
  if (!URL_KEYS.includes(key) || typeof value !== "string") return "[redacted]";
  return value.replace(/\/\/[^/@]*@/, "//[redacted]@").replace(/([?&][^=&#]*=)[^&#]*/g, "$1[redacted]");
}

/** More causes than this at once are a flood of their own; the oldest is forgotten and may write again. */
const MAX_CAUSES = 1000;
const QUIET_MS = 1000;

/** Says of a cause how many lines were held back before this one, or null when this one is to be held back. */
export function createFloodGate(): (cause: string) => number | null {
  const causes = new Map<string, { since: number; suppressed: number }>();
  return (cause) => {
    const now = performance.now();
    const last = causes.get(cause);
    if (last && now - last.since < QUIET_MS) {
      last.suppressed += 1;
      return null;
    }
    causes.delete(cause);
    causes.set(cause, { since: now, suppressed: 0 });
    const oldest = causes.size > MAX_CAUSES ? causes.keys().next() : undefined;
    if (oldest && !oldest.done) causes.delete(oldest.value);
    return last?.suppressed ?? 0;
  };
}
