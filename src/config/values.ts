/** Walks settings along their schema: fills in values from outside before validation, and finds texts and secrets afterwards. */

import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { isRecord } from "../untrusted.ts";
import type { Finding, SettingPath } from "./problems.ts";

/** Marks of the schema on a text, beyond its shape. */
export const marks = z.registry<{ is: Mark }>();

type Schema = z.core.$ZodType;

/** Where a text's value comes from: the text itself, or the environment and files, which have only texts. */
export type Resolved =
  | { kind: "as_written" }
  | { kind: "from_outside"; text: string }
  | { kind: "problem"; message: string };

export type Mark = "secret" | "file" | "url";

export interface FillContext {
  resolveText(text: string, mark: Mark | undefined): Resolved;
  /** Relative file names start here. */
  baseDir: string;
  /** Gets the name of each file that a setting names. */
  namesFile?(file: string, path: SettingPath): void;
  report(finding: Finding): void;
}

/**
 * The settings with references replaced and file names made absolute. References are replaced after YAML was read, so
 * that no value can change the structure, and a value from the environment becomes a number or a boolean only where the
 * schema wants one.
 */
export function fill(value: unknown, schema: Schema, path: SettingPath, context: FillContext): unknown {
  const inside = bare(schema);
  if (value === null) return isSection(inside) && inside !== schema ? undefined : null;
  if (typeof value === "string") return fillText(value, inside, path, context);
  if (Array.isArray(value)) {
    const items = value.map((item, index) => fill(item, child(inside, index), [...path, index], context));
    // An unset variable: most of the time the second secret of a rotation.
    const isUnset = (item: unknown, index: number) => item === "" && value[index] !== "";
    return markOf(bare(child(inside, 0))) === "secret"
      ? items.filter((item, index) => !isUnset(item, index))
      : items;
  }
  if (isRecord(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        key,
        fill(item, child(inside, key), [...path, key], context),
      ]),
    );
  }
  return value;
}

function fillText(text: string, schema: Schema, path: SettingPath, context: FillContext): unknown {
  const resolved = context.resolveText(text, markOf(schema));
  if (resolved.kind === "problem") {
    context.report({ path, message: resolved.message });
    return undefined;
  }
  const value = resolved.kind === "as_written" ? text : fromText(resolved.text, schema);
  if (typeof value === "string" && markOf(schema) === "file") return checkedFile(value, path, context);
  return value;
}

function fromText(text: string, schema: Schema): unknown {
  const wantsNumber =
    schema instanceof z.ZodNumber ||
    (schema instanceof z.ZodLiteral && [...schema.values].some((literal) => typeof literal === "number"));
  if (wantsNumber && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (schema instanceof z.ZodBoolean && (text === "true" || text === "false")) return text === "true";
  return text;
}

function checkedFile(name: string, path: SettingPath, context: FillContext): string {
  const file = resolve(context.baseDir, name);
  context.namesFile?.(file, path);
  try {
    accessSync(file, constants.R_OK);
  } catch {
    // A key pasted in place of its file name must not be shown.
    const shown = name.includes("\n") || name.length > 200 ? "" : ` (${file})`;
    context.report({ path, message: `names a file that cannot be read${shown}` });
  }
  return file;
}

/** Every text of the settings that the schema marks as secret, and the passwords in URLs. */
export function* secretsIn(
  value: unknown,
  schema: Schema,
  path: SettingPath = [],
): Generator<{ path: SettingPath; value: string }> {
  const inside = bare(schema);
  if (typeof value === "string") {
    if (markOf(inside) === "secret") yield { path, value };
    const password = markOf(inside) === "url" ? passwordIn(value) : "";
    if (password !== "") yield { path, value: password };
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries())
      yield* secretsIn(item, child(inside, index), [...path, index]);
  } else if (isRecord(value)) {
    for (const [key, item] of Object.entries(value))
      yield* secretsIn(item, child(inside, key), [...path, key]);
  }
}

function passwordIn(url: string): string {
  const password = URL.canParse(url) ? new URL(url).password : "";
  try {
    return decodeURIComponent(password);
  } catch {
    return password;
  }
}

