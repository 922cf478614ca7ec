/** Walks settings along their schema: puts the environment's values in before it judges, and hides secrets afterwards. */

import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { type Finding, isMap, type SettingPath } from "./problems.ts";

/** What the schema says of a text beyond its shape. */
export const marks = z.registry<{ is: "secret" | "file" | "url" }>();

export type Environment = Readonly<Record<string, string | undefined>>;

type Schema = z.core.$ZodType;

/** Where a text's value comes from: as it stands, or from the environment, which knows only text. */
export type Resolved =
  | { kind: "as_written" }
  | { kind: "from_environment"; text: string }
  | { kind: "problem"; message: string };

export interface FillContext {
  resolveText(text: string): Resolved;
  /** Relative file names start here. */
  baseDir: string;
  report(finding: Finding): void;
}

/**
 * The settings with references replaced and file names made absolute. References are replaced after YAML was read, so
 * that no value can change the structure, and what came from the environment becomes a number or a boolean only where
 * the schema asks for one.
 */
export function fill(value: unknown, schema: Schema, path: SettingPath, context: FillContext): unknown {
  const inside = bare(schema);
  if (value === null) return isSection(inside) && inside !== schema ? undefined : null;
  if (typeof value === "string") return fillText(value, inside, path, context);
  if (Array.isArray(value)) {
    return value.map((item, index) => fill(item, child(inside, index), [...path, index], context));
  }
  if (isMap(value)) {
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
  const resolved = context.resolveText(text);
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
  try {
    accessSync(file, constants.R_OK);
  } catch {
    // A key pasted in place of its file name must not be shown.
    const shown = name.includes("\n") || name.length > 200 ? "" : ` (${file})`;
    context.report({ path, message: `names a file that cannot be read${shown}` });
  }
  return file;
}

/**
 * Replaces `${NAME}` and `${NAME:-default}`, once: what a variable holds is never looked into. As in a shell, the
 * default also stands in for an empty variable. `$${` stands for `${`.
 */
export function resolveReferences(text: string, env: Environment): Resolved {
  if (!text.includes("${")) return { kind: "as_written" };
  const problems: string[] = [];
  const filled = text.replaceAll(
    /\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?/g,
    (match, name?: string, fallback?: string) => {
      if (match === "$${") return "${";
      if (name === undefined) {
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it names the syntax
        problems.push("has a ${ that begins no ${NAME}; write $${ where ${ is meant");
        return "";
      }
      const value = env[name];
      if (fallback !== undefined) return value || fallback;
      if (value === undefined) problems.push(`needs the environment variable ${name}, which is not set`);
      return value ?? "";
    },
  );
  if (problems.length > 0) return { kind: "problem", message: [...new Set(problems)].join("; ") };
  return { kind: "from_environment", text: filled };
}

/** A copy fit to be shown: every secret is "(set)", and an address shows no user and no query. */
export function hideSecrets(value: unknown, schema: Schema): unknown {
  const inside = bare(schema);
  if (typeof value === "string") {
    const mark = markOf(inside);
    if (mark === "secret") return "(set)";
    return mark === "url" ? hideUrlSecrets(value) : value;
  }
  if (Array.isArray(value)) return value.map((item, index) => hideSecrets(item, child(inside, index)));
  if (isMap(value)) {
    const isOpaque = !isSection(inside);
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        key,
        isOpaque && typeof item === "string" && SECRET_NAME.test(key)
          ? "(set)"
          : hideSecrets(item, child(inside, key)),
      ]),
    );
  }
  return value;
}

/** Options belong to adapters, so only their names can tell what must not be shown. */
const SECRET_NAME = /secret|token|password|key|credential/i;

export function hideUrlSecrets(text: string): string {
  if (!URL.canParse(text)) return "(set)";
  const url = new URL(text);
  const user = url.username || url.password ? "(set)@" : "";
  return `${url.protocol}//${user}${url.host}${url.pathname === "/" ? "" : url.pathname}${url.search ? "?(set)" : ""}`;
}

/** The settings that can stand at a place; empty where names are free. */
export function settingsAt(schema: Schema, path: SettingPath): string[] {
  const inside = bare(path.reduce<Schema>((at, step) => child(bare(at), step), schema));
  return inside instanceof z.ZodObject ? Object.keys(inside.shape) : [];
}

function markOf(schema: Schema): "secret" | "file" | "url" | undefined {
  return marks.get(schema)?.is;
}

/** The schema without what only says that the setting may be left out, or what is made of it afterwards. */
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
