/** Makes of a customer's message one that may be sent to us, and proves it by decoding it again; otherwise leaves its body out. */

import { asAuthenticated, type Message } from "../adapters/kit/adapter.ts";
import { type DecodeResult, decode } from "../adapters/kit/decode.ts";
import type { Source } from "../ingest/source.ts";
import { type RawReading, SPEED_UNITS } from "../reading.ts";
import { iso } from "../time.ts";
import { scrubBody } from "./body.ts";
import { type Known, scrubText } from "./leaves.ts";
import { firstLeft } from "./left.ts";
import type { LeftOut, ScrubbedMessage } from "./message.ts";
import { type CaptureKey, pseudonymOf } from "./pseudonyms.ts";

export type CapturedSource = Pick<Source, "adapter" | "credentials" | "speedUnit" | "options">;

/** Of all others the name alone could say who the sender is. */
const KEPT_HEADERS: ReadonlySet<string> = new Set([
  "content-type",
  "content-encoding",
  "user-agent",
  "accept",
]);
/** A message of more positions than this is no help, and takes too long to prove. */
const MAX_BODY_BYTES = 50_000;

export function scrubMessage(source: CapturedSource, message: Message, key: CaptureKey): ScrubbedMessage {
  const before = resultOf(source, message);
  const known = knownOf(source, message, before);
  const envelope = envelopeOf(message, known, key);
  const left = (leftOut: LeftOut): ScrubbedMessage => ({
    ...withoutPlaces(envelope),
    body: null,
    bodyBase64: null,
    bytes: message.body.length,
    leftOut,
  });
  if (before === null) return left("reads_differently");
  if (before.kind === "handshake") return left("handshake");
  if (message.body.length > MAX_BODY_BYTES) return left("too_long");
  const text = textOf(message.body);
  if (text === null) return left("not_text");
  const body = text === "" ? "" : scrubBody(text, known, key, message.topic?.split("/").at(-1) ?? "");
  if (body === null) return left("unknown_form");
  for (const topic of topicsFor(source, message, known, key)) {
    const scrubbed: ScrubbedMessage = {
      ...envelope,
      topic,
      body,
      bodyBase64: null,
      bytes: message.body.length,
      leftOut: null,
    };
    if (!isSame(before, resultOf(source, messageOf(scrubbed, message)), key)) continue;
    return firstLeft(scrubbed, known) === null ? scrubbed : left("not_anonymous");
  }
  return left("reads_differently");
}

/**
 * What may take the topic's place, the least telling first. Its levels are the customer's words, and some of them the
 * adapter needs: these are kept from the end, where topics say what they carry, one more each time.
 */
function topicsFor(
  { adapter }: CapturedSource,
  { topic }: Message,
  { ids }: Known,
  key: CaptureKey,
): (string | null)[] {
  if (topic === undefined) return [null];
  const literal = levelsOf(adapter);
  const levels = topic.split("/");
  const isId = (level: string) => ids.has(level) || /\d{4}/.test(level);
  return [...levels.keys(), levels.length].map((kept) =>
    levels
      .map((level, i) =>
        literal.has(level) || (i >= levels.length - kept && !isId(level)) ? level : pseudonymOf(level, key),
      )
      .join("/"),
  );
}

/** Null: the adapter has a fault, and nothing is known of the message. */
function resultOf({ adapter, speedUnit, options }: CapturedSource, message: Message): DecodeResult | null {
  try {
    // With any unit the speeds are the same before and after.
    const unit = speedUnit ?? (adapter.speedUnit === "required" ? SPEED_UNITS[0] : undefined);
    return decode(adapter, asAuthenticated(message), {
      speedUnit: unit,
      options,
      credentials: { secrets: [] },
    });
  } catch {
    return null;
  }
}

function knownOf(
  { adapter, credentials }: CapturedSource,
  message: Message,
  result: DecodeResult | null,
): Known {
  const rawReadings = result?.kind === "decoded" ? result.rawReadings : [];
  const ids = new Set<string>();
  const literal = levelsOf(adapter);
  for (const { deviceId, details } of rawReadings) {
    addId(ids, deviceId, literal);
    const { deviceName, street, city, region, postalCode, driver } = details ?? {};
    for (const text of [deviceName, street, city, region, postalCode, driver]) {
      if (typeof text === "string" && text !== "") ids.add(text);
    }
  }
  addId(ids, message.login ?? null, literal);
  const users = credentials.users ?? [];
  addId(ids, credentials.username ?? null, literal);
  for (const { username } of users) if (username.length > 3) addId(ids, username, literal);
  const secrets = [...credentials.secrets, ...users.flatMap((user) => user.secrets)].filter(
    (each) => each !== "",
  );
  return {
    ids,
    latitudes: placesOf(rawReadings.map(({ latitude }) => latitude)),
    longitudes: placesOf(rawReadings.map(({ longitude }) => longitude)),
    secrets,
    isBlind: rawReadings.length === 0,
  };
}

