/** Takes a message from any way in: proves the sender, reads it, admits its candidates, and has the readings kept. */

import { randomUUID } from "node:crypto";
import {
  type Adapter,
  type AuthMethod,
  type Credentials,
  type DecodeResult,
  decodeInSteps,
  type Handshake,
  type Message,
  type MessageHead,
} from "../adapters/kit/adapter.ts";
import type { FieldDefect, RawReading, Reading, Rejection, RejectionReason, SpeedUnit } from "../reading.ts";
import type { Incident } from "../status.ts";
import { createAssembler } from "./assembler.ts";
import { createShares, type Shares } from "./decode-shares.ts";
import { type Logins, partForeign } from "./speaks-for.ts";
import { type Validated, validateAll } from "./validate.ts";

/** One configured sender, ready to work. */
export interface Source {
  name: string;
  adapter: Adapter;
  /** Null on MQTT, where the broker connection is the proof. */
  authMethod: AuthMethod | null;
  credentials: Credentials;
  /** Which devices each login may speak for, where its senders have logins of their own. */
  logins?: Logins;
  speedUnit?: SpeedUnit | undefined;
  options?: unknown;
  /** The oldest fix any of the source's destinations still wants, milliseconds. */
  maxAgeMs: number;
  /** Fixes less accurate than this are turned down, metres; absent: no limit. */
  maxAccuracyM?: number | undefined;
  /** A message with more is malformed. */
  maxReadings?: number | undefined;
}

/** Why a message was not believed. Closed: every one is a metric label. */
export type RefusalReason =
  | "unauthenticated"
  | "guessing"
  | "too_large"
  | "wrong_method"
  | "unsupported_encoding"
  | "given_up";

/** Everything keep must store or count for one message, in one atomic step. */
export type StoreEntry = { source: string; receivedAt: number } & (
  | {
      kind: "decoded";
      rawReadings: number;
      readings: Reading[];
      rejections: ReadonlyMap<RejectionReason, number>;
      defects: ReadonlyMap<FieldDefect, number>;
      /** The bytes as sent: a resend of a long message, or of one without a time, is recognised by them. */
      body: Uint8Array;
      /** A webhook whose readings are dated by its receipt: sent again, by whomever, it must not count as fresh. */
      timeless?: true;
    }
  | { kind: "ignored" | "handshake" }
  | { kind: "malformed"; reason: "malformed" | "internal_error"; message: Message; problems: string[] }
);

/** What keep did with the readings of one message. */
export interface StoreVerdict {
  stored: number;
  duplicates: number;
  /** Refused by the source's own filters (jump, thinning), which need the device's last fix. */
  rejections: ReadonlyMap<RejectionReason, number>;
}

/** Thrown by keep: nothing of the message was stored; the sender must send it again. */
export class StoreError extends Error {
  readonly reason: "storage_unavailable" | "buffer_full" | "share_used_up";
  readonly retryAfterS: number;
  constructor(reason: StoreError["reason"], retryAfterS: number, cause?: unknown) {
    super(`Cannot store messages now (${reason}).`, { cause });
    this.name = "StoreError";
    this.reason = reason;
    this.retryAfterS = retryAfterS;
  }
}

/** Where readings go. Resolves when they are stored; the sender is answered after that and never before. */
export interface Store {
  add(entry: StoreEntry): Promise<StoreVerdict>;
  /** Counts a message that was not believed. Returns at once: a flood of strangers must not wait for storage. */
  refuse(source: string, reason: RefusalReason): void;
}

/** What ingest tells the outside of itself. */
export interface IngestEvents {
  /** A candidate told its time, whatever became of it: `offsetMs` is receivedAt − fixTime. Hot: called per candidate. */
  fixSeen(source: string, deviceId: string, offsetMs: number): void;
  messageRefused(event: { source: string; reason: RefusalReason; why: string }): void;
  messageMalformed(event: { source: string; problems: string[] }): void;
  readingRejected(event: { source: string; rejections: Rejection[] }): void;
  incident(event: Incident): void;
  messageDeferred(event: { source: string; reason: StoreError["reason"]; error: StoreError }): void;
  ingestFailed(event: { source: string; requestId: string; error: unknown; quarantined: boolean }): void;
}

/** What became of a message; the way in turns it into the answer of design §6. */
export type IngestResult =
  | { kind: "stored"; readings: number; stored: number; duplicates: number; rejections: Rejection[] }
  | { kind: "ignored"; what: string }
  | { kind: "handshake"; handshake: Handshake }
  | { kind: "malformed"; problems: string[] }
  /** `guess`: it had a proof, and that was wrong. */
  | { kind: "refused"; reason: RefusalReason; guess?: boolean | undefined }
  | { kind: "deferred"; reason: StoreError["reason"]; retryAfterS: number }
  /** Not stored yet, but safe on the local disk: the sender need not send it again. */
  | { kind: "spooled" }
  | { kind: "failed"; requestId: string; quarantined: boolean };

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