/** Where a text stands, and what the schema knows of it. */
export interface TextPlace {
  path: SettingPath;
  mark: Mark | undefined;
  /** It stands in what belongs to an adapter, where only names show what is secret. */
  isOpaque: boolean;
}

/** A copy in which `replace` decides over each text. */
export function mapTexts(
  value: unknown,
  schema: Schema,
  replace: (text: string, place: TextPlace) => string,
  path: SettingPath = [],
): unknown {
  const inside = bare(schema);
  if (typeof value === "string")
    return replace(value, { path, mark: markOf(inside), isOpaque: inside instanceof z.ZodUnknown });
  if (Array.isArray(value))
    return value.map((item, index) => mapTexts(item, child(inside, index), replace, [...path, index]));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      mapTexts(item, child(inside, key), replace, [...path, key]),
    ]),
  );
}

/** A copy that may be shown: every secret is "(set)", and a URL shows no user and no query. */
export function hideSecrets(value: unknown, schema: Schema): unknown {
  return mapTexts(value, schema, (text, { path, mark, isOpaque }) => {
    if (mark === "url") return hideUrlSecrets(text);
    const isSecret = mark === "secret" || (isOpaque && isNamedSecret(text, path));
    return isSecret ? "(set)" : text;
  });
}

/** Options belong to adapters, so only their names show which of them are secret. */
export const SECRET_NAME = /secret|token|password|key|credential/i;
const HIDDEN_NAME = new RegExp(`${SECRET_NAME.source}|auth|cookie|pass|keep`, "i");
/** What stands in a request's headers and in a login is secret by its place, whatever its name, except for these. */
const SECRET_PLACE = /^(headers|login\.(headers|query|json|form))\./;
const PUBLIC_NAME = /^(accept(-.*)?|content-type|user-agent|grant_type|scope)$/i;

/** Below `sources.<name>.options` and `.pull`. What is made of placeholders of ours alone holds no secret. */
export function isNamedSecret(text: string, path: SettingPath): boolean {
  if (/^((Bearer|Basic|Token) +)?[^A-Za-z0-9]*$/i.test(text.replaceAll(/\{[A-Za-z.]+\}/g, ""))) return false;
  const [section, , part, ...inside] = path.map(String);
  if (inside.some((step) => HIDDEN_NAME.test(step))) return true;
  const isPlace = section === "sources" && part === "pull" && SECRET_PLACE.test(`${inside.join(".")}.`);
  return isPlace && !PUBLIC_NAME.test(inside.at(-1) ?? "");
}

export function hideUrlSecrets(text: string): string {
  if (!URL.canParse(text)) return "(set)";
  const url = new URL(text);
  const user = url.username || url.password ? "(set)@" : "";
  return `${url.protocol}//${user}${url.host}${url.pathname === "/" ? "" : url.pathname}${url.search ? "?(set)" : ""}`;
}

/** The settings that are possible at a path; empty where names are free. */
export function settingsAt(schema: Schema, path: SettingPath): string[] {
  const inside = bare(path.reduce<Schema>((at, step) => child(bare(at), step), schema));
  return inside instanceof z.ZodObject ? Object.keys(inside.shape) : [];
}

function markOf(schema: Schema): Mark | undefined {
  return marks.get(schema)?.is;
}

/** The schema without wrappers that make the setting optional or transform it. */
function bare(schema: Schema): Schema {
  let inside = schema;
  for (;;) {
    if (inside instanceof z.ZodPipe) inside = inside.in;
    else if (
      inside instanceof z.ZodOptional ||
      inside instanceof z.ZodDefault ||
      inside instanceof z.ZodPrefault
    ) {
      inside = inside.unwrap();
    } else return inside;
  }
}

function isSection(schema: Schema): boolean {
  return schema instanceof z.ZodObject || schema instanceof z.ZodRecord;
}

/** Expects a bare schema. */
function child(schema: Schema, step: string | number): Schema {
  if (schema instanceof z.ZodObject && Object.hasOwn(schema.shape, step)) return schema.shape[step];
  if (schema instanceof z.ZodRecord) return schema.valueType;
  if (schema instanceof z.ZodArray) return schema.element;
  return z.unknown();
}
