/** The json adapter's options as a whole: one set of paths, or several for messages of different topics and shapes. */

import { z } from "zod";
import type { DecodeContext } from "../kit/adapter.ts";
import { each } from "../kit/each.ts";
import { path } from "../kit/expression.ts";
import { isRecord } from "../kit/fields.ts";
import { levelsMatcher } from "../kit/topic.ts";
import { FOUND_BY_NAME } from "./path-options.ts";
import { paths } from "./paths.ts";

const filter = z
  .string()
  .min(1)
  .transform((text) => ({ text, matches: levelsMatcher(text) }));

/** The condition on a message for a set of paths to be used. */
const condition = z.object({
  /** MQTT topic filters. */
  topic: z
    .union(
      [filter.transform((one) => [one]), z.array(filter).min(1)],
      "must be a topic filter or a list of them",
    )
    .optional(),
  /** Holds for the message. */
  when: path.optional(),
});

type Variant = z.output<typeof condition> & z.output<typeof paths>;

/** `variants` override the options beside them; the first that matches a message is used, and without one it is ignored. */
export const jsonOptions = z.unknown().transform((given, context) => {
  if (!isRecord(given)) {
    context.addIssue({ code: "invalid_type", expected: "object", input: given });
    return z.NEVER;
  }
  const { variants = [{}], jsonField = null, ...base } = given;
  if (jsonField !== null && (typeof jsonField !== "string" || jsonField === "")) {
    context.addIssue({ code: "custom", path: ["jsonField"], message: "must be the name of a field" });
    return z.NEVER;
  }
  if (!Array.isArray(variants) || variants.length === 0) {
    context.addIssue({ code: "custom", path: ["variants"], message: "must be a list of options" });
    return z.NEVER;
  }
  const isOne = given.variants === undefined;
  const parsed = variants.flatMap((over: unknown, index): Variant[] => {
    const at = isOne ? [] : ["variants", index];
    const fields = isRecord(over) ? withoutNulls({ ...base, ...over }) : { over };
    const { topic, when, ...rest }: Record<string, unknown> = fields;
    const whose = condition.safeParse({ topic, when }, { reportInput: true });
    const what = paths.safeParse(rest, { reportInput: true });
    for (const { message, ...issue } of [...(whose.error?.issues ?? []), ...(what.error?.issues ?? [])]) {
      // Messages of our own stay; where the schema has none, the configuration check has better ones.
      const words = issue.code === "custom" ? { message } : {};
      context.addIssue({ ...issue, ...words, path: [...at, ...issue.path] });
    }
    return whose.success && what.success ? [{ ...whose.data, ...what.data }] : [];
  });
  return { ...optionsOf(parsed), jsonField };
});

/** Null removes an option of a preset or beside the variants; one that would then be found by name is not read at all. */
export function withoutNulls(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => value !== null || FOUND_BY_NAME.has(name)),
  );
}

function optionsOf(variants: readonly Variant[]) {
  const fitting = (raw: unknown, { topic }: DecodeContext) =>
    variants.find(
      (variant) =>
        (variant.topic?.some(({ matches }) => matches(topic)) ?? true) &&
        (variant.when === undefined || isTruthy(variant.when(raw))),
    );
  return {
    topics: variants.every(({ topic }) => topic)
      ? variants.flatMap(({ topic = [] }) => topic.map(({ text }) => text))
      : null,
    readsSpeed: variants.some(({ readsSpeed }) => readsSpeed),
    idOutsideBody: variants.map(({ idOutsideBody }) => idOutsideBody).find((place) => place !== null) ?? null,
    ignored: (raw: unknown, context: DecodeContext): string | null => {
      const variant = fitting(raw, context);
      if (!variant) return "other-message";
      return variant.ignores(raw) ? "ignore-when" : null;
    },
    /** Null where the message decides among several. */
    rows: variants.length === 1 ? (variants[0]?.rows ?? null) : null,
    decode: (raw: unknown, context: DecodeContext) =>
      fitting(raw, context)?.decode(raw, context) ?? each([], () => []),
  };
}

/** As JMESPath has it: neither null nor false nor empty. */
function isTruthy(found: unknown): boolean {
  if (Array.isArray(found)) return found.length > 0;
  if (isRecord(found)) return Object.keys(found).length > 0;
  return (
    found !== null && found !== undefined && found !== false && found !== "" && typeof found !== "symbol"
  );
}
