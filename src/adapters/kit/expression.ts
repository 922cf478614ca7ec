/** JMESPath expressions of a source's options, compiled once. */

import { compile, TreeInterpreter } from "@jmespath-community/jmespath";
import { z } from "zod";
import { messageOf } from "../../untrusted.ts";
import { isRecord, UNREADABLE } from "./fields.ts";

export type Find = (value: unknown) => unknown;

export const path = z.string().transform(compiled);

/** The same with its text, for what is told from the names in it. */
export const pathWithText = z
  .string()
  .transform((text, context) => ({ text, find: compiled(text, context) }));

/** Names and dots alone, as most are: evaluated without the library, ten times as fast; undefined where they lead nowhere. */
const PLAIN = /^[a-z_]\w*(?:\.[a-z_]\w*)*$/i;

/** Nothing, or names and dots alone: such a path says itself where it leads. */
export function isPlainPath(text: string): boolean {
  return text === "" || PLAIN.test(text);
}

function compiled(text: string, context: z.RefinementCtx): Find {
  if (PLAIN.test(text)) return along(text.split("."));
  try {
    if (NOT_OF_A_PATH.test(withoutLiterals(text))) {
      const message = "means (!a).b by !a.b, which is never true: write !(a.b)";
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    }
    const expression = compile(text);
    return (value) => search(expression, value);
  } catch (error) {
    const why = messageOf(error);
    context.addIssue({ code: "custom", message: `is not a JMESPath expression: ${why}` });
    return z.NEVER;
  }
}

/** In JMESPath `!` binds closer than the dot. */
const NOT_OF_A_PATH = /!\s*[a-z_]\w*\s*\./i;

function withoutLiterals(text: string): string {
  return text.replaceAll(/'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"/g, "x");
}

function along(names: readonly string[]): Find {
  return (value) => {
    let found = value;
    for (const name of names) {
      if (!isRecord(found) || !Object.hasOwn(found, name)) return undefined;
      found = found[name];
    }
    return found;
  };
}

function search(expression: ReturnType<typeof compile>, value: unknown): unknown {
  try {
    return TreeInterpreter.search(expression, value as Parameters<typeof TreeInterpreter.search>[1]);
  } catch {
    // A function got a type it does not accept; the value is unreadable.
    return UNREADABLE;
  }
}
