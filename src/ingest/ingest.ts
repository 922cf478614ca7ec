/** Takes one message through the pipeline up to storage: authenticate, decode, validate, store. */

import { randomUUID } from "node:crypto";
import {
  type Authenticated,
  type DecodeResult,
  decodeInSteps,
  type Handshake,
  type Message,
  type MessageHead,
} from "../adapters/kit/adapter.ts";
import type { RawReading, Rejection } from "../reading.ts";
import type { Incident } from "../status.ts";
import { messageOf } from "../untrusted.ts";
import { createAssembler } from "./assembler.ts";
import {
  type Authentication,
  type AuthenticationEvents,
  authenticate,
  authenticateHead,
  type Failed,
  type Refused,
  redactCredentials,
} from "./authenticate.ts";
import { createShares, type Shares } from "./decode-shares.ts";
import type { Source } from "./source.ts";
import { partForeign } from "./speaks-for.ts";
import { type RefusalReason, type Store, type StoreEntry, StoreError, type StoreVerdict } from "./store.ts";
import { type Validated, validateAll } from "./validate.ts";

/** What became of a message. The input turns it into its answer: whether to send the message again. */
export type IngestResult =
  | { kind: "stored"; readings: number; stored: number; duplicates: number; rejections: Rejection[] }
  | { kind: "ignored"; what: string }
  | { kind: "handshake"; handshake: Handshake }
  | { kind: "malformed"; problems: string[] }
  | Refused
  | { kind: "deferred"; reason: StoreError["reason"]; retryAfterS: number }
  /** Not stored yet, but safe on the local disk: the sender need not send it again. */
  | { kind: "spooled" }
  | Failed;

export interface IngestEvents extends AuthenticationEvents {
  /** A raw reading has a time: `offsetMs` is receivedAt − fixTime. Hot: called per raw reading, rejected ones included. */
  fixSeen(source: string, deviceId: string, offsetMs: number): void;
  messageMalformed(event: { source: string; problems: string[] }): void;
  readingRejected(event: { source: string; rejections: Rejection[] }): void;
  incident(event: Incident): void;
  messageDeferred(event: { source: string; reason: StoreError["reason"]; error: StoreError }): void;
}

export interface Ingest {
  /** Null where the source's method needs the body, too. A refusal is counted. */
  authenticateHead(source: Source, head: MessageHead): Authentication<MessageHead> | null;
  /** Authenticates the whole message and ingests it. */
  receive(source: Source, message: Message): Promise<IngestResult>;
  /** Decodes, validates and stores. */
  ingest(source: Source, message: Authenticated): Promise<IngestResult>;
  /** Counts a message that the input itself refuses, by size or method; it is not decoded. */
  refuse(source: Source, reason: RefusalReason): void;
}

/** A source that has used up its share gets through most of what waits in this time. */
const SHARE_RETRY_AFTER_S = 2;
/** Charged for what is done for a message outside of its steps: its answer, and its way to storage by the byte. */
const MESSAGE_MS = 0.05;
const STORED_BYTE_MS = 1e-5;
/**
 * What one source may send to quarantine: 4 MB a second, at which the usual 64 MB of it are new in a quarter of a minute.
 * Redis writes all of it to its log, and falls behind for everybody where a disk takes no more.
 */
const QUARANTINE_BYTES_PER_MS = 4000;
/** Less is not worth a timer; small messages cost their sender its share of the event loop instead. */
const SHORTEST_REST_MS = 5;
/** Of a reading, as it goes to storage. */
const READING_BYTES = 200;

