/** Keeps proven webhook messages on the local disk while Redis is away, and takes them through intake when it is back. */

import { appendFile, mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Message, read } from "./adapters/adapter.ts";
import { type Intake, type IntakeResult, type Source, withoutProof } from "./intake.ts";
import { encodeSpooled, openSpoolWriter, readSpoolFile, type SpoolWriter } from "./spool-file.ts";

export interface SpoolSettings {
  dir: string;
  /** Of all files together; above it senders are told to come back. */
  maxBytes: number;
}

/** `no_source`: a message of a source that is not configured any more was put aside into `orphans.kept`. */
export type SpoolProblem = "full" | "write" | "read" | "no_source";

export interface SpoolEvents {
  /** Redis is away and the first message was set aside. */
  spoolOpened(event: { dir: string }): void;
  /** What was set aside has been taken through intake. */
  spoolReplayed(event: { messages: number; tornBytes: number }): void;
  spoolProblem(event: { what: SpoolProblem; error?: unknown }): void;
}

export interface SpoolState {
  messages: number;
  bytes: number;
  maxBytes: number;
  /** UTC milliseconds since 1970: arrival of the oldest message that waits; null when none does. */
  oldestAt: number | null;
  /** Since the start of this process. */
  spooled: number;
  replayed: number;
}

export interface Spool {
  /** The same intake, but a webhook message that cannot be stored is set aside, and its sender told that it is kept. */
  intake: Intake;
  state(): SpoolState;
  /** Ends replaying and writing; what waits stays on the disk for the next start. */
  close(): Promise<void>;
}

/** A file is replayed and removed as a whole; this is how much is done twice if the process dies in between. */
const FILE_BYTES = 8_000_000;
const REPLAY_EVERY_MS = 1000;
const FILE = /^(\d{10})\.spool$/;

interface StoredFile {
  number: number;
  messages: number;
  bytes: number;
  oldestAt: number | null;
  /** How many of its messages have been taken through intake since this process started. */
  done: number;
}

/** Opens the directory, which one process may use at a time, and finds what an earlier one left behind. */
export async function openSpool(options: {
  settings: SpoolSettings;
  intake: Intake;
  sources: ReadonlyMap<string, Source>;
  /** Whether Redis takes messages again; asked before each replay, so that an outage does not leave a file a second. */
  isStorageBack(): Promise<boolean>;
  events: SpoolEvents;
}): Promise<Spool> {
  const { settings, intake, sources, events } = options;
  const { dir, maxBytes } = settings;
  await mkdir(dir, { recursive: true });
  const unlock = await lock(dir);
  /** Messages of sources that are not configured any more: kept, but in nobody's way. Put back by hand. */
  const orphans = join(dir, "orphans.kept");
  const pathOf = (number: number) => join(dir, `${String(number).padStart(10, "0")}.spool`);
  const files: StoredFile[] = await storedFiles(dir, pathOf);
  let lastNumber = files.at(-1)?.number ?? 0;
  let writing: { writer: SpoolWriter; file: StoredFile } | null = null;
  let opening: Promise<{ writer: SpoolWriter; file: StoredFile }> | null = null;
  let closed = false;
  let spooled = 0;
  let replayed = 0;

  const bytes = () => files.reduce((sum, file) => sum + file.bytes, 0);

  async function current(): Promise<{ writer: SpoolWriter; file: StoredFile }> {
    if (writing && writing.writer.bytes() < FILE_BYTES && !writing.writer.isBroken()) return writing;
    opening ??= (async () => {
      await writing?.writer.close();
      lastNumber++;
      const file = { number: lastNumber, messages: 0, bytes: 0, oldestAt: null, done: 0 };
      const opened = { writer: await openSpoolWriter(pathOf(lastNumber)), file };
      if (files.length === 0) events.spoolOpened({ dir });
      files.push(file);
      writing = opened;
      opening = null;
      return opened;
    })().catch((error: unknown) => {
      opening = null;
      throw error;
    });
    return opening;
  }

  async function setAside(source: Source, message: Message): Promise<boolean> {
    // The proof was checked before and is a secret: it does not go to the disk.
    const record = encodeSpooled({ source: source.name, message: withoutProof(message, source.credentials) });
    if (bytes() + record.length > maxBytes) {
      events.spoolProblem({ what: "full" });
      return false;
    }
    let file: StoredFile | null = null;
    try {
      const opened = await current();
      file = opened.file;
      // Counted before it is written, so that messages that come together do not pass the limit together.
      file.bytes += record.length;
      await opened.writer.append(record);
      file.messages++;
      file.oldestAt ??= message.receivedAt;
      spooled++;
      return true;
    } catch (error) {
      if (file !== null) file.bytes -= record.length;
      events.spoolProblem({ what: "write", error });
      return false;
    }
  }

  async function orSetAside(
    accept: Intake["accept"],
    source: Source,
    message: Message,
  ): Promise<IntakeResult> {
    const result = await accept(source, message);
    // MQTT needs no spool: its broker holds what is not acknowledged.
    const isOurs =
      result.kind === "unkept" && result.reason === "storage_unavailable" && message.topic === undefined;
    if (!isOurs || closed || isQuestion(source, message)) return result;
    return (await setAside(source, message)) ? { kind: "spooled" } : result;
  }

  let timer = setTimeout(() => void replay(), REPLAY_EVERY_MS);
  let replaying: Promise<void> = Promise.resolve();

  async function replay(): Promise<void> {
    replaying = replayFiles().catch((error: unknown) => events.spoolProblem({ what: "read", error }));
    await replaying;
    if (!closed) timer = setTimeout(() => void replay(), REPLAY_EVERY_MS);
  }

  async function replayFiles(): Promise<void> {
    if (files.length === 0 || !(await options.isStorageBack())) return;
    for (let file = files[0]; file !== undefined && !closed; file = files[0]) {
      if (writing?.file === file) {
        // What comes from now on goes into a new file, so that this one has an end.
        const { writer } = writing;
        writing = null;
        await writer.close();
      }
      const { messages, tornBytes } = await readSpoolFile(pathOf(file.number));
      // One that cannot be taken now must not be overtaken by later ones of its source; the next look goes on from it.
      for (const { source: name, message } of messages.slice(file.done)) {
        const source = sources.get(name);
        if (!source) {
          await appendFile(orphans, encodeSpooled({ source: name, message }));
          events.spoolProblem({ what: "no_source", error: new Error(`Source "${name}" is not configured.`) });
        } else {
          const result = await intake.acceptProven(source, message);
          if (result.kind === "unkept" || (result.kind === "failed" && !result.quarantined) || closed) return;
        }
        file.done++;
        replayed++;
      }
      events.spoolReplayed({ messages: messages.length, tornBytes });
      await rm(pathOf(file.number));
      files.shift();
    }
  }

  return {
    intake: {
      ...intake,
      accept: (source, message) => orSetAside(intake.accept, source, message),
      acceptProven: (source, message) => orSetAside(intake.acceptProven, source, message),
    },
    state: () => ({
      messages: files.reduce((sum, file) => sum + file.messages, 0),
      bytes: bytes(),
      maxBytes,
      oldestAt: files.find(({ oldestAt }) => oldestAt !== null)?.oldestAt ?? null,
      spooled,
      replayed,
    }),
    async close() {
      closed = true;
      clearTimeout(timer);
      await replaying;
      await writing?.writer.close();
      await unlock();
    },
  };
}

