/** Runs an adapter over one message: its bytes become text, the text a value, the value raw readings. */

import type { core } from "zod";
import type { RawReading, SpeedUnit } from "../../reading.ts";
import {
  type Adapter,
  type Authenticated,
  type Credentials,
  type DecodeContext,
  type Handshake,
  MAX_PROBLEMS,
} from "./adapter.ts";
import { misread, parseBody, textOf } from "./body.ts";
import { MAX_READINGS, tooMany } from "./bounds.ts";
import type { Each, Problems } from "./each.ts";

/** What became of one message. */
export type DecodeResult =
  | { kind: "decoded"; rawReadings: RawReading[] }
  | { kind: "ignored"; what: string }
  | { kind: "handshake"; handshake: Handshake }
  | { kind: "malformed"; problems: string[] };

/** The settings of the source that decoding needs. */
export interface DecodeSettings {
  speedUnit?: SpeedUnit | undefined;
  options?: unknown;
  credentials: Credentials;
  /** A message with more is malformed. */
  maxReadings?: number | undefined;
}

/** Messages of fewer bytes are decoded in one go, within a millisecond. */
const SLICED_FROM_BYTES = 16_384;
/** Items of a list between two pauses: some tenths of a millisecond. */
const ITEMS_BETWEEN_PAUSES = 32;

/** Runs an adapter over one message. Pure. Throws only if the adapter has a bug; ingest catches that. */
export function decode(adapter: Adapter, message: Authenticated, settings: DecodeSettings): DecodeResult {
  const steps = decodeInSteps(adapter, message, settings);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** The same with pauses in a large message, in which the caller may serve other messages. */
export function* decodeInSteps(
  adapter: Adapter,
  message: Authenticated,
  settings: DecodeSettings,
): Generator<undefined, DecodeResult> {
  const { maxReadings = MAX_READINGS } = settings;
  const isLarge = message.body.length >= SLICED_FROM_BYTES;
  // Without marks and padding: a format is recognised by how the text begins, for every adapter alike.
  const body = textOf(message.body);
  const cleaned = body === message.body ? message : { ...message, body };
  const { format: given = "json" } = adapter;
  const format = typeof given === "function" ? given(cleaned) : given;
  const parsed = parseBody(format, format === "bytes" ? message : cleaned, maxReadings);
  if ("problem" in parsed) return { kind: "malformed", problems: [parsed.problem] };
  if (isLarge) yield;
  const context: DecodeContext = {
    topic: message.topic === undefined ? [] : message.topic.split("/"),
    headers: message.headers,
    query: message.query,
    receivedAt: message.receivedAt,
    mayBeOld: message.retained || message.resent === true,
    speedUnit: settings.speedUnit,
    options: settings.options,
    maxReadings,
  };
  const opened = adapter.unseal?.(parsed.value, context) ?? parsed;
  if ("problems" in opened) return { kind: "malformed", problems: opened.problems };
  const raw = opened.value;
  const handshake = adapter.handshake?.(raw, message, settings.credentials);
  if (handshake) return { kind: "handshake", handshake };
  const what = adapter.ignore?.(raw, context);
  if (typeof what === "string") return { kind: "ignored", what };
  if (isLarge) yield;
  const payload = adapter.payload.safeParse(raw);
  if (!payload.success) {
    const problems = [...misread(format, raw), ...problemsOf(payload.error.issues)];
    return { kind: "malformed", problems: problems.slice(0, MAX_PROBLEMS) };
  }
  if (isLarge) yield;
  const decoded = adapter.decode(payload.data, context);
  const rawReadings = "count" in decoded ? yield* decodeEach(decoded, maxReadings) : decoded;
  if ("problems" in rawReadings)
    return { kind: "malformed", problems: rawReadings.problems.slice(0, MAX_PROBLEMS) };
  if (rawReadings.length > maxReadings)
    return { kind: "malformed", problems: [tooMany("readings", maxReadings)] };
  return { kind: "decoded", rawReadings };
}

function* decodeEach(
  { count, decodeItem, check }: Each,
  maxReadings: number,
): Generator<undefined, RawReading[] | Problems> {
  const rawReadings: RawReading[] = [];
  for (let index = 0; index < count && rawReadings.length <= maxReadings; index++) {
    if (index > 0 && index % ITEMS_BETWEEN_PAUSES === 0) yield;
    const decoded = decodeItem(index);
    if (!("length" in decoded)) rawReadings.push(decoded);
    else for (const rawReading of decoded) rawReadings.push(rawReading);
  }
  return check?.(rawReadings) ?? rawReadings;
}

function problemsOf(issues: readonly core.$ZodIssue[]): string[] {
  return issues.slice(0, MAX_PROBLEMS).flatMap((issue) => {
    // Of several shapes the last is not closer than the first: the usual one is listed first.
    const nearest = issue.code === "invalid_union" ? issue.errors[0] : undefined;
    if (nearest && nearest.length > 0) return problemsOf(nearest);
    return `${pathText(issue.path) || "message"}: ${issue.message}`;
  });
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`))
    .join("")
    .replace(/^\./, "");
}
