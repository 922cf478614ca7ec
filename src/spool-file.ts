/** One file of the spool: records one after the other, each with its length and checksum; a torn end is expected. */

import { type FileHandle, open, readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { Message } from "./adapters/adapter.ts";

/** A proven message as it was received, and of which source. */
export interface SpooledMessage {
  source: string;
  message: Message;
}

/** Length and CRC-32 of what follows, 4 bytes each; then the envelope's length, the envelope as JSON, the body. */
const HEAD_BYTES = 8;

export function encodeSpooled({ source, message: { body, ...envelope } }: SpooledMessage): Buffer {
  const text = Buffer.from(JSON.stringify({ source, ...envelope }));
  const record = Buffer.alloc(HEAD_BYTES + 4 + text.length + body.length);
  record.writeUInt32BE(record.length - HEAD_BYTES, 0);
  record.writeUInt32BE(text.length, HEAD_BYTES);
  text.copy(record, HEAD_BYTES + 4);
  record.set(body, HEAD_BYTES + 4 + text.length);
  record.writeUInt32BE(crc32(record.subarray(HEAD_BYTES)), 4);
  return record;
}

/**
 * Reads what is whole. What follows a record that is cut short or damaged cannot be trusted and is told as
 * `tornBytes`: it was never answered with 200, because that waits for fsync.
 */
export async function readSpoolFile(
  path: string,
): Promise<{ messages: SpooledMessage[]; tornBytes: number }> {
  const bytes = await readFile(path);
  const messages: SpooledMessage[] = [];
  let at = 0;
  while (at + HEAD_BYTES <= bytes.length) {
    const end = at + HEAD_BYTES + bytes.readUInt32BE(at);
    const content = bytes.subarray(at + HEAD_BYTES, end);
    if (end > bytes.length || content.length < 4 || crc32(content) !== bytes.readUInt32BE(at + 4)) break;
    const bodyAt = 4 + content.readUInt32BE(0);
    const { source, ...envelope }: { source: string } & Omit<Message, "body"> = JSON.parse(
      content.subarray(4, bodyAt).toString(),
    );
    messages.push({ source, message: { ...envelope, body: new Uint8Array(content.subarray(bodyAt)) } });
    at = end;
  }
  return { messages, tornBytes: bytes.length - at };
}

export interface SpoolWriter {
  /** Resolves when the record is on the disk, not merely written. */
  append(record: Buffer): Promise<void>;
  bytes(): number;
  /** A write failed: every further one does, and a new file has to be begun. */
  isBroken(): boolean;
  close(): Promise<void>;
}

/** Appends to a file; those who come while it is being synced share the next sync. */
export async function openSpoolWriter(path: string): Promise<SpoolWriter> {
  const file: FileHandle = await open(path, "ax");
  let written = 0;
  let pending: { record: Buffer; settle(error?: unknown): void }[] = [];
  let flushing: Promise<void> | null = null;
  let broken: Error | null = null;

  async function flush(): Promise<void> {
    while (pending.length > 0) {
      const group = pending;
      pending = [];
      try {
        if (broken !== null) throw broken;
        const bytes = Buffer.concat(group.map(({ record }) => record));
        await file.appendFile(bytes);
        await file.datasync();
        written += bytes.length;
        for (const { settle } of group) settle();
      } catch (error) {
        // A torn record may stand at the end now, and what came behind it would never be read: nothing may.
        broken ??= error instanceof Error ? error : new Error(String(error));
        for (const { settle } of group) settle(error);
      }
    }
    flushing = null;
  }

  return {
    append(record) {
      return new Promise((resolve, reject) => {
        pending.push({ record, settle: (error) => (error === undefined ? resolve() : reject(error)) });
        flushing ??= flush();
      });
    },
    bytes: () => written,
    isBroken: () => broken !== null,
    async close() {
      await flushing;
      await file.close();
    },
  };
}
