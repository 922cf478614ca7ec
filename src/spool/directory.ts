/** The files of a spool: which there are, what waits in each, what they weigh together, and where each ends up. */

import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  dropDone,
  FILE_MODE,
  MARKER_BYTES,
  newSpoolName,
  openSpoolWriter,
  readSpoolFile,
  type SpoolWriter,
  spoolNumberOf,
  syncDirectory,
  UNFINISHED,
} from "./file.ts";
import { checkFile } from "./permissions.ts";
import { encodeSpooled, type SpooledMessage, type SpoolRecord } from "./record.ts";

export interface SpoolFile {
  path: string;
  bytes: number;
  /** How many messages of each source wait in it; null when it could not be read yet. */
  waiting: Map<string, number> | null;
  oldestAt: number | null;
  /** Where records begin that are done but could not be marked: this process at least sends none of them again. */
  unmarked: Set<number>;
}

export interface Replayed {
  done: readonly SpoolRecord[];
  waiting: readonly SpoolRecord[];
}

export interface SpoolDirectory {
  /** In the order in which they are replayed. */
  files(): readonly SpoolFile[];
  /** Of everything in it: what is kept aside counts too. */
  bytes(): number;
  /** Resolves when the message is on the disk. Throws when it cannot be written; for a moment after that it `rests`. */
  append(spooled: SpooledMessage): Promise<"written" | "full" | "rests">;
  /** Nothing is appended to this file any more. */
  finish(file: SpoolFile): Promise<void>;
  /** So much of the file is done, and so much waits. */
  nowWaiting(file: SpoolFile, records: Replayed): Promise<void>;
  remove(file: SpoolFile): Promise<void>;
  /** Keeps what cannot be read of a file whose other records are done; says where. */
  keepDamaged(file: SpoolFile, done: readonly SpoolRecord[]): Promise<string>;
  /** Keeps a message that has no source any more; says where. */
  keepOrphan(spooled: SpooledMessage): Promise<string>;
  close(): Promise<void>;
}

/** A file is read into memory as a whole, and removed as a whole. */
const FILE_BYTES = 8_000_000;
/** A full disk is not asked again for every message. */
const REST_MS = 1000;
const ORPHANS = "orphans.kept";
const DAMAGED = ".damaged";