/** A handshake wants its own answer, now or later; it carries nothing to be kept. */
function isQuestion(source: Source, message: Message): boolean {
  try {
    return read(source.adapter, message, source).kind === "handshake";
  } catch {
    return false;
  }
}

async function storedFiles(dir: string, pathOf: (number: number) => string): Promise<StoredFile[]> {
  const numbers = (await readdir(dir)).flatMap((name) => {
    const [, digits] = FILE.exec(name) ?? [];
    return digits === undefined ? [] : [Number(digits)];
  });
  const files: StoredFile[] = [];
  // One after the other: together they may be larger than the memory there is.
  for (const number of numbers.sort((a, b) => a - b)) {
    const { messages } = await readSpoolFile(pathOf(number));
    const { size } = await stat(pathOf(number));
    const oldestAt = messages[0]?.message.receivedAt ?? null;
    files.push({ number, messages: messages.length, bytes: size, oldestAt, done: 0 });
  }
  return files;
}

/**
 * A file with our host and process id: two processes in one directory would replay and remove each other's files. A
 * lock of another host is believed while it is being renewed: its process id says nothing here.
 */
async function lock(dir: string): Promise<() => Promise<void>> {
  const path = join(dir, "lock");
  const own = `${hostname()} ${process.pid}`;
  for (;;) {
    try {
      const file = await open(path, "wx");
      await file.writeFile(own);
      await file.close();
      break;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      if (await isHeld(path)) {
        throw new Error(`The spool directory ${dir} is in use by another process; each needs its own.`);
      }
      await rm(path, { force: true });
    }
  }
  const renewal = setInterval(() => void writeFile(path, own).catch(() => {}), LOCK_RENEWAL_MS).unref();
  return async () => {
    clearInterval(renewal);
    await rm(path, { force: true });
  };
}

const LOCK_RENEWAL_MS = 2000;
/** A holder that has not renewed for so long is gone; so is one on this host whose process is. */
const LOCK_STALE_MS = 10_000;

async function isHeld(path: string): Promise<boolean> {
  const [text, { mtimeMs }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
  const [host, pid] = text.split(" ");
  if (host === hostname() && !(Number(pid) > 0 && Number(pid) !== process.pid && isAlive(Number(pid))))
    return false;
  return Date.now() - mtimeMs < LOCK_STALE_MS;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
