/** The bytes of a spool file: records with length and checksum, one after the other, and how to read on behind a damaged one. */

import { crc32 } from "node:zlib";
import type { Message } from "../adapters/kit/adapter.ts";

/** An authenticated message as it was received, and its source. */
export interface SpooledMessage {
  source: string;
  message: Message;
}

export interface SpoolRecord extends SpooledMessage {
  /** Where it begins and ends in its file. */
  at: number;
  end: number;
  isDone: boolean;
}

export interface SpoolContents {
  records: SpoolRecord[];
  /** The file's end, where it was cut short: never answered with 200, because the answer waits for fsync. */
  tornBytes: number;
  /** Unreadable bytes that are no torn end: their messages may have been answered. */
  damagedBytes: number;
}

/** State (4 bits) and length (28 bits) of what follows, then its CRC-32: the envelope's length, the envelope as JSON, the body. */
const HEAD_BYTES = 8;
/** 268 MB; `http.bodyLimitBytes` allows 64 MB. */
const LENGTH_MASK = 0x0fff_ffff;
/** All four bits: one flipped bit can neither make a waiting message done nor cost a done one more than a repetition. */
const DONE = 0xf;

/** The record as it stands in a file behind the marker. */
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
 * `marker` stands before each record of a file and is random, so that the next record is found behind a damaged one
 * whatever a sender put into its body. The marker is empty in a file that a person put back, with messages whose source
 * was not configured: there a damaged record can be passed only if its length still leads to the next.
 */
export function recordsIn(bytes: Buffer, marker: Buffer): SpoolContents {
  const records: SpoolRecord[] = [];
  let damagedBytes = 0;
  for (let at = 0; at < bytes.length; ) {
    const record = recordAt(bytes, at, marker) ?? recordBehind(bytes, at, marker);
    if (record === null) {
      const rest = bytes.length - at;
      return isCutShort(bytes, at, marker)
        ? { records, tornBytes: rest, damagedBytes }
        : { records, tornBytes: 0, damagedBytes: damagedBytes + rest };
    }
    damagedBytes += record.at - at;
    records.push(record);
    at = record.end;
  }
  return { records, tornBytes: 0, damagedBytes };
}

/** The byte that marks a record as done, and its place in the file. */
export function doneByte({ at, end }: SpoolRecord, marker: Buffer): { byte: number; at: number } {
  const head = at + marker.length;
  return { byte: (DONE << 4) | ((end - head - HEAD_BYTES) >>> 24), at: head };
}

function recordAt(bytes: Buffer, at: number, marker: Buffer): SpoolRecord | null {
  const head = at + marker.length;
  const start = head + HEAD_BYTES;
  if (start > bytes.length || !bytes.subarray(at, head).equals(marker)) return null;
  const stateAndLength = bytes.readUInt32BE(head);
  const end = start + (stateAndLength & LENGTH_MASK);
  const content = bytes.subarray(start, end);
  if (end > bytes.length || content.length < 4 || crc32(content) !== bytes.readUInt32BE(head + 4))
    return null;
  const bodyAt = 4 + content.readUInt32BE(0);
  const { source, ...envelope }: { source: string } & Omit<Message, "body"> = JSON.parse(
    content.subarray(4, bodyAt).toString(),
  );
  // A copy: a view would keep the whole file in memory while the message waits.
  const message = { ...envelope, body: new Uint8Array(content.subarray(bodyAt)) };
  return { at, end, isDone: stateAndLength >>> 28 === DONE, source, message };
}

/** The first whole record behind the damaged one that begins at `at`. */
function recordBehind(bytes: Buffer, at: number, marker: Buffer): SpoolRecord | null {
  if (marker.length === 0) {
    if (at + HEAD_BYTES > bytes.length) return null;
    return recordAt(bytes, at + HEAD_BYTES + (bytes.readUInt32BE(at) & LENGTH_MASK), marker);
  }
  for (let next = bytes.indexOf(marker, at + 1); next !== -1; next = bytes.indexOf(marker, next + 1)) {
    const record = recordAt(bytes, next, marker);
    if (record !== null) return record;
  }
  return null;
}

/** A write that did not get to its end: correct as far as it goes, with a length that leads beyond the file. */
function isCutShort(bytes: Buffer, at: number, marker: Buffer): boolean {
  const head = at + marker.length;
  const begun = bytes.subarray(at, head);
  if (!begun.equals(marker.subarray(0, begun.length))) return false;
  const start = head + HEAD_BYTES;
  return start > bytes.length || start + (bytes.readUInt32BE(head) & LENGTH_MASK) > bytes.length;
}