export function createIngest({
  store,
  events,
  shares = createShares({ usedUp() {} }),
}: {
  store: Store;
  events: IngestEvents;
  /** Given where an input asks it, too, before it reads. */
  shares?: Shares;
}): Ingest {
  const assembler = createAssembler();
  const deps = { store, events };

  async function receive(source: Source, message: Message): Promise<IngestResult> {
    const verdict = authenticate(source, message, deps);
    return verdict.kind === "authenticated" ? ingest(source, verdict.message) : verdict;
  }

  async function ingest(source: Source, message: Authenticated): Promise<IngestResult> {
    try {
      return await decodeAndStore(source, message);
    } catch (error) {
      return error instanceof StoreError
        ? deferred(source, error)
        : await quarantineFailed(source, message, error);
    }
  }

  async function decodeAndStore(source: Source, message: Authenticated): Promise<IngestResult> {
    const running = shares.run(source.name, message.body.length, decodeAndValidate(source, message));
    if (running === null) throw new StoreError("share_used_up", SHARE_RETRY_AFTER_S);
    const { result, stored } = running instanceof Promise ? await running : running;
    try {
      return await storeResult(source, message, result);
    } finally {
      stored();
    }
  }

  /** All that is computed of a message, with pauses where it is long. */
  function* decodeAndValidate(source: Source, message: Authenticated): Generator<undefined, Computed> {
    const decoded = yield* decodeInSteps(source.adapter, message, source);
    const result =
      decoded.kind === "decoded" ? yield* validateOwn(source, message, decoded.rawReadings) : decoded;
    const bytes = bytesToStore(result, message);
    shares.charge(source.name, MESSAGE_MS + bytes * STORED_BYTE_MS);
    const stored = shares.storing(source.name, bytes);
    const restMs = result.kind === "malformed" ? message.body.length / QUARANTINE_BYTES_PER_MS : 0;
    if (restMs < SHORTEST_REST_MS) return { result, stored };
    return { result, stored: () => void setTimeout(stored, restMs).unref() };
  }

  function validateOwn(source: Source, message: Message, rawReadings: RawReading[]) {
    // Before the assembler: a foreign part of a position must not be joined with the login's own.
    const { own, foreign } = partForeign(rawReadings, message.login, source.logins);
    const assembled = assembler.assemble(source.name, own, message);
    return validateAll(source, message, assembled, foreign, events.fixSeen);
  }

  async function storeResult(
    source: Source,
    message: Message,
    result: Computed["result"],
  ): Promise<IngestResult> {
    const { name } = source;
    const { receivedAt } = message;
    switch (result.kind) {
      case "ignored":
        await store.add({ source: name, receivedAt, kind: "ignored" });
        return { kind: "ignored", what: result.what };
      case "handshake":
        await store.add({ source: name, receivedAt, kind: "handshake" });
        return { kind: "handshake", handshake: result.handshake };
      case "malformed":
        await store.add(quarantined(source, message, "malformed", result.problems));
        // Reported once it is stored: until then the message comes again and again.
        events.messageMalformed({ source: name, problems: result.problems });
        return { kind: "malformed", problems: result.problems };
      case "validated":
        return storeReadings(name, message, result);
      default:
        return result satisfies never;
    }
  }

  async function storeReadings(name: string, message: Message, validated: Validated): Promise<IngestResult> {
    const { rawReadings, foreign, readings, rejections, defects, named } = validated;
    const { receivedAt, body } = message;
    const { stored, duplicates } = await addOrRemember(name, message, {
      source: name,
      receivedAt,
      kind: "decoded",
      rawReadings,
      readings,
      rejections,
      defects,
      body,
      // Over MQTT only a login can send it again, and a parked device sends the same for hours.
      ...(validated.isTimeless && message.method !== undefined && { timeless: true }),
    });
    if (named.length > 0) events.readingRejected({ source: name, rejections: named });
    for (const { deviceId } of foreign) {
      const subject = `${deviceId} by ${message.login}`;
      events.incident({ kind: "foreign_device", where: `source ${name}`, subject });
    }
    return { kind: "stored", readings: rawReadings, stored, duplicates, rejections: named };
  }

  /** Parts of a position are used up when they are joined; the sender of one that is not stored sends it again. */
  async function addOrRemember(name: string, message: Message, entry: StoreEntry): Promise<StoreVerdict> {
    try {
      const verdict = await store.add(entry);
      assembler.stored(name, message);
      return verdict;
    } catch (error) {
      assembler.deferred(name, message);
      throw error;
    }
  }

  /** A bug of ours must not cost the message: it goes to quarantine, to be decoded again after the fix. */
  async function quarantineFailed(source: Source, message: Message, error: unknown): Promise<IngestResult> {
    const requestId = randomUUID();
    let isQuarantined = true;
    let failure: unknown;
    try {
      const problems = [messageOf(error)];
      await store.add(quarantined(source, message, "internal_error", problems));
    } catch (reason) {
      isQuarantined = false;
      failure = reason;
    }
    events.ingestFailed({ source: source.name, requestId, error, quarantined: isQuarantined });
    // Only for now: it goes to quarantine when its sender, or the spool, comes with it again.
    if (failure instanceof StoreError) return deferred(source, failure);
    return { kind: "failed", requestId, quarantined: isQuarantined };
  }

  function deferred(source: Source, error: StoreError): IngestResult {
    const { reason, retryAfterS } = error;
    events.messageDeferred({ source: source.name, reason, error });
    return { kind: "deferred", reason, retryAfterS };
  }

  function refuse(source: Source, reason: RefusalReason): void {
    store.refuse(source.name, reason);
    events.messageRefused({ source: source.name, reason, why: reason });
  }

  return {
    authenticateHead: (source, head) => authenticateHead(source, head, deps),
    receive,
    ingest,
    refuse,
  };
}

/** What was computed of a message, and what to call once it is stored, or is not. */
interface Computed {
  result: Exclude<DecodeResult, { kind: "decoded" }> | Validated;
  stored(): void;
}

function bytesToStore(result: Computed["result"], { body }: Message): number {
  if (result.kind === "validated") return READING_BYTES * result.readings.length;
  return result.kind === "malformed" ? body.length : 0;
}

function quarantined(
  source: Source,
  message: Message,
  reason: "malformed" | "internal_error",
  problems: string[],
): StoreEntry {
  const { receivedAt } = message;
  const redacted = redactCredentials(message, source.credentials);
  return { source: source.name, receivedAt, kind: "malformed", reason, message: redacted, problems };
}
