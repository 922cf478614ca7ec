/** Reads the configuration file and remembers the line of each setting. */

import { readFileSync } from "node:fs";
import { type ErrorCode, isNode, LineCounter, parseDocument } from "yaml";
import { errorCode } from "../untrusted.ts";
import type { ConfigProblem, SettingPath } from "./problems.ts";

export type SettingsFile =
  | { kind: "read"; raw: unknown; lineOf(path: SettingPath): number | undefined }
  | { kind: "unreadable"; problems: ConfigProblem[] };

export function readSettingsFile(file: string): SettingsFile {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = errorCode(error) ?? "unreadable";
    return { kind: "unreadable", problems: [{ path: file, message: `cannot be read (${code})` }] };
  }
  const lines = new LineCounter();
  // Pretty errors quote the line they are about, which may hold a secret. With merge keys (`<<`) the operator of a
  // hundred destinations need not repeat what they share.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    return {
      kind: "unreadable",
      problems: faults.map(({ code, pos: [start] }) => {
        const { line, col } = lines.linePos(start);
        return { path: file, message: `column ${col}: ${FAULT_WORDS[code] ?? "not valid YAML"}`, line };
      }),
    };
  }

  function lineOf(path: SettingPath): number | undefined {
    for (let length = path.length; length > 0; length--) {
      const node = document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
    }
    return undefined;
  }

  try {
    return { kind: "read", raw: document.toJS(), lineOf };
  } catch {
    // An alias without its anchor, or aliases of aliases beyond any sensible number.
    return {
      kind: "unreadable",
      problems: [{ path: file, message: "has an alias (*) that cannot be followed" }],
    };
  }
}

/** In our own words: the parser's may quote the text they are about. */
const FAULT_WORDS: Partial<Record<ErrorCode, string>> = {
  BAD_ALIAS: "a value that begins with * or & must be in quotes",
  BAD_INDENT: "wrong indentation",
  BAD_SCALAR_START: "a value that begins with this character must be in quotes",
  BLOCK_AS_IMPLICIT_KEY: "a second colon with a space; a value that holds one must be in quotes",
  DUPLICATE_KEY: "this name stands here for the second time",
  MISSING_CHAR: "something is missing: a closing quote or bracket, or the space after a colon",
  MULTILINE_IMPLICIT_KEY: "a name must stand on one line and end with a colon",
  MULTIPLE_DOCS: "a second document begins; the file may hold one",
  TAB_AS_INDENT: "a tab where YAML wants spaces",
  TAG_RESOLVE_FAILED: "a value that begins with ! must be in quotes",
  UNEXPECTED_TOKEN: "text that does not belong here",
};
