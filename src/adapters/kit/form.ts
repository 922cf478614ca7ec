/** Distinguishes and unnests JSON and forms, for vendors whose customers choose what is sent. */

import type { Message } from "./adapter.ts";
import { parseJson } from "./bounds.ts";
import type { Problems } from "./each.ts";
import { isRecord } from "./fields.ts";

/** By content, since the content type is often the default of the sender's library. */
export function jsonOrForm({ body }: Message): "json" | "form" {
  return /^\s*[{["]/.test(Buffer.from(body.subarray(0, 64)).toString("latin1")) ? "json" : "form";
}

/** One position in JSON has some hundred characters. */
const MAX_UNQUOTED_CHARS = 16_384;

/** JSON within a string, as templates and queries carry objects; anything else as it is. */
export function unquoted(value: unknown): unknown {
  if (typeof value !== "string" || value.length > MAX_UNQUOTED_CHARS) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** A form or an object with the JSON that one of its fields holds as text in the place of that text. */
export function withJsonField(
  raw: unknown,
  field: string,
  maxReadings: number,
): { value: unknown } | Problems {
  if (!isRecord(raw) || !Object.hasOwn(raw, field)) return { value: raw };
  const text = raw[field];
  if (typeof text !== "string") return { value: raw };
  const inside = parseJson(text, maxReadings);
  if ("problem" in inside) return { problems: [inside.problem.replace("message", field)] };
  return { value: { ...raw, [field]: inside.value } };
}
