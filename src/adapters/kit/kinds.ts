/** Names what a text is by how it begins, for the problem of a message that was read as something else. */

interface Kind {
  name: string;
  /** What to do about it, unless it is what the adapter reads. */
  doNext: string;
}

const FORM = "a form (name=value)";
const POST_JSON = "let the sender post JSON";

/** The first that fits. */
const KINDS: readonly (readonly [RegExp, Kind])[] = [
  [
    /^<(?:!doctype html|html|head|body)\b/i,
    { name: "a web page (HTML)", doNext: "something answered for the sender" },
  ],
  [/^<[?!a-z]/i, { name: "XML", doNext: `${POST_JSON}, or put a converter before it` }],
  [/^[{[]/, { name: "JSON", doNext: "see whether the source has the right vendor" }],
  [
    /^--\S{1,70}\r?\nContent-/i,
    {
      name: "a form in parts (multipart/form-data)",
      doNext: "let the sender post JSON, or a form as application/x-www-form-urlencoded",
    },
  ],
  [/^[$!][A-Z]{4,6},/, { name: "an NMEA sentence", doNext: "the vendor nmea reads it" }],
  [
    /^%(?:7B|5B)/i,
    { name: "JSON in percent signs (URL-encoded)", doNext: "let the sender post it as it is" },
  ],
  [/^(?:eyJ|W3si)[\w+/-]*={0,2}$/, { name: "JSON in base64", doNext: "let the sender post it as it is" }],
  [
    /^[\w.%[\]-]+=[^&]*(?:&|$)/,
    { name: FORM, doNext: `${POST_JSON}, or see whether the source has the right vendor` },
  ],
  [/^[^,\n]*,(?:[^,\n]*,){2}/, { name: "text between commas (CSV)", doNext: POST_JSON }],
];

/** Of a text without marks and white space before it. */
export function kindOf(text: string): Kind | null {
  return KINDS.find(([begins]) => begins.test(text))?.[1] ?? null;
}

/** To follow "not …": `, but XML: let the sender post JSON`. */
export function butWhat(text: string): string {
  const kind = kindOf(text);
  return kind === null ? "" : `, but ${kind.name}: ${kind.doNext}`;
}

/** A form has names and values, and none that look like another kind of text. Without either it is an empty one. */
export function isForm(text: string): boolean {
  const kind = kindOf(text);
  return kind === null ? text === "" || text.includes("=") : kind.name === FORM;
}

/** To follow "not JSON", with the parser's own words where it does begin as JSON. */
export function notJson(text: string, parserSays: string): string {
  const kind = kindOf(text);
  if (kind !== null && kind.name !== "JSON") return butWhat(text);
  if (/end of JSON|Unterminated/.test(parserSays)) return ` (it is cut off after ${text.length} characters)`;
  if (/after JSON/.test(parserSays)) return ` (${parserSays}; send one value a message, or a list)`;
  return ` (${parserSays})`;
}
