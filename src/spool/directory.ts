/**
 * The files of a spool: which there are, what waits in each, what they weigh together, and where each ends up.
 *
 * The format is our own because the embedded stores measured do not hold here: LevelDB can neither delete nor reopen on
 * a full disk; LMDB has no checksums and no exclusive lock, and raises an unhandled rejection on a full disk.
 */

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
  /** How many messages of each source wait in it; null while it could not be read. */
  waiting: Map<string, number> | null;
  oldestAt: number | null;
  /** Where records begin that are done but could not be marked, so that at least this process sends none of them again. */
  unmarked: Set<number>;
}

export interface Replayed {
  done: readonly SpoolRecord[];
  waiting: readonly SpoolRecord[];
}

export interface SpoolDirectory {
  /** In the order in which they are replayed. */
  files(): readonly SpoolFile[];
  /** Of everything in it, files set aside for a person included. */
  bytes(): number;
  /** Resolves when the message is on the disk. Throws when it cannot be written; after that it is `paused` for a moment. */
  append(spooled: SpooledMessage): Promise<"written" | "full" | "paused">;
  /** Nothing is appended to this file any more. */
  finish(file: SpoolFile): Promise<void>;
  /** Notes what waits in the file after a replay, and shortens it when most of it is done. */
  settle(file: SpoolFile, records: Replayed): Promise<void>;
  remove(file: SpoolFile): Promise<void>;
  /** Sets aside what cannot be read of a file whose other records are done; resolves with its path. */
  keepDamaged(file: SpoolFile, done: readonly SpoolRecord[]): Promise<string>;
  /** Sets aside a message that has no source any more; resolves with the path. */
  keepOrphan(spooled: SpooledMessage): Promise<string>;
  close(): Promise<void>;
}

/** A file is read into memory as a whole, and removed as a whole. */
const FILE_BYTES = 8_000_000;
/** After a failed write the disk is left alone for this long: a full disk is not tried again for every message. */
const PAUSE_MS = 1000;
const ORPHANS = "orphans.kept";
const DAMAGED = ".damaged";

/** `begun`: a message was set aside when none waited. */
export async function openSpoolDirectory(options: {
  dir: string;
  maxBytes: number;
  begun(): void;
}): Promise<SpoolDirectory> {
  const { dir } = options;
  const inventory = await scan(dir);
  const appender = createAppender({ ...options, inventory });
  return {
    files: () => inventory.files,
    bytes: () => inventory.bytes,
    append: appender.append,
    finish: appender.finish,
    settle: (file, records) => settle(inventory, file, records),
    remove: (file) => remove(inventory, file),
    keepDamaged: (file, done) => keepDamaged(inventory, file, done),
    keepOrphan: (spooled) => keepOrphan(dir, inventory, spooled),
    close: appender.close,
  };
}

/** What the directory holds; changed as files come, shrink and go. */
interface Inventory {
  /** In the order in which they are replayed. */
  files: SpoolFile[];
  bytes: number;
  /** The highest number a file has had. */
  lastNumber: number;
}

interface Current {
  writer: SpoolWriter;
  file: SpoolFile;
}

/** Appends messages to the newest file, and begins the next one when that is full or broken. */
function createAppender({
  dir,
  maxBytes,
  inventory,
  begun,
}: {
  dir: string;
  maxBytes: number;
  inventory: Inventory;
  begun(): void;
}): Pick<SpoolDirectory, "append" | "finish" | "close"> {
  let current: Current | null = null;
  let opening: Promise<Current> | null = null;
  let pausedUntil = 0;

  async function writable(): Promise<Current> {
    if (current && current.writer.bytes() < FILE_BYTES && !current.writer.isBroken()) return current;
    opening ??= begin().finally(() => {
      opening = null;
    });
    return opening;
  }

  async function begin(): Promise<Current> {
    if (current) await finish(current.file);
    inventory.lastNumber++;
    const path = join(dir, newSpoolName(inventory.lastNumber));
    const file: SpoolFile = { path, bytes: 0, waiting: new Map(), oldestAt: null, unmarked: new Set() };
    const next = { writer: await openSpoolWriter(path), file };
    if (inventory.files.length === 0) begun();
    inventory.files.push(file);
    current = next;
    return next;
  }

  async function append(spooled: SpooledMessage): Promise<"written" | "full" | "paused"> {
    if (performance.now() < pausedUntil) return "paused";
    const record = encodeSpooled(spooled);
    const size = MARKER_BYTES + record.length;
    if (inventory.bytes + size > maxBytes) return "full";
    // Counted before it is written, so that messages that come together do not pass the limit together.
    inventory.bytes += size;
    try {
      const { writer, file } = await writable();
      await writer.append(record);
      file.bytes += size;
      file.waiting?.set(spooled.source, (file.waiting.get(spooled.source) ?? 0) + 1);
      file.oldestAt ??= spooled.message.receivedAt;
      return "written";
    } catch (error) {
      inventory.bytes -= size;
      pausedUntil = performance.now() + PAUSE_MS;
      await giveUpBroken();
      throw error;
    }
  }

  async function giveUpBroken(): Promise<void> {
    if (!current?.writer.isBroken()) return;
    const { file } = current;
    await finish(file).catch(() => {});
    if (file.waiting?.size === 0) await remove(inventory, file).catch(() => {});
  }

  async function finish(file: SpoolFile): Promise<void> {
    if (current?.file !== file) return;
    const { writer } = current;
    current = null;
    await writer.close();
  }

  return {
    append,
    finish,
    async close() {
      await opening?.catch(() => {});
      if (current) await finish(current.file);
    },
  };
}

