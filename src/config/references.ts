/** Replaces `${NAME}` and `${file:PATH}` in the texts of a configuration by what the environment and files hold. */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: messages name the syntax

import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { errorCode } from "../untrusted.ts";
import { type Mark, type Resolved, SECRET_NAME } from "./values.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface References {
  env: Environment;
  /** Relative file names start here. */
  baseDir: string;
  /** Gets the name of every file that is referred to, readable or not: its change changes the configuration. */
  refersTo?(file: string): void;
  /** Gets every text that references were replaced in, and how it can be written anywhere: with whole file names. */
  replaced?(value: string, written: string): void;
}

const REFERENCE = /\$\$\{|\$\{(?:(?:file:(?!-)([^}]*)|([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?)\})?/g;

/**
 * Replaces `${NAME}`, `${NAME:-default}` and `${file:PATH}`, once: references inside a value are not replaced. As in a
 * shell, the default also replaces an empty variable. `$${` means `${`. A secret has no default: every reader of the file
 * would know it, and an unset variable would let them in.
 */
export function resolveReferences(text: string, references: References, mark?: Mark): Resolved {
  if (!text.includes("${")) return { kind: "as_written" };
  const problems: string[] = [];
  const filled = text.replaceAll(REFERENCE, (match, file?: string, name?: string, fallback?: string) => {
    if (match === "$${") return "${";
    if (file !== undefined) return textOf(file, references, problems);
    if (name === undefined) {
      problems.push("has a ${ that begins no ${NAME} and no ${file:PATH}; write $${ where ${ is meant");
      return "";
    }
    const value = references.env[name];
    if (fallback !== undefined) return value || fallback;
    if (value === undefined) problems.push(`needs the environment variable ${name}, which is not set`);
    return value ?? "";
  });
  if (hasSecretDefault(text, mark)) {
    problems.push(
      "has a default for a secret, which everybody who reads the file knows: leave the default out",
    );
  }
  if (problems.length > 0) return { kind: "problem", message: [...new Set(problems)].join("; ") };
  references.replaced?.(filled, withWholeNames(text, references));
  return { kind: "from_outside", text: filled };
}

function withWholeNames(text: string, { baseDir }: References): string {
  return text.replaceAll(REFERENCE, (match, file?: string) =>
    file === undefined ? match : `\${file:${resolve(baseDir, file)}}`,
  );
}

/** A secret is shorter; a larger file is named by mistake. */
const MAX_BYTES = 65_536;

function textOf(name: string, { baseDir, refersTo }: References, problems: string[]): string {
  if (name.trim() === "") {
    problems.push("has a ${file:} that names no file");
    return "";
  }
  const file = resolve(baseDir, name);
  refersTo?.(file);
  try {
    const { size } = statSync(file);
    if (size > MAX_BYTES) {
      problems.push(`names a file of more than ${MAX_BYTES} bytes (${file}), which is no single value`);
      return "";
    }
    // Editors and `echo` end a file with a newline, which belongs to no secret.
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file)).replace(/\r?\n$/, "");
  } catch (error) {
    const why = error instanceof TypeError ? "not UTF-8 text" : (errorCode(error) ?? "unreadable");
    problems.push(`names a file that cannot be read (${file}: ${why})`);
    return "";
  }
}

function hasSecretDefault(text: string, mark: Mark | undefined): boolean {
  if (mark !== "secret" && mark !== "url") return false;
  const withDefaults = (instead: (fallback: string) => string) =>
    text.replaceAll(REFERENCE, (_match, _file?: string, _name?: string, fallback?: string) =>
      fallback ? instead(fallback) : "",
    );
  const shown = withDefaults((fallback) => fallback);
  const hidden = withDefaults(() => "");
  return mark === "secret" ? shown !== hidden : secretsOfUrl(shown) !== secretsOfUrl(hidden);
}

/** The password in a URL that may still lack its host or port, and query parameters whose name means a secret. */
function secretsOfUrl(text: string): string {
  const [, userInfo = ""] = /:\/\/([^/?#]*)@/.exec(text) ?? [];
  const query = new URLSearchParams(text.split("?").slice(1).join("?"));
  const named = [...query].filter(([name]) => SECRET_NAME.test(name));
  return JSON.stringify([userInfo.split(":").slice(1).join(":"), named]);
}
