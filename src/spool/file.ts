/** One file of the spool on the disk: begins it, appends, reads, marks records done and shortens it, each step safe from a crash. */

import { randomBytes } from "node:crypto";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { doneByte, recordsIn, type SpoolContents, type SpoolRecord } from "./record.ts";

/** A number, by which files are replayed in order, and a marker; a file that a person put back has no marker. */
const NAME = /^(\d{10})(?:-([0-9a-f]{16}))?\.spool$/;
export const MARKER_BYTES = 8;
/** Positions of people at work: only the gateway's own user may read them. Set again after opening: a umask may take bits away. */
export const FILE_MODE = 0o600;

export function newSpoolName(number: number): string {
  return `${String(number).padStart(10, "0")}-${randomBytes(MARKER_BYTES).toString("hex")}.spool`;
}

/** Null: not a file of messages. */
export function spoolNumberOf(name: string): number | null {
  const [, digits] = NAME.exec(name) ?? [];
  return digits === undefined ? null : Number(digits);
}

function markerOf(path: string): Buffer {
  const [, , marker = ""] = NAME.exec(basename(path)) ?? [];
  return Buffer.from(marker, "hex");
}

export async function readSpoolFile(path: string): Promise<SpoolContents> {
  return recordsIn(await readFile(path), markerOf(path));
}

/** A new file survives a loss of power only when its name in the directory is on the disk too. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

export interface SpoolWriter {
  /** Resolves when the record is on the disk, not merely written. */
  append(record: Buffer): Promise<void>;
  bytes(): number;
  /** A write failed: every further one fails too, and a new file has to be begun. */
  isBroken(): boolean;
  close(): Promise<void>;
}

async function begin(path: string): Promise<FileHandle> {
  const file = await open(path, "ax", FILE_MODE);
  try {
    await file.chmod(FILE_MODE);
    await syncDirectory(dirname(path));
    return file;
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
}

/** Appends to a new file; records that arrive during a sync share the next sync. */
export async function openSpoolWriter(path: string): Promise<SpoolWriter> {
  const marker = markerOf(path);
  const file = await begin(path);
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
        const bytes = Buffer.concat(group.flatMap(({ record }) => [marker, record]));
        await file.appendFile(bytes);
        await file.datasync();
        written += bytes.length;
        for (const { settle } of group) settle();
      } catch (error) {
        // After a failed sync it is unknown what is on the disk: nothing may be written behind it.
        broken ??= error instanceof Error ? error : new Error(String(error));
        // None of these records is answered with 200. If one stays all the same, it is read as a torn end, or replayed once more.
        await file.truncate(written).catch(() => {});
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

/** How many marks a loss of power may undo: their records are sent again. A kill of the process undoes none. */
const MARKS_PER_SYNC = 100;

export interface SpoolMarks {
  markDone(record: SpoolRecord): Promise<void>;
  close(): Promise<void>;
}

/** Marks records in their place, so that another process continues behind them. */
export function openSpoolMarks(path: string): SpoolMarks {
  const marker = markerOf(path);
  let file: FileHandle | null = null;
  let unsynced = 0;

  async function sync(): Promise<void> {
    if (unsynced === 0) return;
    unsynced = 0;
    await file?.datasync();
  }

  return {
    async markDone(record) {
      const { byte, at } = doneByte(record, marker);
      file ??= await open(path, "r+");
      await file.write(Uint8Array.of(byte), 0, 1, at);
      unsynced++;
      if (unsynced >= MARKS_PER_SYNC) await sync();
    },
    async close() {
      try {
        await sync();
      } finally {
        await file?.close();
      }
    },
  };
}

/** A crash may leave such a file behind; it does no harm, and the next start removes it. */
export const UNFINISHED = ".unfinished";

/** Writes a file anew without the records that are done; unreadable bytes stay. Resolves with the new length. */
export async function dropDone(path: string, isDone: (record: SpoolRecord) => boolean): Promise<number> {
  const bytes = await readFile(path);
  const remaining: Buffer[] = [];
  let at = 0;
  for (const record of recordsIn(bytes, markerOf(path)).records) {
    if (!isDone(record)) continue;
    remaining.push(bytes.subarray(at, record.at));
    at = record.end;
  }
  remaining.push(bytes.subarray(at));
  const shortened = Buffer.concat(remaining);
  const unfinished = `${path}${UNFINISHED}`;
  try {
    const file = await open(unfinished, "w", FILE_MODE);
    try {
      await file.chmod(FILE_MODE);
      await file.writeFile(shortened);
      await file.sync();
    } finally {
      await file.close();
    }
    // The directory need not be synced: the file as it was before means the same.
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  return shortened.length;
}