function addId(ids: Set<string>, id: string | null, literal: ReadonlySet<string>): void {
  if (id === null || id === "") return;
  ids.add(id);
  for (const part of id.split("/")) if (part.length > 2 && !literal.has(part)) ids.add(part);
}

/** What stands in the vendor's own topic filters is the vendor's, not the customer's. */
function levelsOf({ topics = [] }: CapturedSource["adapter"]): ReadonlySet<string> {
  return new Set(topics.flatMap((filter) => filter.split("/")));
}

function placesOf(values: readonly (number | null)[]): number[] {
  return [
    ...new Set(
      values.filter((value): value is number => value !== null && Number.isFinite(value) && value !== 0),
    ),
  ];
}

type Envelope = Omit<ScrubbedMessage, "body" | "bodyBase64" | "bytes" | "leftOut">;

function envelopeOf(message: Message, known: Known, key: CaptureKey): Envelope {
  const { receivedAt, method, topic, retained, login, headers, query } = message;
  const kept = Object.entries(headers).filter(
    ([name, value]) => KEPT_HEADERS.has(name) || known.ids.has(value),
  );
  return {
    receivedAt: iso(receivedAt),
    method: method ?? null,
    topic: topic === undefined ? null : "",
    retained,
    login: login === undefined ? null : pseudonymOf(login, key),
    headers: Object.fromEntries(
      kept.map(([name, value]) => [
        name,
        known.ids.has(value) ? pseudonymOf(value, key) : textWithout(value, known),
      ]),
    ),
    query: Object.fromEntries(
      Object.entries(query).map(([name, value]) => [name, scrubText(name, value, known, key)]),
    ),
  };
}

/** A header that is kept for its form holds nothing of the message. */
function textWithout(value: string, { ids, secrets }: Known): string {
  return [...ids, ...secrets].some((text) => text.length > 3 && value.includes(text)) ? "" : value;
}

/** Without the proof nothing is kept that could hold a place or an id. */
function withoutPlaces(envelope: Envelope): Envelope {
  const headers = Object.fromEntries(
    Object.entries(envelope.headers).filter(([name]) => name === "content-type"),
  );
  return { ...envelope, headers, query: {}, login: null };
}

function textOf(body: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return null;
  }
}

/** The message as the receiver of the capture has it. */
function messageOf(scrubbed: ScrubbedMessage, { receivedAt }: Message): Message {
  const { method, topic, retained, login, headers, query, body } = scrubbed;
  return {
    body: Buffer.from(body ?? ""),
    receivedAt,
    retained,
    headers,
    query,
    ...(method !== null && { method }),
    ...(topic !== null && { topic }),
    ...(login !== null && { login }),
  };
}

/** Far below what a vehicle's place is known to; sums of floating-point numbers differ by less. */
const SAME_PLACE = 1e-6;
/** A minute of a degree with four decimals, as receivers write it, is a sixtieth of that. */
const SAME_NMEA_PLACE = 2e-5;

function isSame(before: DecodeResult, after: DecodeResult | null, key: CaptureKey): boolean {
  if (after === null || before.kind !== after.kind) return false;
  if (before.kind === "ignored" && after.kind === "ignored") return before.what === after.what;
  if (before.kind !== "decoded" || after.kind !== "decoded") return true;
  const { rawReadings } = after;
  return (
    rawReadings.length === before.rawReadings.length &&
    before.rawReadings.every((one, i) => isShifted(one, rawReadings[i], key))
  );
}

function isShifted(before: RawReading, after: RawReading | undefined, key: CaptureKey): boolean {
  if (after === undefined) return false;
  const isSameElse = (["fixTime", "speedMps", "headingDeg", "noFix", "fragment"] as const).every((name) =>
    Object.is(before[name], after[name]),
  );
  return (
    isSameElse &&
    isPseudonym(before.deviceId, after.deviceId, key) &&
    isMoved(before.latitude, after.latitude, key.latitudeShift) &&
    isMoved(before.longitude, after.longitude, key.longitudeShift)
  );
}

/** A part of an id may be the vendor's own word, which no message has; one of the message's is looked for afterwards. */
function isPseudonym(before: string | null, after: string | null, key: CaptureKey): boolean {
  if (before === null || after === null) return before === after;
  const parts = after.split("/");
  const own = before.split("/");
  return (
    parts.length === own.length &&
    own.every((part, i) => [part, pseudonymOf(part, key)].includes(parts[i] ?? ""))
  );
}

function isMoved(before: number | null, after: number | null, shift: number): boolean {
  if (before === null || after === null || !Number.isFinite(before)) return Object.is(before, after);
  if (before === 0) return after === 0;
  const far = Math.abs(after - before - shift);
  return Math.min(far, Math.abs(far - 360)) < Math.max(SAME_PLACE, SAME_NMEA_PLACE);
}
