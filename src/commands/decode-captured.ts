/** Reads a file of `waypost capture`: its messages, and what the file says of each. */

import { readFile } from "node:fs/promises";
import { z } from "zod";

const line = z.looseObject({
  vendor: z.string(),
  outcome: z.string(),
  rejections: z.array(z.string()),
  leftOut: z.string().nullable(),
  bytes: z.number(),
});
const head = z.looseObject({ waypost: z.literal("capture") });

/** Each message as text of the form that the quarantine has; those without a body are only noted. */
export async function readCaptured(
  file: string,
  note: (line: string) => void,
): Promise<{ vendor: string | null; messages: string[] }> {
  const [first = "", ...texts] = (await readFile(file, "utf8"))
    .split("\n")
    .filter((text) => text.trim() !== "");
  if (!head.safeParse(jsonOf(first)).success) throw new Error(`${file} is no file of \`waypost capture\`.`);
  const messages: string[] = [];
  let vendor: string | null = null;
  for (const [index, text] of texts.entries()) {
    const { vendor: own, outcome, rejections, leftOut, bytes } = line.parse(jsonOf(text));
    vendor ??= own;
    const why = rejections.length === 0 ? "" : ` (${[...new Set(rejections)].join(", ")})`;
    note(
      `captured message ${index + 1}: ${outcome}${why}${leftOut === null ? "" : `; its ${bytes} bytes were left out: ${leftOut}`}`,
    );
    if (leftOut === null) messages.push(text);
  }
  return { vendor, messages };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
