/** Handles what others wrote: values of unknown shape, errors of unknown kind, and text that is shown on a terminal. */

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Anything can be thrown, not only an Error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The system's or a library's word for what went wrong (`ENOENT`), where the error carries one. */
export function errorCode(error: unknown): string | null {
  return error instanceof Error && "code" in error ? String(error.code) : null;
}

/** Controls, escapes and line ends; bidi marks and all other format characters; halves of characters. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** Of these, those that JSON leaves as they are inside its strings. They stand nowhere else in JSON. */
const HIDDEN_IN_JSON = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/u;
const ALL_HIDDEN_IN_JSON = new RegExp(HIDDEN_IN_JSON, "gu");

const SHORT = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/** One line, however many the text has. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (character) => {
    const short = SHORT.get(character);
    if (short !== undefined) return short;
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    return code < 0x100 ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`;
  });
}

/** The same JSON, with what is hidden in its strings escaped. */
export function visibleJson(json: string): string {
  // Nearly every line of a log has nothing of the kind.
  if (!HIDDEN_IN_JSON.test(json)) return json;
  return json.replace(ALL_HIDDEN_IN_JSON, (character) =>
    Array.from({ length: character.length }, (_, i) => {
      const hex = character.charCodeAt(i).toString(16);
      return `\\u${hex.padStart(4, "0")}`;
    }).join(""),
  );
}
