/** Describes what is wrong with a setting; names the setting and never repeats its value, which may be a secret. */

import type { z } from "zod";

export type SettingPath = readonly (string | number)[];

export interface ConfigProblem {
  /** As an operator would write it: `destinations.acme.tenant`, `mqtt.listen.devices[2].username`. */
  path: string;
  message: string;
  /** In the file, from 1; absent without a file, or where the line is unknown. */
  line?: number;
  /** The file of a tenant; absent for the main one. */
  file?: string;
  /** Of a tenant that came through the API, its name and the way to the setting. */
  tenant?: string;
  steps?: SettingPath;
}

/** As one line for the operator: where, and what is wrong. */
export function problemText({ path, message, line, file, tenant }: ConfigProblem): string {
  const document = file ?? (tenant === undefined ? "" : `tenant ${tenant}`);
  const place = [document, line === undefined ? "" : `line ${line}`].filter(Boolean).join(" ");
  return [place === "" ? "" : `${place}:`, path, message].filter(Boolean).join(" ");
}

/** A problem whose path is still a list of steps. */
export interface Finding {
  path: SettingPath;
  message: string;
}

export function pathText(path: SettingPath): string {
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
    .join("")
    .replace(/^\./, "");
}

/** The findings of a schema, one for each unknown setting, so that each has its own path. */
export function validate<Output>(
  schema: z.ZodType<Output>,
  value: unknown,
  settingsAt: (path: SettingPath) => string[],
): { data: Output | undefined; findings: Finding[] } {
  const { data, error } = schema.safeParse(value, { error: explain });
  const findings = (error?.issues ?? []).flatMap((issue): Finding[] => {
    const path = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, printable(key)],
        message: `is not a setting${suggestion(key, settingsAt(path))}`,
      }));
    }
    if (issue.code === "invalid_key") {
      const last = path.at(-1);
      const place = typeof last === "string" ? [...path.slice(0, -1), printable(last)] : path;
      return [{ path: place, message: issue.issues[0]?.message ?? "is not a possible name" }];
    }
    return [{ path, message: issue.message }];
  });
  return { data, findings };
}

/** Our message where the schema has none of its own. */
function explain(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.input === undefined) return "is required";
  if (issue.input === null) return "is empty";
  switch (issue.code) {
    case "invalid_type": {
      const hint = issue.expected === "string" && typeof issue.input === "number" ? ": put it in quotes" : "";
      return `must be ${KIND_WORDS[issue.expected] ?? issue.expected}${hint}`;
    }
    case "invalid_value":
      return `must be ${issue.values.map(String).join(" or ")}`;
    case "too_small":
      return `must be ${issue.inclusive ? "at least" : "more than"} ${amount(issue.origin, issue.minimum)}`;
    case "too_big":
      return `must be ${issue.inclusive ? "at most" : "less than"} ${amount(issue.origin, issue.maximum)}`;
    default:
      return undefined;
  }
}

const KIND_WORDS: Record<string, string> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a group of settings",
  record: "a group of named entries",
};

function amount(origin: string, limit: number | bigint): string {
  if (origin === "string") return `${limit} characters long`;
  if (origin === "array") return `${limit} entries`;
  return String(limit);
}

/** `secret:abc` written without a space is a name to YAML; what follows the colon must not be shown. */
function printable(key: string): string {
  return (key.split(/[:=\s]/)[0] ?? "").slice(0, 60);
}

function suggestion(key: string, known: readonly string[]): string {
  const bare = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  const near = known.find((name) => bare(name) === bare(key));
  if (near !== undefined) return `; did you mean ${near}?`;
  return known.length > 0 ? `; here can stand: ${known.join(", ")}` : "";
}
