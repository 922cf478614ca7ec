/** What to enter at the vendor of a source, as the lines of a comment. */

import type { Instructions } from "./instructions.ts";

export function notesOf({ vendor, address, headers, topics, steps, docs }: Instructions): string[] {
  return [
    address === null ? vendor : `${vendor}: ${address}`,
    ...headers.map(({ name, value }) => `  ${name}: ${value}`),
    ...(topics.length === 0 ? [] : [`  Topics that are read: ${topics.join(", ")}`]),
    ...steps.map((step) => `  - ${step}`),
    `  ${docs}`,
  ];
}