/** `begun`: a message was set aside when none waited. */
export async function openSpoolDirectory(options: {
  dir: string;
  maxBytes: number;
  begun(): void;
}): Promise<SpoolDirectory> {
  const { dir, maxBytes } = options;
  const orphans = join(dir, ORPHANS);
  const found = await look(dir);
  const files = found.files;
  let total = found.bytes;
  let lastNumber = found.lastNumber;
  let writing: { writer: SpoolWriter; file: SpoolFile } | null = null;
  let opening: Promise<{ writer: SpoolWriter; file: SpoolFile }> | null = null;
  let restsUntil = 0;

  async function current(): Promise<{ writer: SpoolWriter; file: SpoolFile }> {
    if (writing && writing.writer.bytes() < FILE_BYTES && !writing.writer.isBroken()) return writing;
    opening ??= begin().finally(() => {
      opening = null;
    });
    return opening;
  }

  async function begin(): Promise<{ writer: SpoolWriter; file: SpoolFile }> {
    if (writing) await finish(writing.file);
    lastNumber++;
    const path = join(dir, newSpoolName(lastNumber));
    const file: SpoolFile = { path, bytes: 0, waiting: new Map(), oldestAt: null, unmarked: new Set() };
    const begun = { writer: await openSpoolWriter(path), file };
    if (files.length === 0) options.begun();
    files.push(file);
    writing = begun;
    return begun;
  }

  async function append(spooled: SpooledMessage): Promise<"written" | "full" | "rests"> {
    if (performance.now() < restsUntil) return "rests";
    const record = encodeSpooled(spooled);
    const size = MARKER_BYTES + record.length;
    if (total + size > maxBytes) return "full";
    // Counted before it is written, so that messages that come together do not pass the limit together.
    total += size;
    try {
      const { writer, file } = await current();
      await writer.append(record);
      file.bytes += size;
      file.waiting?.set(spooled.source, (file.waiting.get(spooled.source) ?? 0) + 1);
      file.oldestAt ??= spooled.message.receivedAt;
      return "written";
    } catch (error) {
      total -= size;
      restsUntil = performance.now() + REST_MS;
      await giveUpBroken();
      throw error;
    }
  }

  async function giveUpBroken(): Promise<void> {
    if (!writing?.writer.isBroken()) return;
    const { file } = writing;
    await finish(file).catch(() => {});
    if (file.waiting?.size === 0) await remove(file).catch(() => {});
  }

  async function finish(file: SpoolFile): Promise<void> {
    if (writing?.file !== file) return;
    const { writer } = writing;
    writing = null;
    await writer.close();
  }

  async function nowWaiting(file: SpoolFile, { done, waiting }: Replayed): Promise<void> {
    count(file, waiting);
    const doneBytes = done.reduce((sum, { at, end }) => sum + end - at, 0);
    // One source that cannot go on must not hold the room of all that was replayed around it.
    if (doneBytes > file.bytes / 2) await shorten(file, done);
  }

  async function shorten(file: SpoolFile, done: readonly SpoolRecord[]): Promise<void> {
    // Only what is known to be done: a second look may find what a first could not read.
    const doneAt = new Set(done.map(({ at }) => at));
    const bytes = await dropDone(file.path, ({ at }) => doneAt.has(at));
    total += bytes - file.bytes;
    file.bytes = bytes;
    file.unmarked.clear();
  }

  async function remove(file: SpoolFile): Promise<void> {
    await rm(file.path);
    forget(file);
    total -= file.bytes;
  }

  async function keepDamaged(file: SpoolFile, done: readonly SpoolRecord[]): Promise<string> {
    const stored = `${file.path}${DAMAGED}`;
    await shorten(file, done);
    await rename(file.path, stored);
    forget(file);
    return stored;
  }

  function forget(file: SpoolFile): void {
    const index = files.indexOf(file);
    if (index !== -1) files.splice(index, 1);
  }

  async function keepOrphan(spooled: SpooledMessage): Promise<string> {
    const record = encodeSpooled(spooled);
    const file = await open(orphans, "a", FILE_MODE);
    try {
      await file.chmod(FILE_MODE);
      const { size } = await file.stat();
      // Nothing could be read behind a record that is cut short.
      await file.appendFile(record).catch(async (error: unknown) => {
        await file.truncate(size);
        throw error;
      });
      await file.datasync();
    } finally {
      await file.close();
    }
    await syncDirectory(dir);
    total += record.length;
    return orphans;
  }

  return {
    files: () => files,
    bytes: () => total,
    append,
    finish,
    nowWaiting,
    remove,
    keepDamaged,
    keepOrphan,
    async close() {
      await opening?.catch(() => {});
      if (writing) await finish(writing.file);
    },
  };
}

/** What an earlier process left behind. */
async function look(dir: string): Promise<{ files: SpoolFile[]; bytes: number; lastNumber: number }> {
  const files: (SpoolFile & { number: number })[] = [];
  let total = 0;
  // One after the other: together they may be larger than the memory there is.
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    const number = spoolNumberOf(name);
    if (name.endsWith(UNFINISHED)) await rm(path, { force: true });
    else if (number !== null) {
      await checkFile(path);
      const file = await found(path);
      files.push({ ...file, number });
      total += file.bytes;
    } else if (name === ORPHANS || name.endsWith(DAMAGED)) {
      await checkFile(path);
      total += (await stat(path)).size;
    }
  }
  files.sort((a, b) => a.number - b.number);
  return { files, bytes: total, lastNumber: files.at(-1)?.number ?? 0 };
}

async function found(path: string): Promise<SpoolFile> {
  const { size } = await stat(path);
  const file: SpoolFile = { path, bytes: size, waiting: null, oldestAt: null, unmarked: new Set() };
  try {
    const { records } = await readSpoolFile(path);
    const waiting = records.filter(({ isDone }) => !isDone);
    count(file, waiting);
  } catch {
    // Tried again, and told, when it is to be replayed.
  }
  return file;
}

function count(file: SpoolFile, records: readonly SpoolRecord[]): void {
  const waiting = new Map<string, number>();
  for (const { source } of records) waiting.set(source, (waiting.get(source) ?? 0) + 1);
  file.waiting = waiting;
  file.oldestAt = records[0]?.message.receivedAt ?? null;
}
