/** The one way to standard output and standard error: whatever a line quotes, it cannot steer the terminal that shows it. */

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

/** An answer to what was asked. */
export function say(line: string): void {
  process.stdout.write(`${visible(line)}\n`);
}

/** What is no answer: problems, notes, progress. */
export function complain(line: string): void {
  process.stderr.write(`${visible(line)}\n`);
}

/** A text of several lines, whose line ends are our own. */
export function sayLines(text: string): void {
  for (const line of text.split("\n")) say(line);
}

export function complainLines(text: string): void {
  for (const line of text.split("\n")) complain(line);
}

/** For programs: one line of JSON. */
export function sayJson(value: unknown): void {
  process.stdout.write(`${visibleJson(JSON.stringify(value))}\n`);
}
