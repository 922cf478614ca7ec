/** Makes text of the bytes of a message, and a value of the text; says what the text is where it is not what is read. */

import type { Format, Message } from "./adapter.ts";
import { type Parsed, parseForm, parseJson, parseLines } from "./bounds.ts";
import { butWhat, kindOf } from "./kinds.ts";

const NUL = 0x00;
const SPACES: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * Fatal, because text repaired with replacement characters could be another device's id. One of each for all messages:
 * making one costs more than decoding a short body.
 */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const UTF16 = {
  le: new TextDecoder("utf-16le", { fatal: true }),
  be: new TextDecoder("utf-16be", { fatal: true }),
};

/**
 * The body in UTF-8, without byte order marks, without white space around it, and without what stands behind a NUL: that
 * is how firmware in C ends a text, and no text has one within it. A copy only where it was UTF-16.
 */
export function textOf(sent: Uint8Array): Uint8Array {
  const body = fromUtf16(sent);
  let start = 0;
  for (;;) {
    if (body[start] === 0xef && body[start + 1] === 0xbb && body[start + 2] === 0xbf) start += 3;
    else if (SPACES.has(body[start])) start += 1;
    else break;
  }
  const nul = body.indexOf(NUL, start);
  let end = nul === -1 ? body.length : nul;
  while (end > start && SPACES.has(body[end - 1])) end -= 1;
  return start === 0 && end === body.length ? body : body.subarray(start, end);
}

/** Known by its mark, or by every other byte of the first two characters (RFC 4627 section 3). */
function fromUtf16(body: Uint8Array): Uint8Array {
  const [first = NUL, second = NUL, third = NUL, fourth = NUL] = body;
  const isLittle =
    (first === 0xff && second === 0xfe) || (first && third && body.length > 3 && second + fourth === NUL);
  const isBig =
    (first === 0xfe && second === 0xff) || (second && fourth && body.length > 3 && first + third === NUL);
  if (body.length % 2 === 1 || !(isLittle || isBig)) return body;
  try {
    return Buffer.from((isLittle ? UTF16.le : UTF16.be).decode(body));
  } catch {
    return body;
  }
}

/** The value that `ignore` and `payload` see. Everything but `bytes` has been through `textOf`. */
export function parseBody(format: Format, message: Message, maxReadings: number): Parsed {
  const { body, method, query, topic } = message;
  if (format === "bytes") return { value: body };
  if (method === "GET") return { value: { ...query } };
  let text: string;
  try {
    text = UTF8.decode(body);
  } catch {
    return { problem: `message: not UTF-8 text${binary(body)}` };
  }
  if (format === "text") return parseLines(text, maxReadings);
  if (format === "form") return parseForm(text, maxReadings);
  if (text !== "") return parseJson(text, maxReadings);
  // A broker passes on the empty message by which somebody takes back a retained one.
  const advice = topic === undefined ? "" : "; it is how a retained message is taken back";
  return { problem: `message: is empty, where JSON should be${advice}` };
}

/** What a value is that the adapter's payload refused, where that can be told. */
export function misread(format: Format, raw: unknown): string[] {
  if (typeof raw !== "string") return [];
  if (format === "json") {
    const kind = kindOf(raw.trim());
    return kind?.name === "JSON" ? ["message: is JSON within a text, so it was encoded twice"] : [];
  }
  return format === "text" && kindOf(raw) ? [`message: not the text that is read here${butWhat(raw)}`] : [];
}

const PACKED: readonly (readonly [name: string, ...start: number[]])[] = [
  ["gzip", 0x1f, 0x8b],
  ["zlib", 0x78, 0x01],
  ["zlib", 0x78, 0x9c],
  ["zlib", 0x78, 0xda],
  ["zstd", 0x28, 0xb5, 0x2f, 0xfd],
  ["a ZIP archive", 0x50, 0x4b, 0x03, 0x04],
];

function binary(body: Uint8Array): string {
  const packed = PACKED.find(([, ...start]) => start.every((byte, at) => body[at] === byte));
  if (packed) return `: it is compressed (${packed[0]}); let the sender send it as it is`;
  const start = Buffer.from(body.subarray(0, 4)).toString("hex");
  return `: binary, or another character set (it begins with ${start}); let the sender send UTF-8`;
}
