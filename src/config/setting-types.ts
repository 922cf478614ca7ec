/** What a setting may be, whatever it sets: names, texts, times, sizes, addresses, topics, secrets. */

import { z } from "zod";
import { parseRange } from "../addresses.ts";
import { marks } from "./values.ts";

/** What a type says of a wrong value must not be said of a missing one. */
export const unlessMissing = (message: string) => (issue: { input?: unknown }) =>
  issue.input === undefined || issue.input === null ? undefined : message;

export const nameSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,39}$/,
    "must be lower-case letters, digits and dashes, at most 40, for example acme-vans",
  );
export const port = z.int().min(0).max(65_535);
/** setTimeout holds no more: a longer time would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
export const ms = z.int().positive().max(MAX_TIMER_MS);
/** An age, compared and never waited for. */
export const ageMs = z.int().positive();
export const bytes = z.int().positive();
export const text = z.string().min(1, "must not be empty");
export const secret = text
  .refine(
    (value) => value === value.trim(),
    "begins or ends with white space; a pasted newline is the usual cause",
  )
  .register(marks, { is: "secret" });
export const opsToken = secret.min(16, "must have at least 16 characters; openssl rand -hex 24 makes one");
export const hostName = z
  .string()
  .regex(
    /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$/,
    "must be a host name without scheme and port, for example waypost.example.com",
  );
/** Relative to the configuration file. */
export const file = text.clone().register(marks, { is: "file" });
export const directory = text.clone();
export const url = (protocols: readonly string[]) =>
  z
    .url({
      protocol: new RegExp(`^(${protocols.join("|")})$`),
      error: unlessMissing(
        `must be a URL that begins with ${protocols.map((word) => `${word}://`).join(" or ")}`,
      ),
    })
    .register(marks, { is: "url" });
export const addressRange = z
  .string()
  .refine(
    (value) => parseRange(value) !== null,
    "must be an address or a range, for example 203.0.113.7 or 10.0.0.0/8",
  );
/** MQTT 3.1.1 §4.7.1: `+` takes a whole level, `#` the last ones. */
export const topicFilter = text.refine(
  (value) =>
    value
      .split("/")
      .every(
        (level, at, all) =>
          level === "+" || (level === "#" && at === all.length - 1) || !/[+#\0]/.test(level),
      ),
  "must be an MQTT topic filter: + stands for one whole level, # for all that follow",
);
/** TLS that the gateway itself ends. */
export const tls = (clients: string) =>
  z.strictObject({
    cert: file.describe("The certificate with its chain, PEM."),
    key: file.describe("Its private key, PEM."),
    ca: file.optional().describe(`${clients} must show a certificate that this authority signed.`),
  });

/** Ids, or patterns in which `*` stands for any run of characters; matched to the letter. */
export const speaksFor = z
  .array(
    text.max(128).regex(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u, "must hold no control characters and nothing invisible"),
  )
  .min(1)
  .optional()
  .describe("The device ids this login may report for, see [Logins](#logins). Left out: its own.");
