/** Bounds the work that one message can cause, before its text is parsed: bytes alone do not bound it. */

import { messageOf } from "../../untrusted.ts";
import { butWhat, isForm, notJson } from "./kinds.ts";

/** The default. Vendors' largest pages have 5,000 (Geotab); others send some hundred. */
export const MAX_READINGS = 5000;
/** A reading is written with lists of its own: coordinates, fields, signals. */
const MAX_ELEMENTS_PER_READING = 10;
/** Vendors nest to six or seven. */
const MAX_DEPTH = 100;

export type Parsed = { value: unknown } | { problem: string };

/** JSON, if it holds no more than so many readings can need. */
export function parseJson(text: string, maxReadings: number): Parsed {
  const problem = jsonProblem(text, maxReadings);
  if (problem !== null) return { problem };
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { problem: `message: not JSON${notJson(text, messageOf(error))}` };
  }
}

/** Parameters of a form; the last of a repeated name wins. */
export function parseForm(text: string, maxReadings: number): Parsed {
  if (!isForm(text)) return { problem: `message: not a form${butWhat(text)}` };
  if (holdsMore(text, "&", maxReadings)) return { problem: tooMany("parameters", maxReadings) };
  return { value: Object.fromEntries(new URLSearchParams(text)) };
}

/** Lines of a format that has one reading a line. */
export function parseLines(text: string, maxReadings: number): Parsed {
  if (holdsMore(text, "\n", maxReadings)) return { problem: tooMany("lines", maxReadings) };
  return { value: text };
}

export function tooMany(what: string, maxReadings: number): string {
  const most = maxReadings.toLocaleString("en-US");
  return `message: more than ${most} ${what}; send fewer at a time, or raise limits.maxReadingsPerMessage`;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const [LIST, LIST_END] = [0x5b, 0x5d];
const [OBJECT, OBJECT_END] = [0x7b, 0x7d];

/** Counts entries by their commas: the parser refuses what is not JSON. */
function jsonProblem(text: string, maxReadings: number): string | null {
  // The shortest entry takes two characters, so usual small messages need no count.
  if (text.length < 2 * maxReadings) return null;
  const entries = new Uint32Array(MAX_DEPTH + 1);
  const isList = new Uint8Array(MAX_DEPTH + 1);
  let depth = 0;
  let elements = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case LIST:
      case OBJECT:
        depth += 1;
        if (depth > MAX_DEPTH) return `message: nested deeper than ${MAX_DEPTH} levels`;
        entries[depth] = 1;
        isList[depth] = text.charCodeAt(at) === LIST ? 1 : 0;
        elements += isList[depth] ?? 0;
        break;
      case LIST_END:
      case OBJECT_END:
        if (depth > 0) depth -= 1;
        break;
      case COMMA: {
        const count = (entries[depth] ?? 0) + 1;
        entries[depth] = count;
        elements += isList[depth] ?? 0;
        if (count > maxReadings) return tooMany(isList[depth] ? "readings" : "names", maxReadings);
        if (elements > maxReadings * MAX_ELEMENTS_PER_READING) return tooMany("readings", maxReadings);
        break;
      }
    }
  }
  return null;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH) at += 1;
  }
  return text.length;
}

function holdsMore(text: string, separator: string, most: number): boolean {
  let at = -1;
  for (let count = 0; count < most; count++) {
    at = text.indexOf(separator, at + 1);
    if (at === -1) return false;
  }
  return text.slice(at + 1).trim() !== "";
}
