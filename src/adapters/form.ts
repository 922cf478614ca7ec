/** Tells JSON from a form by its first character, for vendors whose customers choose what is sent. */

import type { Message } from "./adapter.ts";

/** By content, since the content type is often left as the sender's library had it. */
export function jsonOrForm({ body }: Message): "json" | "form" {
  return /^\s*[{["]/.test(Buffer.from(body.subarray(0, 64)).toString("latin1")) ? "json" : "form";
}
