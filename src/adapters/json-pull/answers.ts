/** What an answer of a configured vendor means: its status, and what the vendor writes into it, errors with 200 included. */

import { z } from "zod";
import { parseJson } from "../kit/bounds.ts";
import { type Find, path } from "../kit/expression.ts";
import { isRecord, number } from "../kit/fields.ts";
import { type PullAnswer, type PullResult, troubleOf } from "../kit/pull.ts";

const status = z.int().min(200).max(599);
const condition = z.union([status, path], "must be a status, or a JMESPath expression");
const conditions = z.union([
  condition.transform((one) => [one]),
  z.array(condition).min(1, "must name at least one"),
]);

export const answersShape = z.strictObject({
  /** The token or session is used up: log in again. Tried in this order, each on the JSON or, where it is none, on the text. */
  expired: conditions.optional(),
  throttled: conditions.optional(),
  /** Nothing is there at all, which is no error. An expression counts with status 200 alone: gateways answer with no text, too. */
  empty: conditions.optional(),
  /** Does not pass until a person changes something. */
  refused: conditions.optional(),
  /** Passes by itself. */
  unavailable: conditions.optional(),
  /** Where a throttled answer says how many seconds to wait, if not in `Retry-After`. */
  retryAfter: path.optional(),
  /** Where the vendor's code for an error is, shown to operators. */
  code: path.optional(),
});
export type Answers = z.output<typeof answersShape>;

type Conditions = NonNullable<Answers["expired"]>;

export type Meaning =
  | { kind: "content"; content: unknown }
  | { kind: "empty" }
  | { kind: "expired"; detail: string }
  | Extract<PullResult<never>, { kind: "throttled" | "unavailable" | "refused" }>;

/** JSON, or one JSON value a line; a text where it is neither. */
export function contentOf(text: string, format: "json" | "lines", maxReadings: number): unknown {
  if (format === "json") return jsonOrText(text, maxReadings);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length > maxReadings) return text;
  return lines.map((line) => jsonOrText(line, maxReadings));
}

function jsonOrText(text: string, maxReadings: number): unknown {
  const parsed = parseJson(text, maxReadings);
  return "value" in parsed ? parsed.value : text;
}

export function meaningOf(answers: Answers, answer: PullAnswer, content: unknown): Meaning {
  const holds = (which: Conditions = []) =>
    which.some((one) => (typeof one === "number" ? one === answer.status : isTrue(one(content))));
  const detail = codeIn(answers, content) || `HTTP ${answer.status}`;
  if (holds(answers.expired)) return { kind: "expired", detail };
  if (holds(answers.throttled) || answer.status === 429) {
    const seconds = number.parse(answers.retryAfter?.(content));
    return { kind: "throttled", ...(seconds !== null && seconds > 0 && { waitMs: seconds * 1000 }) };
  }
  const trouble = troubleOf(answer.status);
  const canBeEmpty = trouble === null || answers.empty?.includes(answer.status);
  if (canBeEmpty && holds(answers.empty)) return { kind: "empty" };
  if (holds(answers.refused)) return { kind: "refused", reason: "bad_request", detail };
  if (holds(answers.unavailable)) return { kind: "unavailable", reason: "vendor_error", detail };
  if (trouble?.kind === "refused" && trouble.reason === "unauthorized") return { kind: "expired", detail };
  if (trouble?.kind === "throttled" || trouble?.kind === "unavailable" || trouble?.kind === "refused")
    return trouble;
  return { kind: "content", content };
}

/** As JMESPath has it, but a condition that fails on this answer does not hold: the answer is of another shape. */
function isTrue(found: unknown): boolean {
  if (typeof found === "symbol" || found === null || found === undefined) return false;
  if (Array.isArray(found)) return found.length > 0;
  return isRecord(found) ? Object.keys(found).length > 0 : found !== false && found !== "";
}

/** A short code and never a sentence: it is shown, and may quote what we sent. */
function codeIn({ code }: Answers, content: unknown): string {
  const found = code?.(content);
  if (typeof found === "number") return String(found);
  return typeof found === "string" && /^[\w.:-]{1,40}$/.test(found) ? found : "";
}

/** The number at a path of an answer; null where there is none that can be read. */
export function numberAt(find: Find | undefined, content: unknown): number | null {
  const found = number.parse(find?.(content));
  return found === null || Number.isNaN(found) ? null : found;
}
