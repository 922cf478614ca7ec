/** The request by which a configured vendor gives a token, and what its answer holds: the token, its end, and what to keep. */

import { z } from "zod";
import { type Find, path } from "../kit/expression.ts";
import type { PullAnswer, PullResult } from "../kit/pull.ts";
import { type Answers, answersShape, contentOf, meaningOf, numberAt } from "./answers.ts";
import { requestShape } from "./request.ts";

const keep = z.strictObject({
  /** Where the answer has it. */
  at: path,
  /**
   * What to use before anything was kept: it is then needed for the login itself, and the newest is stored, sealed, before
   * it is used. Without it the value only lives as long as the token.
   */
  first: z.string().min(1).optional(),
});

export const login = z.strictObject({
  ...requestShape,
  /** Where the answer has the token; left out, the answer is the token. */
  token: path.optional(),
  /** Where the answer has how many seconds the token lives. */
  expiresIn: path.optional(),
  /** Where the answer has the time at which it ends, as seconds or milliseconds since 1970. */
  expiresAt: path.optional(),
  keep: z.record(z.string().regex(/^\w{1,32}$/, "must be a name"), keep).optional(),
  answers: answersShape.optional(),
});
export type Login = z.output<typeof login>;

export interface LoggedIn {
  token: string;
  /** UTC milliseconds since 1970; null where the vendor does not say. */
  endsAt: number | null;
  /** For `{kept.…}`, beside what is stored. */
  kept: Readonly<Record<string, string>>;
}

/** A token is renewed so long before it ends, or for a short-lived one after four fifths of its life. */
const AHEAD_MS = 60_000;

const SECONDS_UP_TO = 1e11;
/** Longer than any token seen; control characters would end a header. */
const TOKEN = /^[\x21-\x7e]{1,8192}$/;

export function loginResult(
  settings: Login,
  answer: PullAnswer,
  now: number,
  maxReadings: number,
):
  | { login: LoggedIn; stored: Record<string, string> }
  | Exclude<PullResult<never>, { kind: "page" | "session" }> {
  const answers: Answers = settings.answers ?? {};
  const content = contentOf(answer.text, "json", maxReadings);
  const meaning = meaningOf(answers, answer, content);
  if (meaning.kind === "expired") return { kind: "refused", reason: "unauthorized", detail: meaning.detail };
  if (meaning.kind === "empty") return { kind: "unavailable", reason: "unreadable_answer", detail: "empty" };
  if (meaning.kind !== "content") return meaning;
  const token = settings.token ? textAt(settings.token, content) : bareText(content);
  if (token === null || !TOKEN.test(token)) {
    // A login that was answered without a token has failed, whatever its status says.
    return { kind: "refused", reason: "unauthorized", detail: "no_token" };
  }
  const all = Object.entries(settings.keep ?? {}).flatMap(([name, { at, first }]) => {
    const value = textAt(at, content);
    return value === null ? [] : [{ name, value, isStored: first !== undefined }];
  });
  return {
    login: {
      token,
      endsAt: endOf(settings, content, now),
      kept: valuesOf(all.filter(({ isStored }) => !isStored)),
    },
    stored: valuesOf(all.filter(({ isStored }) => isStored)),
  };
}

function valuesOf(kept: readonly { name: string; value: string }[]): Record<string, string> {
  return Object.fromEntries(kept.map(({ name, value }) => [name, value]));
}

function endOf({ expiresIn, expiresAt }: Login, content: unknown, now: number): number | null {
  const lifeMs = expiresIn ? toMillis(numberAt(expiresIn, content), 1000) : null;
  if (lifeMs !== null) return now + lifeMs - Math.min(AHEAD_MS, lifeMs / 5);
  const at = expiresAt ? numberAt(expiresAt, content) : null;
  const end = at === null ? null : toMillis(at, at < SECONDS_UP_TO ? 1000 : 1);
  // Over as soon as it was given: one of the two clocks is wrong, and the vendor tells us when it is really over.
  return end === null || end <= now ? null : end - Math.min(AHEAD_MS, (end - now) / 5);
}

function toMillis(value: number | null, factor: number): number | null {
  return value === null || value <= 0 ? null : value * factor;
}

function textAt(find: Find, content: unknown): string | null {
  const found = find(content);
  if (typeof found === "number") return String(found);
  return typeof found === "string" && found.trim() !== "" ? found.trim() : null;
}

/** The token alone, as text or as a JSON string. */
function bareText(content: unknown): string | null {
  if (typeof content !== "string" && typeof content !== "number") return null;
  const text = String(content).trim();
  return text === "" ? null : text;
}
