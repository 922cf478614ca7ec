import type { Authenticated, Message, MessageHead } from "../adapters/kit/adapter.ts";
import { decodeInSteps } from "../adapters/kit/decode.ts";
import type { RawReading } from "../reading.ts";
import { createAssembler } from "./assembler.ts";
import { type Authentication, authenticate, authenticateHead } from "./authenticate.ts";
import { createShares, type Shares } from "./decode-shares.ts";
import { type Computed, createMessageStore } from "./message-store.ts";
import type { IngestEvents, IngestResult } from "./result.ts";
import type { Source } from "./source.ts";
import { partForeign } from "./speaks-for.ts";
import { type RefusalReason, type Store, StoreError } from "./store.ts";
import { validateAll } from "./validate.ts";

export interface Ingest {
  /** Null where the source's method needs the body, too. A refusal is counted. */
  authenticateHead(source: Source, head: MessageHead): Authentication<MessageHead> | null;
  /** Authenticates the whole message and ingests it. */
  receive(source: Source, message: Message): Promise<IngestResult>;
  /** Decodes, validates and stores. */
  ingest(source: Source, message: Authenticated): Promise<IngestResult>;
  /** Counts a message that the input itself refuses, by size or method; it is not decoded. */
  refuse(source: Source, reason: RefusalReason, from?: string): void;
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
  ingested,
}: {
  store: Store;
  events: IngestEvents;
  /** Given where an input asks it, too, before it reads. */
  shares?: Shares;
  /** Learns of every authenticated message what became of it. Hot. */
  ingested?: (source: Source, message: Authenticated, result: IngestResult) => void;
}): Ingest {
  const assembler = createAssembler();
  const messages = createMessageStore({ store, events, assembler });
  const deps = { store, events };

  async function receive(source: Source, message: Message): Promise<IngestResult> {
    const verdict = authenticate(source, message, deps);
    return verdict.kind === "authenticated" ? ingest(source, verdict.message) : verdict;
  }

  async function ingest(source: Source, message: Authenticated): Promise<IngestResult> {
    const result = await outcomeOf(source, message);
    ingested?.(source, message, result);
    return result;
  }

  async function outcomeOf(source: Source, message: Authenticated): Promise<IngestResult> {
    try {
      return await decodeAndStore(source, message);
    } catch (error) {
      return error instanceof StoreError ? deferred(source, error) : await failed(source, message, error);
    }
  }

  async function decodeAndStore(source: Source, message: Authenticated): Promise<IngestResult> {
    const refusal = source.gate?.refusal() ?? null;
    if (refusal !== null) throw new StoreError(refusal.reason, refusal.retryAfterS);
    const running = shares.run(source.name, message.body.length, decodeAndValidate(source, message));
    if (running === null) throw new StoreError("share_used_up", SHARE_RETRY_AFTER_S);
    const { result, stored } = running instanceof Promise ? await running : running;
    try {
      return await messages.storeResult(source, message, result);
    } finally {
      stored();
    }
  }

  /** All that is computed of a message, with pauses where it is long. `stored` is called when it is stored, or is not. */
  function* decodeAndValidate(
    source: Source,
    message: Authenticated,
  ): Generator<undefined, { result: Computed; stored(): void }> {
    const decoded = yield* decodeInSteps(source.adapter, message, source);
    if (decoded.kind === "decoded") source.gate?.took(decoded.rawReadings.length);
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

  async function failed(source: Source, message: Message, error: unknown): Promise<IngestResult> {
    const result = await messages.quarantineFailed(source, message, error);
    // Only for now: it goes to quarantine when its sender, or the spool, comes with it again.
    return result instanceof StoreError ? deferred(source, result) : result;
  }

  function deferred(source: Source, error: StoreError): IngestResult {
    const { reason, retryAfterS } = error;
    events.messageDeferred({ source: source.name, reason, error });
    return { kind: "deferred", reason, retryAfterS };
  }

  function refuse(source: Source, reason: RefusalReason, from?: string): void {
    store.refuse(source.name, reason, { why: reason, from });
    events.messageRefused({ source: source.name, reason, why: reason });
  }

  return {
    authenticateHead: (source, head) => authenticateHead(source, head, deps),
    receive,
    ingest,
    refuse,
  };
}

function bytesToStore(result: Computed, { body }: Message): number {
  if (result.kind === "validated") return READING_BYTES * result.readings.length;
  return result.kind === "malformed" ? body.length : 0;
}
