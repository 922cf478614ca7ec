/** Takes what waits in the spool through ingest: each source in order, none behind another, nothing twice. */

import { asAuthenticated } from "../adapters/kit/adapter.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { Source } from "../ingest/source.ts";
import type { SpoolDirectory, SpoolFile } from "./directory.ts";
import type { SpoolEvents } from "./events.ts";
import { openSpoolMarks, readSpoolFile } from "./file.ts";
import type { SpoolContents, SpoolRecord } from "./record.ts";

export interface SpoolReplay {
  /** Since the start of this process. */
  replayed(): number;
  /** Ends after the message under way. */
  stop(): Promise<void>;
}

const EVERY_MS = 1000;
/** A source whose buffer is full is tried again after this; for each try a file is read. */
const STUCK_MS = 2000;

/** `stuck`: this source cannot go on now. `away`: none can. */
type Fate = "done" | "stuck" | "away";

export function startReplay(options: {
  directory: SpoolDirectory;
  ingest: Ingest;
  sources: ReadonlyMap<string, Source>;
  isStorageBack(): Promise<boolean>;
  /** Asked before every message, and before a file is changed. */
  isOurs(): Promise<boolean>;
  events: Pick<SpoolEvents, "spoolReplayed" | "spoolProblem">;
}): SpoolReplay {
  const { directory, ingest, sources, isStorageBack, isOurs, events } = options;
  const stuckUntil = new Map<string, number>();
  let replayed = 0;
  let isStopped = false;
  let timer = setTimeout(() => void next(), EVERY_MS);
  let underWay: Promise<void> = Promise.resolve();

  async function next(): Promise<void> {
    underWay = replayAll().catch((error: unknown) => events.spoolProblem({ what: "read", error }));
    await underWay;
    if (!isStopped) timer = setTimeout(() => void next(), EVERY_MS);
  }

  async function replayAll(): Promise<void> {
    if (directory.files().length === 0 || !(await isStorageBack())) return;
    const now = performance.now();
    // For the whole round: a source that goes on in its third file while its first waits would be out of order.
    const stuck = new Set([...stuckUntil].filter(([, until]) => until > now).map(([source]) => source));
    for (const file of [...directory.files()]) {
      if (isStopped || !(await isOurs())) return;
      if (isWaitingFor(file, stuck)) continue;
      if ((await replayFile(file, stuck)) === "away") return;
    }
  }

  /** A file that cannot be read, written or removed now keeps no other waiting. */
  async function orTell<T>(
    what: "read" | "write",
    { path }: SpoolFile,
    step: () => Promise<T>,
  ): Promise<T | null> {
    try {
      return await step();
    } catch (error) {
      events.spoolProblem({ what, detail: `${path} stays and is tried again.`, error });
      return null;
    }
  }

  async function replayFile(file: SpoolFile, stuck: Set<string>): Promise<"through" | "away"> {
    await orTell("write", file, () => directory.finish(file));
    const contents = await orTell("read", file, () => readSpoolFile(file.path));
    if (contents === null) return "through";
    const marks = openSpoolMarks(file.path);
    const done: SpoolRecord[] = [];
    const waiting: SpoolRecord[] = [];
    const before = replayed;
    let isAway = false;
    try {
      for (const record of contents.records) {
        const { at, source, isDone } = record;
        if (isDone || file.unmarked.has(at)) {
          done.push(record);
          continue;
        }
        isAway ||= isStopped || !(await isOurs());
        const fate: Fate = isAway ? "away" : stuck.has(source) ? "stuck" : await take(record);
        if (fate === "done") {
          done.push(record);
          replayed++;
          await marks.markDone(record).catch((error: unknown) => {
            file.unmarked.add(at);
            events.spoolProblem({ what: "write", detail: `${file.path}: done, but not marked so.`, error });
          });
          continue;
        }
        waiting.push(record);
        if (fate === "away") isAway = true;
        else if (!stuck.has(source)) {
          stuck.add(source);
          stuckUntil.set(source, performance.now() + STUCK_MS);
        }
      }
    } finally {
      await orTell("write", file, marks.close);
    }
    // The file may be another process's by now, and another file.
    if (!(await isOurs())) return "away";
    await orTell("write", file, () =>
      waiting.length > 0
        ? directory.nowWaiting(file, { waiting, done })
        : end(file, { done, contents, messages: replayed - before }),
    );
    return isAway ? "away" : "through";
  }

  async function end(
    file: SpoolFile,
    { done, contents, messages }: { done: SpoolRecord[]; contents: SpoolContents; messages: number },
  ): Promise<void> {
    const { tornBytes, damagedBytes } = contents;
    if (damagedBytes === 0) {
      await directory.remove(file);
      events.spoolReplayed({ messages, tornBytes });
      return;
    }
    const stored = await directory.keepDamaged(file, done);
    events.spoolReplayed({ messages, tornBytes });
    events.spoolProblem({
      what: "damaged",
      detail: `${damagedBytes} bytes of ${file.path} cannot be read; all else in it is replayed. They are in ${stored}, which counts towards spool.maxBytes: check the disk, and remove the file when nobody wants to look into it any more.`,
    });
  }

  async function take(record: SpoolRecord): Promise<Fate> {
    const source = sources.get(record.source);
    if (!source) return putAside(record);
    const result = await ingest.ingest(source, asAuthenticated(record.message));
    if (result.kind === "deferred" && result.reason === "storage_unavailable") {
      // Where Redis answers, it is this message it does not take, and others need not wait for it.
      return (await isStorageBack()) ? "stuck" : "away";
    }
    const isLeft = result.kind === "deferred" || (result.kind === "failed" && !result.quarantined);
    return isLeft ? "stuck" : "done";
  }

  async function putAside({ source, message }: SpoolRecord): Promise<Fate> {
    try {
      const stored = await directory.keepOrphan({ source, message });
      events.spoolProblem({
        what: "no_source",
        detail: `Source "${source}" is not configured; its message is in ${stored}. Configure it and, while the gateway is stopped, rename the file to 0000000000.spool; or remove the file.`,
      });
      return "done";
    } catch (error) {
      events.spoolProblem({ what: "write", error });
      return "stuck";
    }
  }

  return {
    replayed: () => replayed,
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
    },
  };
}

function isWaitingFor({ waiting }: SpoolFile, stuck: ReadonlySet<string>): boolean {
  return waiting !== null && waiting.size > 0 && [...waiting.keys()].every((source) => stuck.has(source));
}
