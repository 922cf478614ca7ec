/** Texts of a configured request with placeholders in braces, checked when the configuration is read, filled at each request. */

import { z } from "zod";
import { isRecord } from "../kit/fields.ts";

/** What a placeholder may stand for: nothing (left out), a text or number, or a list of ids. */
export type Value = string | number | readonly Id[] | undefined;
/** As the vendor wrote it: one with numeric ids refuses texts in JSON, another refuses numbers. */
export type Id = string | number;
export type Values = Readonly<Record<string, Value>>;

/** Times come in four spellings: `{since}` is ISO 8601 in UTC. */
const TIMES = ["since", "until", "now"] as const;
const SPELLINGS = {
  "": (ms: number) => new Date(ms).toISOString(),
  ".seconds": (ms: number) => Math.floor(ms / 1000),
  ".millis": (ms: number) => ms,
  ".date": (ms: number) => new Date(ms).toISOString().slice(0, 10),
  ".plain": (ms: number) => new Date(ms).toISOString().slice(0, 19).replace("T", " "),
} as const;

const NAMES: ReadonlySet<string> = new Set([
  "secret",
  "username",
  "token",
  "page",
  "offset",
  "cursor",
  "ids",
  "id",
  ...TIMES.flatMap((time) => Object.keys(SPELLINGS).map((spelling) => `${time}${spelling}`)),
]);
const KEPT = /^kept\.\w{1,32}$/;
const PLACEHOLDER = /\{([a-z][\w.]*)\}/gi;

/** A time as the placeholders have it: `{since}`, `{since.seconds}`, … */
export function timeValues(name: (typeof TIMES)[number], ms: number): Values {
  return Object.fromEntries(Object.entries(SPELLINGS).map(([end, spell]) => [`${name}${end}`, spell(ms)]));
}

export const template = z.string().superRefine((text, context) => {
  for (const name of namesIn(text)) {
    if (NAMES.has(name) || KEPT.test(name)) continue;
    const known = [...NAMES].filter((each) => !each.includes(".")).join(", ");
    context.addIssue({
      code: "custom",
      message: `names {${name}}, which is no placeholder; there are ${known}, kept.<name>, and times with .seconds, .millis, .date, .plain`,
    });
  }
});

/** A value of a query or form, which is text in the end. */
export const scalar = z.union([template, z.number(), z.boolean()], "must be a text, a number, true or false");

/** Any JSON; every text in it is a template. */
export const tree: z.ZodType<unknown> = z.lazy(() =>
  z.union(
    [template, z.number(), z.boolean(), z.null(), z.array(tree), z.record(z.string(), tree)],
    "must be JSON whose texts are right",
  ),
);

/** Every placeholder in a template or a tree of them. */
export function namesIn(given: unknown): string[] {
  if (typeof given === "string") return [...given.matchAll(PLACEHOLDER)].map(([, name = ""]) => name);
  if (Array.isArray(given)) return given.flatMap(namesIn);
  return isRecord(given) ? Object.values(given).flatMap(namesIn) : [];
}

/** Values come from the vendor as well: none may lead out of its place in the request. */
export function inQuery(part: string): string {
  return encodeURIComponent(part.replaceAll(/\p{Surrogate}/gu, "\ufffd"));
}

/** A part of dots alone would name another address, and `%2E` means the same to every reader of addresses. */
export function inPath(part: string): string {
  return /^\.{1,2}$/.test(part) ? part.replaceAll(".", "%252E") : inQuery(part);
}

/** A line break would begin another header. */
export function inHeader(part: string): string {
  return part.replaceAll(/[^\x20-\x7e]+/g, inQuery);
}

/** The text; null where it is one placeholder alone that has no value, so that its parameter is left out. */
export function filled(
  text: string,
  values: Values,
  encode: (part: string) => string = plain,
): string | null {
  const alone = only(text);
  if (alone !== null && values[alone] === undefined) return null;
  return text.replaceAll(PLACEHOLDER, (_, name: string) => encode(textOf(values[name])));
}

/** The tree; a placeholder that is a whole text becomes its value, a list or number included; without one it is left out. */
export function filledTree(given: unknown, values: Values): unknown {
  if (typeof given === "string") {
    const alone = only(given);
    return alone === null ? (filled(given, values) ?? undefined) : values[alone];
  }
  if (Array.isArray(given)) {
    return given.map((item) => filledTree(item, values)).filter((item) => item !== undefined);
  }
  if (!isRecord(given)) return given;
  return Object.fromEntries(
    Object.entries(given)
      .map(([key, item]) => [key, filledTree(item, values)] as const)
      .filter(([, item]) => item !== undefined),
  );
}

function only(text: string): string | null {
  const [, name] = /^\{([a-z][\w.]*)\}$/i.exec(text) ?? [];
  return name ?? null;
}

function textOf(value: Value): string {
  return typeof value === "object" ? value.join(",") : String(value ?? "");
}

function plain(part: string): string {
  return part;
}