export interface Ingest {
  accept(source: Source, message: Message): Promise<IngestResult>;
  /** For a message that was proven before: by its head, when `refuseByHead` found nothing, or before it was spooled. */
  ingestAuthenticated(source: Source, message: Message): Promise<IngestResult>;
  /** Why a message is refused whatever its body says, counted; null when it may still be accepted. */
  refuseByHead(source: Source, head: MessageHead): IngestResult | null;
  /** A message the way in itself turned down, by size or method: counted, never read. */
  refuse(source: Source, reason: RefusalReason): void;
}

export function createIngest({
  store,
  events,
  shares = createShares({ usedUp() {} }),
}: {
  store: Store;
  events: IngestEvents;
  /** Given where a way in asks it, too, before it reads. */
  shares?: Shares;
}): Ingest {
  const assembler = createAssembler();

  async function accept(source: Source, message: Message): Promise<IngestResult> {
    const { authMethod, credentials } = source;
    return (
      refusedBy(source, () => authMethod?.verify(message, credentials) ?? null) ??
      ingestAuthenticated(source, withLogin(source, message))
    );
  }

  function refuseByHead(source: Source, head: MessageHead): IngestResult | null {
    const { authMethod, credentials } = source;
    return refusedBy(source, () => authMethod?.verifyHead?.(head, credentials) ?? null);
  }

  function refusedBy(source: Source, verify: () => string | null): IngestResult | null {
    let why: string | null;
    try {
      why = verify();
    } catch (error) {
      // Nobody knows who sent it, so it may not fill the quarantine: that is for proven senders.
      const requestId = randomUUID();
      events.ingestFailed({ source: source.name, requestId, error, quarantined: false });
      return { kind: "failed", requestId, quarantined: false };
    }
    if (why === null) return null;
    store.refuse(source.name, "unauthenticated");
    events.messageRefused({ source: source.name, reason: "unauthenticated", why });
    // Neither a missing proof (a browser, a health check) nor an old one, which was right once, tries a secret out.
    return {
      kind: "refused",
      reason: "unauthenticated",
      guess: why === "wrong_credentials" ? true : undefined,
    };
  }

  async function ingestAuthenticated(source: Source, message: Message): Promise<IngestResult> {
    try {
      return await take(source, message);
    } catch (error) {
      return error instanceof StoreError ? deferred(source, error) : await setAside(source, message, error);
    }
  }

  function deferred(source: Source, error: StoreError): IngestResult {
    const { reason, retryAfterS } = error;
    events.messageDeferred({ source: source.name, reason, error });
    return { kind: "deferred", reason, retryAfterS };
  }

  async function take(source: Source, message: Message): Promise<IngestResult> {
    const running = shares.run(source.name, message.body.length, understand(source, message));
    if (running === null) throw new StoreError("share_used_up", SHARE_RETRY_AFTER_S);
    const { result, stored } = running instanceof Promise ? await running : running;
    try {
      return await keepResult(source, message, result);
    } finally {
      stored();
    }
  }

  /** All that is computed of a message, with pauses where it is long. */
  function* understand(source: Source, message: Message): Generator<undefined, Understood> {
    const read = yield* decodeInSteps(source.adapter, message, source);
    const result = read.kind === "decoded" ? yield* validateOwn(source, message, read.rawReadings) : read;
    const bytes = bytesToStore(result, message);
    shares.charge(source.name, MESSAGE_MS + bytes * STORED_BYTE_MS);
    const stored = shares.storing(source.name, bytes);
    const restMs = result.kind === "malformed" ? message.body.length / QUARANTINE_BYTES_PER_MS : 0;
    if (restMs < SHORTEST_REST_MS) return { result, stored };
    return { result, stored: () => void setTimeout(stored, restMs).unref() };
  }

  function validateOwn(source: Source, message: Message, rawReadings: RawReading[]) {
    // Before the assembler: a part that is foreign must not be put together with one that is not.
    const { own, foreign } = partForeign(rawReadings, message.login, source.logins);
    return validateAll(
      source,
      message,
      assembler.assemble(source.name, own, message),
      foreign,
      events.fixSeen,
    );
  }

  async function keepResult(
    source: Source,
    message: Message,
    result: Understood["result"],
  ): Promise<IngestResult> {
    const { name } = source;
    const { receivedAt, body } = message;
    switch (result.kind) {
      case "ignored":
        await store.add({ source: name, receivedAt, kind: "ignored" });
        return { kind: "ignored", what: result.what };
      case "handshake":
        await store.add({ source: name, receivedAt, kind: "handshake" });
        return { kind: "handshake", handshake: result.handshake };
      case "malformed":
        await store.add({
          source: name,
          receivedAt,
          kind: "malformed",
          reason: "malformed",
          message: redactCredentials(message, source.credentials),
          problems: result.problems,
        });
        // Told once it is kept: until then the message is offered again and again.
        events.messageMalformed({ source: name, problems: result.problems });
        return { kind: "malformed", problems: result.problems };
      case "validated": {
        const { rawReadings, foreign, readings, rejections, defects, named } = result;
        const verdict = await keepOrRemember(name, message, {
          source: name,
          receivedAt,
          kind: "decoded",
          rawReadings,
          readings,
          rejections,
          defects,
          body,
          // Over MQTT only a login can send it again, and a parked device sends the same for hours.
          ...(result.isTimeless && message.method !== undefined && { timeless: true }),
        });
        if (named.length > 0) events.readingRejected({ source: name, rejections: named });
        for (const { deviceId } of foreign) {
          const subject = `${deviceId} by ${message.login}`;
          events.incident({ kind: "foreign_device", where: `source ${name}`, subject });
        }
        const { stored, duplicates } = verdict;
        return { kind: "stored", readings: rawReadings, stored, duplicates, rejections: named };
      }
      default:
        return result satisfies never;
    }
  }

  /** Parts of a position are used up when they are put together; the sender of one that is not kept sends it again. */
  async function keepOrRemember(name: string, message: Message, entry: StoreEntry): Promise<StoreVerdict> {
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
  async function setAside(source: Source, message: Message, error: unknown): Promise<IngestResult> {
    const requestId = randomUUID();
    let quarantined = true;
    let refusal: unknown;
    try {
      const problems = [error instanceof Error ? error.message : String(error)];
      await store.add({
        source: source.name,
        receivedAt: message.receivedAt,
        kind: "malformed",
        reason: "internal_error",
        message: redactCredentials(message, source.credentials),
        problems,
      });
    } catch (reason) {
      quarantined = false;
      refusal = reason;
    }
    events.ingestFailed({ source: source.name, requestId, error, quarantined });
    // Only for now: it goes to quarantine when its sender, or the spool, comes with it again.
    if (refusal instanceof StoreError) return deferred(source, refusal);
    return { kind: "failed", requestId, quarantined };
  }

  function refuse(source: Source, reason: RefusalReason): void {
    store.refuse(source.name, reason);
    events.messageRefused({ source: source.name, reason, why: reason });
  }

  return { accept, ingestAuthenticated, refuseByHead, refuse };
}

/** A proven message, or its head, with the login that its proof tells. */
export function withLogin<Proven extends MessageHead>(
  { authMethod, credentials }: Source,
  authenticated: Proven,
): Proven {
  const login = authMethod?.loginOf?.(authenticated, credentials) ?? null;
  return login === null ? authenticated : { ...authenticated, login };
}

interface Understood {
  result: Exclude<DecodeResult, { kind: "decoded" }> | Validated;
  stored(): void;
}

function bytesToStore(result: Understood["result"], { body }: Message): number {
  if (result.kind === "validated") return READING_BYTES * result.readings.length;
  return result.kind === "malformed" ? body.length : 0;
}

/** Where proofs travel encoded, so that the secret's own text does not show: Basic, signatures, session cookies. */
const CREDENTIAL_NAME = /authorization|cookie|token|secret|signature|password/i;

/** What proved the message has done its work; kept for weeks and shown to people it would only be stolen. */
export function redactCredentials(message: Message, { secrets, header, users = [] }: Credentials): Message {
  const all = users.length > 0 ? [...secrets, ...users.flatMap((user) => user.secrets)] : secrets;
  const usable = all.filter((secret) => secret !== "");
  const texts = usable.flatMap((secret) => [secret, encodeURIComponent(secret)]);
  const isCredential = ([name, value]: [string, string]) =>
    name === header?.toLowerCase() ||
    CREDENTIAL_NAME.test(name) ||
    texts.some((text) => value.includes(text));
  const rest = (fields: Message["headers"]) =>
    Object.fromEntries(Object.entries(fields).filter((field) => !isCredential(field)));
  return { ...message, headers: rest(message.headers), query: rest(message.query) };
}
