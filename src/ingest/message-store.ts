/** Stores what was computed of a message, or sets the message aside: the last step before its sender is answered. */

import { randomUUID } from "node:crypto";
import type { Message } from "../adapters/kit/adapter.ts";
import type { DecodeResult } from "../adapters/kit/decode.ts";
import { messageOf } from "../untrusted.ts";
import type { Assembler } from "./assembler.ts";
import { type Failed, redactCredentials } from "./authenticate.ts";
import type { IngestEvents, IngestResult } from "./result.ts";
import type { Source } from "./source.ts";
import { type Store, type StoreEntry, StoreError, type StoreVerdict } from "./store.ts";
import type { Validated } from "./validate.ts";

/** A message after decode and validate. */
export type Computed = Exclude<DecodeResult, { kind: "decoded" }> | Validated;

export function createMessageStore({
  store,
  events,
  assembler,
}: {
  store: Store;
  events: IngestEvents;
  assembler: Assembler;
}) {
  async function storeResult(source: Source, message: Message, result: Computed): Promise<IngestResult> {
    const { name } = source;
    const { receivedAt } = message;
    switch (result.kind) {
      case "ignored":
        await store.add({ source: name, receivedAt, kind: "ignored", what: result.what });
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
    const { rawReadings, foreign, readings, rejections, rejected, defects, named } = validated;
    const { receivedAt, body } = message;
    const { stored, duplicates } = await addOrRemember(name, message, {
      source: name,
      receivedAt,
      kind: "decoded",
      rawReadings,
      readings,
      rejections,
      ...(rejected.length > 0 && { rejected }),
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
  async function quarantineFailed(
    source: Source,
    message: Message,
    error: unknown,
  ): Promise<Failed | StoreError> {
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
    if (failure instanceof StoreError) return failure;
    return { kind: "failed", requestId, quarantined: isQuarantined };
  }

  return { storeResult, quarantineFailed };
}

function quarantined(
  source: Source,
  message: Message,
  reason: "malformed" | "internal_error",
  problems: string[],
): StoreEntry {
  const { receivedAt } = message;
  const redacted = redactCredentials(message, source);
  return { source: source.name, receivedAt, kind: "malformed", reason, message: redacted, problems };
}
