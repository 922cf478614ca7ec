/** Reads what ServiceTitan's answers say, whatever shape they have, and keeps credentials out of it. */

import { retryAfterHeaderMs } from "../network.ts";
import { isRecord } from "../untrusted.ts";
import type { Answer } from "./exchange.ts";

/** What ServiceTitan said of one ping in a 2xx answer. */
export interface PingResult {
  externalId: string;
  accepted: boolean;
  message: string;
}

/** One line in a log or on the ops page. */
const MAX_DETAIL_CHARS = 300;
/** What is looked at of a body that is plain text or HTML. */
const MAX_TEXT_CHARS = 4096;
/** Problems told of one refused request; a page of them helps nobody. */
const MAX_ERRORS = 20;
/** A wait longer than a day is a mistake or an attack; whoever pauses has a lower limit of its own. */
const MAX_RETRY_AFTER_MS = 86_400_000;

/** Makes text fit for a log: one line, bounded, without the credentials given and without anything like a token. */
export type Redact = (text: string) => string;

export function redactor(secrets: readonly string[]): Redact {
  const known = secrets.filter((secret) => secret !== "").sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    // Before any cutting: half a credential would not be recognised, and is still half a credential.
    for (const secret of known) clean = clean.replaceAll(secret, "[redacted]");
    clean = clean
      .slice(0, MAX_TEXT_CHARS)
      .replaceAll(/\bbearer\s+[\w.~+/=-]+/gi, "[redacted]")
      // A JSON Web Token: its header is base64 of `{"`.
      .replaceAll(/\beyJ[\w.-]{16,}/g, "[redacted]")
      // Some of their fields are declared as HTML.
      .replaceAll(/<[^<>]*>/g, " ")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a log.
      .replaceAll(/[\s\u0000-\u001f\u007f-\u009f]+/g, " ")
      .trim();
    return clean.length <= MAX_DETAIL_CHARS ? clean : `${clean.slice(0, MAX_DETAIL_CHARS - 1)}…`;
  };
}

/** What an answer other than 2xx says of itself. */
export interface Complaint {
  /** Only ServiceTitan's own errors carry one; what the gateway before it says does not. */
  traceId: string | null;
  /** Not yet redacted. */
  text: string;
}

/**
 * Three shapes are known: ApiErrorResponse (title, errors, traceId), the API gateway's `{statusCode, message}`, and a
 * bare JSON string; anything else, plain text or HTML, is taken as it is.
 */
export function complaintOf(body: string | null): Complaint {
  if (body === null) return { traceId: null, text: "answer too long to read" };
  const json = parseJson(body);
  if (typeof json === "string") return { traceId: null, text: json };
  if (!isRecord(json)) return { traceId: null, text: body };
  const traceId = typeof json.traceId === "string" && json.traceId !== "" ? json.traceId.slice(0, 100) : null;
  const head = [json.title, json.message, json.detail].find(
    (text) => typeof text === "string" && text !== "",
  );
  const parts = [...(typeof head === "string" ? [head] : []), ...problemsOf(json.errors)];
  return { traceId, text: parts.length > 0 ? parts.join("; ") : body };
}

/** `errors` maps the name or path of a property to a list of texts: `[3].EventTime: The value is not valid.` */
function problemsOf(errors: unknown): string[] {
  if (!isRecord(errors)) return [];
  return Object.entries(errors)
    .slice(0, MAX_ERRORS)
    .map(([key, texts]) => {
      const told = (Array.isArray(texts) ? texts : [texts]).filter((text) => typeof text === "string");
      return `${key}: ${told.slice(0, MAX_ERRORS).join(" ")}`;
    });
}

/** How long the answer asks us to wait, milliseconds: the header in either form, else the gateway's words. */
export function retryAfterMs(answer: Answer, now: number): number | null {
  const told = retryAfterHeaderMs(answer.headers, now);
  if (told !== null) return bounded(told);
  const words = /try again in (\d{1,6}) second/i.exec(answer.body?.slice(0, MAX_TEXT_CHARS) ?? "");
  return words === null ? null : bounded(Number(words[1]) * 1000);
}

function bounded(ms: number): number {
  return Math.min(Math.max(Math.ceil(ms), 0), MAX_RETRY_AFTER_MS);
}

/** What became of each ping of a request. */
export interface Results {
  failed: PingResult[];
  missing: string[];
}

/**
 * Matches the results of a 2xx answer to the pings sent, by externalId: nothing promises their order or number.
 * Null when the answer is no list of results.
 */
export function resultsOf(body: string | null, externalIds: readonly string[]): Results | null {
  const items = body === null ? null : parseJson(body);
  if (!Array.isArray(items)) return null;
  if (allAcceptedInOrder(items, externalIds)) return { failed: [], missing: [] };
  const accepted = new Set<string>();
  const refused = new Map<string, string>();
  for (const item of items) {
    if (!isRecord(item) || typeof item.externalId !== "string") continue;
    const status = typeof item.status === "string" ? item.status.toLowerCase() : "";
    if (status === "success") accepted.add(item.externalId);
    if (status === "fail") refused.set(item.externalId, typeof item.message === "string" ? item.message : "");
  }
  const results: Results = { failed: [], missing: [] };
  for (const externalId of new Set(externalIds)) {
    // Told both, it has the ping: it took the one and turned down a second.
    if (accepted.has(externalId)) continue;
    const message = refused.get(externalId);
    if (message === undefined) results.missing.push(externalId);
    else results.failed.push({ externalId, accepted: false, message });
  }
  return results;
}

/** The usual answer, told without building sets. Still by externalId: the index only says where to look first. */
function allAcceptedInOrder(items: unknown[], externalIds: readonly string[]): boolean {
  return (
    items.length === externalIds.length &&
    items.every(
      (item, i) => isRecord(item) && item.externalId === externalIds[i] && item.status === "Success",
    )
  );
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
