/** Keeps authenticated webhook messages on the local disk while Redis is away, and replays them through ingest afterwards. */

import { asAuthenticated, type Message } from "../adapters/kit/adapter.ts";
import { decode } from "../adapters/kit/decode.ts";
import { redactCredentials } from "../ingest/authenticate.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { IngestResult } from "../ingest/result.ts";
import type { Source } from "../ingest/source.ts";
import { openSpoolDirectory } from "./directory.ts";
import type { SpoolEvents } from "./events.ts";
import { lockSpool } from "./lock.ts";
import { makeDirectory } from "./permissions.ts";
import { startReplay } from "./replay.ts";

export interface SpoolSettings {
  dir: string;
  /** Of all files together; beyond it senders get 503. */
  maxBytes: number;
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
  /** The same ingest, but a webhook message that cannot be stored in Redis is set aside and counts as accepted. */
  ingest: Ingest;
  state(): SpoolState;
  /** Ends replaying and writing; waiting messages stay on the disk for the next start. */
  close(): Promise<void>;
}

/** Opens the directory, which one process may use at a time, with the messages that an earlier process left there. */
export async function openSpool(options: {
  settings: SpoolSettings;
  ingest: Ingest;
  sources: ReadonlyMap<string, Source>;
  /** Whether Redis takes messages again; checked before each replay, so that an outage does not leave one file per second. */
  isStorageBack(): Promise<boolean>;
  events: SpoolEvents;
}): Promise<Spool> {
  const { ingest, sources, isStorageBack, events } = options;
  const { dir, maxBytes } = options.settings;
  await makeDirectory(dir);
  const lock = await lockSpool(dir, events.spoolAwaited);
  const begun = () => events.spoolOpened({ dir });
  const directory = await openSpoolDirectory({ dir, maxBytes, begun }).catch(async (error: unknown) => {
    await lock.release();
    throw error;
  });
  const replay = startReplay({ directory, ingest, sources, isStorageBack, isOurs, events });
  let isClosed = false;
  let spooled = 0;

  async function isOurs(): Promise<boolean> {
    if (await lock.isOurs()) return true;
    const detail = `Another process has taken ${dir} over while this one stood still. Restart this one, with a directory of its own.`;
    events.spoolProblem({ what: "lock_lost", detail });
    return false;
  }

  async function setAside(source: Source, message: Message): Promise<boolean> {
    if (!(await isOurs())) return false;
    try {
      // The credentials were verified before, and are secret: they do not go to the disk.
      const toAppend = { source: source.name, message: redactCredentials(message, source) };
      const result = await directory.append(toAppend);
      if (result === "full") events.spoolProblem({ what: "full" });
      // A process that stood still meanwhile may have written into a file that another one has replayed and removed.
      if (result !== "written" || !(await isOurs())) return false;
      spooled++;
      return true;
    } catch (error) {
      events.spoolProblem({ what: "write", error });
      return false;
    }
  }

  async function orSpooled<Received extends Message>(
    ingestMessage: (source: Source, message: Received) => Promise<IngestResult>,
    source: Source,
    message: Received,
  ): Promise<IngestResult> {
    const result = await ingestMessage(source, message);
    // MQTT needs no spool: the broker holds messages that are not acknowledged.
    const isForSpool =
      result.kind === "deferred" && result.reason === "storage_unavailable" && message.topic === undefined;
    if (!isForSpool || isClosed || isHandshake(source, message)) return result;
    return (await setAside(source, message)) ? { kind: "spooled" } : result;
  }

  return {
    ingest: {
      ...ingest,
      receive: (source, message) => orSpooled(ingest.receive, source, message),
      ingest: (source, message) => orSpooled(ingest.ingest, source, message),
    },
    state() {
      const files = directory.files();
      const counts = files.flatMap(({ waiting }) => [...(waiting?.values() ?? [])]);
      return {
        messages: counts.reduce((sum, count) => sum + count, 0),
        bytes: directory.bytes(),
        maxBytes,
        oldestAt: files.find(({ oldestAt }) => oldestAt !== null)?.oldestAt ?? null,
        spooled,
        replayed: replay.replayed(),
      };
    },
    async close() {
      isClosed = true;
      try {
        await replay.stop();
        await directory.close();
      } finally {
        await lock.release();
      }
    },
  };
}

/** A handshake needs its own answer, now or later; it carries nothing to set aside. */
function isHandshake(source: Source, message: Message): boolean {
  try {
    return decode(source.adapter, asAuthenticated(message), source).kind === "handshake";
  } catch {
    return false;
  }
}
