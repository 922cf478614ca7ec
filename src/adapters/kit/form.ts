/** Distinguishes and unnests JSON and forms, for vendors whose customers choose what is sent. */

import type { Message } from "./adapter.ts";

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