async function settle(inventory: Inventory, file: SpoolFile, { done, waiting }: Replayed): Promise<void> {
  count(file, waiting);
  const doneBytes = done.reduce((sum, { at, end }) => sum + end - at, 0);
  // A source that cannot go on must not occupy the bytes of everything that was replayed around its messages.
  if (doneBytes > file.bytes / 2) await shorten(inventory, file, done);
}

async function shorten(inventory: Inventory, file: SpoolFile, done: readonly SpoolRecord[]): Promise<void> {
  // Only records known to be done: a second reading may find what the first could not read.
  const doneAt = new Set(done.map(({ at }) => at));
  const bytes = await dropDone(file.path, ({ at }) => doneAt.has(at));
  inventory.bytes += bytes - file.bytes;
  file.bytes = bytes;
  file.unmarked.clear();
}

async function remove(inventory: Inventory, file: SpoolFile): Promise<void> {
  await rm(file.path);
  dropFrom(inventory, file);
  inventory.bytes -= file.bytes;
}

async function keepDamaged(
  inventory: Inventory,
  file: SpoolFile,
  done: readonly SpoolRecord[],
): Promise<string> {
  const path = `${file.path}${DAMAGED}`;
  await shorten(inventory, file, done);
  await rename(file.path, path);
  dropFrom(inventory, file);
  return path;
}

function dropFrom({ files }: Inventory, file: SpoolFile): void {
  const index = files.indexOf(file);
  if (index !== -1) files.splice(index, 1);
}

async function keepOrphan(dir: string, inventory: Inventory, spooled: SpooledMessage): Promise<string> {
  const path = join(dir, ORPHANS);
  const record = encodeSpooled(spooled);
  const file = await open(path, "a", FILE_MODE);
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
  inventory.bytes += record.length;
  return path;
}

/** What an earlier process left behind. */
async function scan(dir: string): Promise<Inventory> {
  const files: (SpoolFile & { number: number })[] = [];
  let bytes = 0;
  // One after the other: together they may be larger than the memory there is.
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    const number = spoolNumberOf(name);
    if (name.endsWith(UNFINISHED)) await rm(path, { force: true });
    else if (number !== null) {
      await checkFile(path);
      const file = await scanFile(path);
      files.push({ ...file, number });
      bytes += file.bytes;
    } else if (name === ORPHANS || name.endsWith(DAMAGED)) {
      await checkFile(path);
      bytes += (await stat(path)).size;
    }
  }
  files.sort((a, b) => a.number - b.number);
  return { files, bytes, lastNumber: files.at(-1)?.number ?? 0 };
}

async function scanFile(path: string): Promise<SpoolFile> {
  const { size } = await stat(path);
  const file: SpoolFile = { path, bytes: size, waiting: null, oldestAt: null, unmarked: new Set() };
  try {
    const { records } = await readSpoolFile(path);
    const waiting = records.filter(({ isDone }) => !isDone);
    count(file, waiting);
  } catch {
    // The replay reads it again, and reports it when that fails as well.
  }
  return file;
}

function count(file: SpoolFile, records: readonly SpoolRecord[]): void {
  const waiting = new Map<string, number>();
  for (const { source } of records) waiting.set(source, (waiting.get(source) ?? 0) + 1);
  file.waiting = waiting;
  file.oldestAt = records[0]?.message.receivedAt ?? null;
}
